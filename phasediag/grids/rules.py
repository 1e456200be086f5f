"""The rules of training: which values follow from others, and which do not go together.

A rule that cannot give a value raises a `RefusedError`. While a grid is expanded such a value is None; only
combinations that no `exclude` removes are faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Final, Literal

from phasediag.errors import RefusedError
from phasediag.parameters import TRAINING
from phasediag.trial import Constraint, Role, Value, rounded

Hold = Literal["batch_size", "learning_rate"]
DATA_SIZE: Final = "data set size"
"""Column of the training set's size while a grid is expanded: 0 is fresh data, None unknown."""
CONTROLLED: Final[dict[str, tuple[str, Value]]] = {
    "dcs_symmetry": ("dcs", "weights"), "syre_scale": ("syre", None), "syre_distribution": ("syre", "normal"),
    "syre_anisotropy": ("syre", 0.0),
}  # fmt: skip
"""The parameters that one control alone has: that control, and the value where none is given."""
SHORTHANDS: Final = frozenset(p.name for p in TRAINING if p.role is Role.SHORTHAND)
"""Columns that points have only while a grid is expanded."""
_ROUNDING: Final = 1e-9
MOST_STEPS: Final = 2**53
"""The longest training of a trial."""
LENGTHS: Final = ("steps", "learning_time", "relaxations")
"""What may give the length of a training; each determines the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A parameter that follows from others."""

    target: str
    inputs: tuple[str, ...]
    value: Callable[..., Value]
    """Takes the inputs; None where one of them could not be derived; raises RefusedError."""

    def attempt(self, *values: Value) -> Value:
        """The value, or None where there is none."""
        try:
            return self.value(*values)
        except RefusedError:
            return None

    @property
    def constraint(self) -> Constraint:
        """The combinations for which there is no value."""
        return Constraint(parameters=self.inputs, fault=self._fault)

    def _fault(self, *values: Value) -> RefusedError | None:
        try:
            self.value(*values)
        except RefusedError as refusal:
            return refusal
        return None


def derivations(given: frozenset[str], hold: Hold) -> tuple[Rule, ...]:
    """The rules of a grid, in the order in which they apply.

    Parameters
    ----------
    given
        The parameters that the grid gives a value to.
    hold
        What stays as given where lr_over_batch is given.
    """
    if "lr_over_batch" not in given:
        temperature = Rule(
            target="lr_over_batch", inputs=("learning_rate", "batch_size", DATA_SIZE), value=_temperature
        )
    elif hold == "batch_size":
        temperature = Rule(
            target="learning_rate", inputs=("lr_over_batch", "batch_size", DATA_SIZE), value=_learning_rate
        )
    else:
        temperature = Rule(target="batch_size", inputs=("lr_over_batch", "learning_rate"), value=_batch_size)
    speed = ("learning_rate", "weight_decay")
    changes = ("schedule", "warmup_steps")
    time = Rule(target="learning_time", inputs=("steps", "learning_rate", *changes), value=_learning_time)
    reached = Rule(
        target="relaxations", inputs=("steps", *speed, "layer_rates", *changes), value=_relaxations
    )
    if "learning_time" in given:
        steps = Rule(target="steps", inputs=("learning_time", "learning_rate", *changes), value=_steps)
        length = (steps, reached)
    elif "relaxations" in given:
        inputs = ("relaxations", *speed, "layer_rates", *changes)
        length = (Rule(target="steps", inputs=inputs, value=_relaxing_steps), time)
    else:
        length = (time, reached)
    noise = Rule(target="noise", inputs=("noise", DATA_SIZE), value=_noise)
    return temperature, *length, noise, *(_of_control(name) for name in CONTROLLED)


def contradictions(given: frozenset[str], hold: Hold) -> list[tuple[str, str, str]]:
    """Parameters that determine each other and are all given: (key, problem, remedy) of each."""
    faults = []
    determined = "learning_rate" if hold == "batch_size" else "batch_size"
    if {"lr_over_batch", "learning_rate", "batch_size"} <= given:
        problem = "lr_over_batch, learning_rate and batch_size are all given"
        faults.append(("lr_over_batch", problem, "leave one out: it follows from the other two"))
    elif {"lr_over_batch", determined} <= given:
        problem = f"lr_over_batch with {hold} held determines {determined}, which is given too"
        faults.append(("lr_over_batch", problem, f"leave {determined} out, or write hold: {determined}"))
    lengths = [name for name in LENGTHS if name in given]
    if len(lengths) > 1:
        problem = f"{' and '.join(lengths)} are {'both' if len(lengths) == 2 else 'all'} given"
        faults.append((lengths[-1], problem, "leave all but one out: each determines the others"))
    return faults


