"""A pack from its trials to the rows of its fragment (torch)."""
