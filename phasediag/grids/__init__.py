"""From grid.yaml to the columns of its trials."""
