"""From a pack of trials to its rows: the step, the program, the tile, the worker (torch)."""
