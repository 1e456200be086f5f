"""One network after the other, as anyone would write it: in this process, and with joblib a core each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import joblib
import torch
from peer_work import Array, Work, load

CORES: Final[int] = joblib.cpu_count()


@lru_cache(maxsize=1)
def kept(path: str) -> Work:
    """The work of a file, read once a process."""
    return load(Path(path))


def network(work: Work, trial: int) -> torch.nn.Module:
    """The network of a trial at its start."""
    named = {**work.weights, **work.buffers}
    values = {name: torch.tensor(array[trial]) for name, array in named.items()}
    if work.model == "chain":
        return chain(list(values.values()), work.settings["tanh"])
    from phasediag.models.resnet18 import ResNet18
    from phasediag.models.transformer import Transformer

    made: torch.nn.Module = {"resnet18": ResNet18, "transformer": Transformer}[work.model](**work.settings)
    made.load_state_dict(values)
    return made


def chain(weights: Sequence[torch.Tensor], tanh: bool) -> torch.nn.Module:
    """Weight layers without biases."""
    layers: list[torch.nn.Module] = []
    for each in weights:
        layer = torch.nn.Linear(each.shape[1], each.shape[0], bias=False)
        layer.weight = torch.nn.Parameter(each)
        layers += [layer, torch.nn.Tanh()] if tanh else [layer]
    return torch.nn.Sequential(*(layers[:-1] if tanh else layers))


def samples_of(work: Work, trial: int, parts: Sequence[Array]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and noisy targets of a trial's world."""
    x, y, noise = (torch.from_numpy(part[trial // (work.trials // work.replicates)]) for part in parts)
    return x, y + float(work.label_noise[trial]) * noise


def trained(work: Work, trial: int, steps: int) -> torch.nn.Module:
    """The network of a trial after so many steps, from its start."""
    x, y = samples_of(work, trial, work.data)
    rows = torch.from_numpy(work.rows[trial // (work.trials // work.replicates)])
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
    return model


def loss_of(work: Work, trial: int, model: torch.nn.Module) -> float:
    """The loss that is compared."""
    x, y = samples_of(work, trial, work.measured)
    with torch.no_grad():
        return (model.eval()(x) - y).square().sum(dim=1).mean().item()


def train(path: str, trial: int, steps: int) -> float:
    """The loss of one trial of the work of a file after so many steps."""
    torch.set_num_threads(1)
    work = kept(path)
    trial %= work.trials
    return loss_of(work, trial, trained(work, trial, steps))


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
