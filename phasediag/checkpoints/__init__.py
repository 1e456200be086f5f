"""Trained weights of others: read layer by layer, and measured as a sweep's networks are."""
