"""Symmetries of networks: neuron groups, the gauge, and the distances to symmetry (torch only)."""
