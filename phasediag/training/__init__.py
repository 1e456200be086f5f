"""The step of one network, and the tiles that many take it in (torch)."""