def unvaried(varied: frozenset[str]) -> list[tuple[str, str, str]]:
    """Shorthands that stand in axes or points: (key, problem, remedy) of each."""
    remedy = "give one value under fixed, or make steps or learning_time the axis"
    return [
        (name, f"{name} cannot vary: a trial records the steps that follow from it, and not itself", remedy)
        for name in sorted(varied & SHORTHANDS)
    ]


def _of_control(name: str) -> Rule:
    """The value of a parameter that only one control has: null under the others."""
    owner, otherwise = CONTROLLED[name]

    def value(given: Value, control: str) -> Value:
        if control != owner:
            return None
        return otherwise if given is None else given

    return Rule(target=name, inputs=(name, "control"), value=value)


def _anisotropy_fault(anisotropy: float | None, optimizer: str) -> RefusedError | None:
    if not anisotropy:
        return None
    problem = f"syre_anisotropy {anisotropy:g} needs a decay that enters the gradient, and {optimizer}"
    problem += " does not state decoupled = False" if ":" in optimizer else " decouples it"
    return RefusedError(problem, "use optimizer: sgd or adam, or syre_anisotropy: 0")


def _momentum_fault(momentum: float, optimizer: str) -> RefusedError | None:
    if momentum == 0:
        return None
    return RefusedError(
        f"momentum {momentum:g} would be ignored by {optimizer}", "set momentum: 0 or optimizer: sgd"
    )


def _full_batch_fault(batch_size: int | None, size: int | None) -> RefusedError | None:
    if batch_size != 0 or size != 0:
        return None
    return RefusedError(
        "there is no full batch (batch_size 0) of fresh data", "set batch_size >= 1, or samples >= 1"
    )


def _own_fault(init: str, model: str) -> RefusedError | None:
    if init != "own" or ":" in model:
        return None
    problem = f"init own are the values that a constructor of yours gives, and model {model} is of phasediag"
    return RefusedError(problem, "use init: kaiming_normal")


def _quenched_fault(noise: str | None, size: int | None) -> RefusedError | None:
    if noise != "quenched" or size != 0:
        return None
    return RefusedError(
        "quenched noise needs a fixed data set, and data are fresh", "use noise: fresh, or samples >= 1"
    )


def _warmup_fault(warmup: int, steps: int | None) -> RefusedError | None:
    if not warmup or steps is None or warmup < steps:
        return None
    return RefusedError(
        f"warmup_steps {warmup} of {steps} steps leave nothing to the schedule", "give fewer than steps"
    )


def _layers_fault(rates: tuple[float, ...] | None) -> RefusedError | None:
    if rates is None or any(rates):
        return None
    return RefusedError("layer_rates are all 0, so that nothing would be trained", "give a layer a rate > 0")


def _classes_fault(loss: str | None, task: str) -> RefusedError | None:
    if loss != "cross_entropy":
        return None
    return RefusedError(
        f"loss cross_entropy needs targets that are classes, and those of task {task} are numbers",
        "use loss: squared, or a task with classes",
    )


WARMUP: Final = Constraint(parameters=("warmup_steps", "steps"), fault=_warmup_fault)
LAYERS: Final = Constraint(parameters=("layer_rates",), fault=_layers_fault)
CLASSES: Final = Constraint(parameters=("loss", "task"), fault=_classes_fault)
"""Holds for every task without classes."""
MOMENTUM: Final = Constraint(parameters=("momentum", "optimizer"), fault=_momentum_fault)
"""Holds for every optimizer that declares no momentum."""
ANISOTROPY: Final = Constraint(parameters=("syre_anisotropy", "optimizer"), fault=_anisotropy_fault)
"""Holds for every optimizer whose decay is not known to enter the gradient."""
OWN_INIT: Final = Constraint(parameters=("init", "model"), fault=_own_fault)
QUENCHED: Final = Constraint(parameters=("noise", DATA_SIZE), fault=_quenched_fault)
FULL_BATCH: Final = Constraint(parameters=("batch_size", DATA_SIZE), fault=_full_batch_fault)
"""Holds for every task without an exact population loss."""


