"""From rows to phases, boundaries, scaling and figures (neither torch nor ray)."""
