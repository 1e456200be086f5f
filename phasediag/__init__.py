"""phasediag: phase diagrams of parameter symmetry in neural networks."""