def _temperature(rate: float, batch: int, size: int | None) -> Value:
    if batch:
        return rounded(rate / batch)
    if size is None:
        return None
    return rounded(rate / size) if size else 0.0


def _learning_rate(ratio: float, batch: int, size: int | None) -> Value:
    count = batch or size
    if not count:
        problem = f"lr_over_batch {ratio:g} with batch_size 0 and no data set gives no learning_rate"
        raise RefusedError(problem, "give learning_rate instead of lr_over_batch")
    if ratio <= 0:
        raise RefusedError(f"lr_over_batch {ratio:g} would make learning_rate 0", "give a ratio > 0")
    if not isfinite(ratio * count):
        raise RefusedError(
            f"lr_over_batch {ratio:g} would make learning_rate infinite", "give a smaller ratio"
        )
    return rounded(ratio * count)


def _batch_size(ratio: float, rate: float) -> Value:
    if ratio <= 0:
        raise RefusedError(f"lr_over_batch {ratio:g} would make batch_size infinite", "give a ratio > 0")
    exact = rate / ratio
    batch = round(exact)
    if batch < 1 or abs(exact - batch) > _ROUNDING * max(1.0, exact):
        near = rounded(rate / max(1, batch))
        quotient = f"learning_rate {rate:.12g} / lr_over_batch {ratio:.12g} = {exact:.6g}"
        problem = f"{quotient} is not a whole batch_size"
        raise RefusedError(problem, f"the nearest lr_over_batch is {near} (batch_size {max(1, batch)})")
    return batch


def _changing(schedule: str, warmup: int) -> str:
    """What changes the learning rate, in words; empty where nothing does."""
    if schedule != "constant":
        return f"schedule {schedule}"
    return f"warmup_steps {warmup}" if warmup else ""


def _steps(time: float, rate: float | None, schedule: str, warmup: int) -> Value:
    if rate is None:
        return None
    if what := _changing(schedule, warmup):
        problem = f"learning_time {time:g} gives no steps where {what} changes the learning rate"
        raise RefusedError(problem, "give steps")
    return _step_count(time / rate, f"learning_time {time:g}")


def _relaxing_steps(
    relaxations: float, rate: float | None, decay: float, layers: Value, schedule: str, warmup: int
) -> Value:
    if rate is None:
        return None
    if what := _changing(schedule, warmup) or ("" if layers is None else "layer_rates"):
        raise RefusedError(
            f"relaxations {relaxations:g} gives no steps where {what} changes the learning rate",
            "give steps instead, and read relaxations of what was trained",
        )
    if decay == 0:
        raise RefusedError(
            f"relaxations {relaxations:g} with weight_decay 0 gives no steps, as nothing decays",
            "give steps or learning_time instead, or weight_decay > 0",
        )
    speed = rate * decay
    exact = relaxations / speed if speed else inf
    return _step_count(exact, f"relaxations {relaxations:g} at weight_decay {decay:g}")


def _step_count(exact: float, given: str) -> int:
    if exact > MOST_STEPS:
        raise RefusedError(f"{given} takes {exact:.3g} steps", "shorten it")
    nearest = round(exact)
    near = abs(exact - nearest) <= _ROUNDING * max(1.0, exact)
    return max(1, nearest if near else ceil(exact))


def _relaxations(
    steps: int | None, rate: float | None, decay: float, layers: Value, schedule: str, warmup: int
) -> Value:
    if rate is None or steps is None or layers is not None or _changing(schedule, warmup):
        return None
    return rounded(steps * rate * decay)


def _learning_time(steps: int | None, rate: float | None, schedule: str, warmup: int) -> Value:
    if rate is None or steps is None or _changing(schedule, warmup):
        return None
    return rounded(steps * rate)


def _noise(noise: str | None, size: int | None) -> Value:
    return noise or ("fresh" if size == 0 else "quenched")
