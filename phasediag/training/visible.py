"""What a user's task may look at of a trial's record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from phasediag.errors import PhasediagError
from phasediag.parameters import TRAINING
from phasediag.registry import component
from phasediag.trial import Role, Value

DATA_SEED = "data_seed"


def hidden_names(values: Mapping[str, Value], folder: Path) -> frozenset[str]:
    """The parameters that the task of a record may not look at.

    Parameters
    ----------
    folder
        Where user files are.
    """
    task = component("task", str(values["task"]), folder)
    model = component("model", str(values["model"]), folder)
    optimizer, schedule = (component(k, str(values[k]), folder) for k in ("optimizer", "schedule"))
    own = [p for each in (optimizer, schedule) for p in each.parameters.values()]
    batched = {p.name for p in (*TRAINING, *model.parameters.values()) if p.role is not Role.STRUCTURAL}
    batched |= {p.name for p in own} - {p.name for p in TRAINING}
    return frozenset(batched - task.parameters.keys() - {DATA_SEED})


class Visible(Mapping[str, Value]):
    """A trial's record without what data must not depend on.

    Trials share the data of a replicate; what tells their data apart is what the task declares (and the
    structural parameters, in which the trials of one program agree). A task that reads another parameter,
    such as the weight decay, would be shown that of whichever trial comes first: it is refused.

    Parameters
    ----------
    values
        The record.
    hidden
        The names that it is left without (`hidden_names`).

    Attributes
    ----------
    read
        The names that were looked at so far.
    """

    def __init__(self, values: Mapping[str, Value], hidden: Collection[str]) -> None:
        self._values, self._hidden = values, hidden
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Value:
        if name in self._hidden:
            raise PhasediagError(
                f"task '{self._values['task']}' reads '{name}' of the trial, which its data must not depend "
                "on: all trials of a replicate share them; give the task a parameter of its own in `declares`"
            )
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._values if name not in self._hidden)

    def __len__(self) -> int:
        return sum(1 for _ in self)
