"""What is measured of networks in training, when, and what is remembered of it (torch)."""
