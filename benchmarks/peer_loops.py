"""One network after the other, as anyone would write it: in this process, and with joblib a core each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import joblib
import torch
from peer_work import Work, load

CORES: Final[int] = joblib.cpu_count()


@lru_cache(maxsize=1)
def kept(path: str) -> Work:
    """The work of a file, read once a process."""
    return load(Path(path))


def network(work: Work, trial: int) -> torch.nn.Sequential:
    """The network of a trial at its start."""
    sizes = [work.weights[0].shape[2], *(w.shape[1] for w in work.weights)]
    layers: list[torch.nn.Module] = []
    for (inputs, outputs), weights in zip(pairwise(sizes), work.weights, strict=True):
        layer = torch.nn.Linear(inputs, outputs, bias=False)
        layer.weight = torch.nn.Parameter(torch.tensor(weights[trial]))
        layers += [layer, torch.nn.Tanh()] if work.tanh else [layer]
    return torch.nn.Sequential(*(layers[:-1] if work.tanh else layers))


def train(path: str, trial: int, steps: int) -> float:
    """One trial for so many steps: its loss."""
    torch.set_num_threads(1)
    work = kept(path)
    trial %= work.trials
    world = trial // (work.trials // work.replicates)
    noise_scale = float(work.label_noise[trial])
    x, y, noise = (torch.from_numpy(part[world]) for part in work.data)
    y = y + noise_scale * noise
    rows = torch.from_numpy(work.rows[world])
    model = network(work, trial)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=float(work.learning_rate[trial]), weight_decay=float(work.weight_decay[trial])
    )
    for step in range(steps):
        batch = rows[step]
        loss = (model(x[batch]) - y[batch]).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y, noise = (torch.from_numpy(part[world]) for part in work.measured)
    with torch.no_grad():
        return (model(x) - y - noise_scale * noise).square().sum(dim=1).mean().item()


def with_joblib(path: str, trials: Sequence[int], steps: int) -> list[float]:
    """Losses of trials, one process a core."""
    jobs = (joblib.delayed(train)(path, trial, steps) for trial in trials)
    return list(joblib.Parallel(n_jobs=CORES)(jobs))


def loop_s(path: str, trials: int, steps: int) -> float:
    """CPU seconds a trial in this process."""
    train(path, 0, 1)
    start = time.process_time()
    for trial in range(trials):
        train(path, trial, steps)
    return (time.process_time() - start) / trials


def joblib_s(path: str, trials: int, steps: int) -> float:
    """Seconds by the clock a trial, with processes that are there already."""
    with_joblib(path, range(2 * CORES), 1)
    start = time.perf_counter()
    with_joblib(path, range(trials), steps)
    return (time.perf_counter() - start) / trials
