"""What can go wrong, in words that say what to do next."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import ClassVar, Final

BAD_INPUT: Final = 2
"""Exit code of everything that is refused before it runs."""
MACHINE_FAILED: Final = 3
"""Exit code where the machine or the cluster failed under a launch; all that was recorded is kept."""
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, SIGTERM or a time limit; all finished work is kept."""


class PhasediagError(Exception):
    """A mistake or a limit that the user can act on; printed without a traceback."""

    exit_code: int = BAD_INPUT


class RecordsWarning(UserWarning):
    """What must be known of the records that are read; a command says it as a message.

    `word` stands before the message.
    """

    word: ClassVar[str] = "note"


class AdvisedError(Exception):
    """Something that is wrong, and what can be done about it.

    Parameters
    ----------
    problem
        What is wrong with which value.
    remedy
        What is allowed, or what to do; empty where the problem says it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.problem, self.remedy)))


class RefusedError(AdvisedError, ValueError):
    """A value that cannot be, and what can be done about it, from where nobody knows where it stands."""

    @classmethod
    def of(cls, error: ValueError) -> RefusedError:
        """The refusal that an error is, or whose problem it tells."""
        return error if isinstance(error, RefusedError) else cls(str(error))


class BrokenFileError(RefusedError, PhasediagError):
    """A file of the user's that cannot be used, whatever it is named for, or not a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a grid."""

    where: str
    """`file:line` of the fault."""
    key: str
    """The key at fault, dotted from the top level (`axes.width`)."""
    problem: str
    """What is wrong with which value."""
    remedy: str
    """What is allowed, and the nearest valid name where there is one."""

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.problem}; {self.remedy}"


class GridError(PhasediagError):
    """A grid that is refused, with all its faults at once.

    Parameters
    ----------
    faults
        Those that are told.
    further
        How many there are besides.
    cut
        Whether not all was looked at that stands behind them.
    """

    def __init__(self, faults: list[Fault], further: int = 0, *, cut: bool = False) -> None:
        self.faults = faults
        count = f"{'at least ' * cut}{further:,} faults more"
        more = f"and {count if further else 'perhaps more'}"
        super().__init__("\n".join([*map(str, faults), *[more] * bool(further or cut)]))

    def __reduce__(self) -> tuple[type[GridError], tuple[list[Fault]]]:
        return type(self), (self.faults,)


class StoreError(PhasediagError):
    """A sweep that cannot be read or written."""


class SweepGoneError(StoreError):
    """A sweep whose folder went away while it was written to."""

    exit_code = MACHINE_FAILED


class LeaseHeldError(PhasediagError):
    """Another launch of the same sweep is running."""


class AnalysisError(PhasediagError):
    """A diagram or a fit that cannot be made from these rows."""


class ClusterError(PhasediagError):
    """A cluster or a storage that cannot run this sweep."""


class MachineError(PhasediagError):
    """The machine failed while it trained: no trial is to blame."""

    exit_code = MACHINE_FAILED


class TileRaisedError(MachineError):
    """Every trial of a tile raised: the machine may be at fault, and another one is to try."""


WAYS_OUT: Final = {
    (errno.ENOSPC, errno.EDQUOT): "free some space there, or choose another place",
    (errno.EFBIG,): "let files be larger: `ulimit -f`",
    (errno.EROFS, errno.EACCES, errno.EPERM): "choose a place that you may read and write",
    (errno.ENOENT, errno.ENOTDIR): "check the path; a folder must be there first",
    (errno.EMFILE, errno.ENFILE): "let more files be open: `ulimit -n`",
    (errno.EAGAIN, errno.ENOMEM): "give the process more memory or more processes: `ulimit -u`, `ulimit -v`",
}
"""What to do about errors of the operating system."""


