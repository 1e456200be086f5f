"""Trials shared out among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def shared_out(run: Callable[[int, int], None], trials: int) -> None:
    """Call `run(first, last)` for parts of the trials, each in a thread, of which there are as torch has."""
    threads = min(torch.get_num_threads(), trials)
    if threads <= 1:
        run(0, trials)
        return
    bounds = [trials * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, bounds, bounds[1:]))
