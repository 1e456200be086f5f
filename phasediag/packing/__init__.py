"""Trials put together into packs, and what a pack takes of a machine (torch)."""