def in_words(error: OSError) -> str:
    """An error of the operating system in one line: what, where, and what to do."""
    where = "".join(f" '{name}'" for name in (error.filename, error.filename2) if name)
    advice = next((advice for numbers, advice in WAYS_OUT.items() if error.errno in numbers), "")
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return "; ".join(filter(None, [f"{what}:{where}" if where else what, advice]))


LASTING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})
"""Errors of the operating system that stay until somebody does something about them."""


def lasts(error: BaseException) -> bool:
    """Whether an error will be there as well a while later, by what the operating system said of it."""
    cause = error.__cause__ if error.__cause__ is not None else error
    return isinstance(cause, OSError) and cause.errno in LASTING


OTHERS_WORDS: Final = {
    "learning_rate": ("lr", "eta", "step_size", "rate"),
    "weight_decay": ("wd", "decay", "l2", "lambda", "gamma", "regularization"),
    "lr_over_batch": ("temperature", "noise_scale", "lr_batch_ratio"),
    "batch_size": ("bs", "batch", "minibatch", "batchsize"),
    "steps": ("epochs", "iterations", "iters", "num_steps", "max_steps", "n_steps", "updates"),
    "learning_time": ("time", "training_time"),
    "width": ("hidden", "hidden_size", "hidden_dim", "neurons", "units", "d_model", "n_hidden"),
    "depth": ("layers", "num_layers", "n_layers", "hidden_layers"),
    "activation": ("nonlinearity", "act"),
    "init_scale": ("gain", "init_std", "sigma_w", "initial_scale", "alpha"),
    "samples": ("train_samples", "n_samples", "num_samples", "dataset_size", "n_train"),
    "schedule": ("scheduler", "lr_scheduler", "lr_schedule"),
    "warmup_steps": ("warmup",),
    "gradient_clip": ("clip", "clip_grad", "grad_clip", "clipping"),
    "task": ("data", "dataset"),
    "model": ("net", "network", "architecture"),
    "optimizer": ("optim", "algorithm"),
    "replicates": ("seeds", "repeats", "repetitions", "runs", "n_seeds", "num_seeds"),
    "axes": ("grid", "sweep", "search_space"),
    "fixed": ("parameters", "params", "config", "constants"),
    "fashion_mnist": ("fmnist",),
    "squared": ("mse", "mse_loss", "l2_loss"),
    "cross_entropy": ("ce", "xent", "crossentropy", "nll"),
    "swish": ("silu",),
    "neuron_count": ("neurons", "count"),
    "degree_normalized": ("degree", "symmetry"),
    "test_accuracy": ("accuracy", "acc"),
}
"""What other tools and papers call what phasediag names otherwise."""
_LEAST_LIKENESS: Final = 0.7
_SHORTEST_PART: Final = 3


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint naming the valid name that was meant; empty where that is not clear.

    It was meant where it differs in case and hyphens alone, where others say it so, where one is a part of
    the other at its beginning, or where few letters differ.
    """
    match = _meant(name, list(names))
    return f"did you mean '{match}'?" if match else ""


def _meant(name: str, names: Sequence[str]) -> str:
    plain = _plain(name)
    by_plain = {_plain(each): each for each in names}
    if plain in by_plain:
        return by_plain[plain]
    for ours, theirs in OTHERS_WORDS.items():
        if plain in theirs and ours in names:
            return ours
    close = difflib.get_close_matches(plain, by_plain, n=1, cutoff=_LEAST_LIKENESS)
    if close:
        return by_plain[close[0]]
    alike = [each for each in by_plain if _begin_alike(plain, each) or sorted(plain) == sorted(each)]
    return by_plain[alike[0]] if len(alike) == 1 else ""


def _begin_alike(one: str, other: str) -> bool:
    """Whether one begins with the other, or nearly so."""
    letters = zip(one, other, strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))
    shorter = min(len(one), len(other))
    return shared == shorter >= _SHORTEST_PART or (shared > _SHORTEST_PART and shared >= shorter * 2 / 3)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
