"""Symmetries of networks: neuron groups, the gauge, and groups with their distances."""
