"""The columns of results: each declared once, with all that the rest of the program knows of it.

The store takes its types and its order from here, workers what is null where a trial diverged, frames,
diagrams and reports the words, the level and the bounds. A parameter is no result: its column is declared
by `phasediag.trial.Parameter`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Final, Literal

ColumnType = Literal["string", "int64", "float64", "bool", "timestamp", "numbers", "records", "changes"]
"""What the store holds; `numbers` is a list of numbers of the trial's own dtype, `records` one of structs,
`changes` one of int16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of results: what it holds, and what is to be said of it."""

    name: str
    type: ColumnType = "float64"
    meaning: str
    """One sentence for the reference."""
    unit: str = ""
    label: str = ""
    """What an axis of a figure says, with the unit; empty: the name, with blanks."""
    below: str = "below"
    """The phase in which it is below its level."""
    above: str = "above"
    level: float = 0.5
    """Its value on the boundary between the phases where nobody names another."""
    bounds: tuple[float, float] = (-inf, inf)
    """Between which a mean of it must lie; where both are finite, the range of the colours."""
    centred: bool = False
    """Whether colours are centred on the level, because both signs mean something."""
    null_when_diverged: bool = True
    """Whether a trial that diverged has none."""
    of_training: bool = False
    """Whether it is about the training itself, so that a trial need not have converged to have it."""
    derived: bool = False
    """Whether it stands in no file: frames compute it."""

    @property
    def phases(self) -> tuple[str, str]:
        """The names of the phases in which it is below and above its level."""
        return self.below, self.above

    @property
    def colours(self) -> tuple[float, float] | None:
        """The range of the colours; None: that of the values."""
        return self.bounds if all(map(isfinite, self.bounds)) else None

    @property
    def title(self) -> str:
        """What an axis says."""
        return self.label or self.name.replace("_", " ")


def _about(name: str, type: ColumnType, meaning: str) -> Column:
    """A column that tells of the run and not of the trained network: a trial that diverged has it too."""
    return Column(name=name, type=type, meaning=meaning, null_when_diverged=False)


_SHARE: Final = (0.0, 1.0)
_COUNT: Final = (0.0, inf)

LEADING: Final[tuple[Column, ...]] = (
    _about("trial_id", "string", "Hash of all that determines the trial, 32 hexadecimal digits."),
    _about("pack_id", "string", "Hash of the trials of the pack that trained it."),
    _about("point_id", "string", "Like trial_id, without replicate and seed."),
    _about("replicate", "int64", "Index of the independent seed at a point."),
    _about("seed", "int64", "Begins the random streams: from the grid's seed and the replicate alone."),
)
"""The columns of `trials` before the parameters."""

RESULTS: Final[tuple[Column, ...]] = (
    _about("status", "string", "ok, diverged or failed."),
    _about("error", "string", "What a failed trial raised."),
    _about("steps_done", "int64", "Steps of training."),
    _about("diverged_at", "int64", "The step at which the weights ceased to be finite."),
    Column(name="train_loss", label="training loss", bounds=_COUNT,
           meaning="Loss over all training samples at the last weights, without the penalty."),
    Column(name="test_loss", bounds=_COUNT, meaning="Loss over the test set, against targets without noise."),
    Column(name="test_accuracy", bounds=_SHARE,
           meaning="Share of right classes over the test set; null where the targets are no classes."),
    Column(name="max_degree", type="int64", unit="generators", bounds=_COUNT,
           meaning="The largest degree of symmetry of the measured layer: its neurons less 1."),
    Column(name="degree_of_symmetry", type="int64", unit="generators", bounds=_COUNT,
           label="degree of symmetry (generators)", below="broken", above="symmetric",
           meaning="Edges of the neurons' minimum spanning tree that are shorter than epsilon."),
    Column(name="degree_normalized", label="degree of symmetry / maximum", bounds=_SHARE,
           below="broken", above="symmetric", meaning="degree_of_symmetry over max_degree."),
    Column(name="neuron_count", type="int64", unit="neurons", label="distinct living neurons", bounds=_COUNT,
           below="symmetric", above="broken",
           meaning="Distinct living neurons (classes); of layers of homogeneity 1 their directions."),
    Column(name="alive_count", type="int64", unit="neurons", label="living neurons", bounds=_COUNT,
           below="symmetric", above="broken", meaning="Neurons whose norm is at least epsilon."),
    Column(name="rank", type="int64", label="rank of the incoming weights", bounds=_COUNT,
           below="symmetric", above="broken",
           meaning="Singular values of the incoming weights above 0.01 of the largest; where rank is asked."),
    Column(name="log_rate", unit="1/step", label="growth rate of log ‖v‖ (1/step)", level=0.0, centred=True,
           below="collapsing", above="growing", of_training=True,
           meaning="Growth of the logarithm of the layer's norm, a step, over the second half of the run."),
    Column(name="drift", meaning="degree_normalized at the end less that at 0.9 of the run."),
    Column(name="relaxations", null_when_diverged=False,
           meaning="learning_rate * weight_decay * steps_done: how often decay has acted in full."),
    Column(name="converged", type="bool",
           meaning="Whether more steps would leave the phase as it is, by how distances move."),
    Column(name="more_steps", type="int64", unit="steps", bounds=_COUNT,
           meaning="Steps that seem to be needed besides until the phase stands; 0 where converged."),
    Column(name="count_converged", type="bool",
           meaning="Whether four times the steps would leave every count as it is, by how distances move."),
    Column(name="count_more_steps", type="int64", unit="steps", bounds=_COUNT,
           meaning="Steps that seem to be needed besides until the counts stay; 0 where count_converged."),
    Column(name="unsettled", type="string",
           meaning="Counts that may change yet, by their columns, or else observables, with blanks between."),
    Column(name="collapse_weight_decay",
           meaning="Weight decay above which the origin is stable for the data alone, where it is known."),
    Column(name="gradient_noise", bounds=_COUNT, meaning="Trace of the covariance of gradients of samples."),
    Column(name="entropic_term", meaning="(T / 4) times gradient_noise; null with momentum."),
    Column(name="gradient_square", bounds=_COUNT, meaning="Square of the norm of the gradient."),
    Column(name="decay_term", bounds=_COUNT, meaning="weight_decay / 2 times the squared norm of weights."),
    Column(name="entropic_permutation", bounds=(-1.0, 1.0),
           meaning="Cosine between the entropic force and the way to equal neurons."),
    Column(name="entropic_sign_flip", bounds=(-1.0, 1.0),
           meaning="Cosine between the entropic force and the way to dead neurons."),
    _about("threshold_absolute", "float64", "The absolute part of the threshold of the counts."),
    _about("threshold_relative", "float64", "The relative part, of the scale of the living neurons."),
    _about("measure_layer", "string", "The layer that the counts of this row are of."),
    _about("definitions", "int64", "Which definitions its counts follow, see docs/measures.md; null: 1."),
    _about("wall_s", "float64", "The trial's share of the seconds of its tile."),
    _about("projected_bytes", "int64", "Memory that its pack was planned to need."),
    _about("measured_bytes", "int64", "Memory that the process, or on a GPU the tile, held at most."),
    _about("device", "string", "The device in words."),
    _about("phasediag_version", "string", "The version of phasediag that trained it."),
    _about("git_commit", "string", "The commit of the folder from which it was launched."),
    _about("torch_version", "string", "The version of PyTorch that trained it."),
    _about("model_source", "string", "Hash of the user's files behind the model; empty for built-in ones."),
    _about("task_source", "string", "Hash of the user's files behind the task; empty for built-in ones."),
    _about("optimizer_source", "string", "Hash of those behind the optimizer; empty for built-in ones."),
    _about("schedule_source", "string", "Hash of those behind the schedule; empty for built-in ones."),
    _about("compiled", "bool", "Whether the pack's program was compiled by torch."),
    _about("started_at", "timestamp", "When its tile was started."),
    _about("host", "string", "The machine that trained it."),
    _about("trained_from", "string", "The shorter trial whose kept weights it goes on from; null: none."),
    _about("from_step", "int64", "Steps of that trial, which it did not do again; null: from the start."),
    _about("course_id", "string",
           "Where its last weights are kept: hash of what trial_id rests on but for steps, and of what is "
           "measured."),
)  # fmt: skip
"""The columns of `trials` behind the parameters, in their order."""

MEASUREMENTS: Final[tuple[Column, ...]] = (
    _about("trial_id", "string", "The trial."),
    _about("pack_id", "string", "The pack that measured it."),
    _about("step", "int64", "Steps of training before the measurement."),
    _about("layer", "string", "The hidden layer."),
    _about("observable", "string", "What was measured on it."),
    _about("max_degree", "int64", "The largest count there can be."),
    _about("degree", "int64", "What the observable counts, at epsilon."),
    _about("normalized", "float64", "degree over max_degree."),
    _about("epsilon", "float64", "The threshold."),
    _about("scale", "float64", "Norm of the layer's living neurons, each weighted by its squared norm."),
    _about("train_loss", "float64", "Training loss at this step, where losses were asked for."),
    _about("test_loss", "float64", "Test loss at this step, where losses were asked for."),
    _about("distances", "numbers", "The distances, in the order measured; null where they are left out."),
    _about("log_change_half", "changes",
           "1024 log(distance at the end / at half of the run), of the distances in ascending order; at the "
           "last step, of observables that are counted on the measured layer."),
    _about("log_change_late", "changes", "Like log_change_half, from 0.9 of the run."),
)  # fmt: skip
"""The columns of `measurements`, in their order."""

DERIVED: Final[tuple[Column, ...]] = (
    Column(name="degree_per_neuron", bounds=_SHARE, below="broken", above="symmetric", derived=True,
           meaning="degree_of_symmetry over the number of neurons (Eq. 14)."),
    Column(name="degree_of_breaking", unit="generators", bounds=_COUNT, derived=True,
           below="symmetric", above="broken", meaning="max_degree less degree_of_symmetry (Eq. 14)."),
    Column(name="breaking_normalized", bounds=_SHARE, below="symmetric", above="broken", derived=True,
           meaning="degree_of_breaking over max_degree (Eq. 14)."),
)  # fmt: skip
"""What frames of trials and of measurements have besides."""

TEMPERATURE: Final = Column(
    name="temperature", label="temperature", bounds=_COUNT, derived=True,
    null_when_diverged=False,
    meaning="learning_rate / ((1 - momentum) batch_size) of sgd, 0 of the full batch; null where the noise "
            "of gradients has no single one: other optimizers, schedules, layer_rates, gradient_clip.",
)  # fmt: skip
"""A parameter in all but that no grid gives it: what follows from the rate, the batch and the momentum."""

NOISE_TEMPERATURE: Final = replace(
    TEMPERATURE, name="noise_temperature", label="temperature T = rate / ((1 − momentum) batch)",
    meaning="The same, where a parameter of the user's is called temperature.",
)  # fmt: skip

DIVERGED: Final = Column(
    name="diverged", label="diverged share of trials", below="stable", above="diverged", of_training=True,
    derived=True, null_when_diverged=False, bounds=_SHARE,
    meaning="Whether a trial diverged: an order parameter, and no column of a frame.",
)  # fmt: skip

OBSERVABLE_SOURCE: Final = _about(
    "observable_source", "string", "Hashes of the user's files behind observables; where there are any."
)
"""A column of `trials` of sweeps that the user's own observables measure."""

STAGES: Final = _about(
    "stages", "records", "What was measured at the end of each stage of a ramp; where there are ramps."
)
"""A column of `trials` of sweeps with ramps: a list of structs, one a stage."""

OF_STAGES: Final[tuple[Column, ...]] = (
    _about("stage", "int64", "Number of the stage of a ramp, from 0 on; null without a ramp."),
    _about("way", "string", "Whether the ramp went up or down to this stage; null without a ramp."),
)
"""What frames have besides where there are ramps: their rows are stages."""

RESERVED: Final = (*(column.name for column in OF_STAGES), "position", "mean")
"""What no parameter may be called: frames of ramps, boundaries and cells have columns of these names."""

_KNOWN: Final = {
    column.name: column
    for column in (
        *LEADING,
        *RESULTS,
        *DERIVED,
        TEMPERATURE,
        NOISE_TEMPERATURE,
        DIVERGED,
        OBSERVABLE_SOURCE,
        STAGES,
        *OF_STAGES,
    )
}
RESULT_COLUMNS: Final[tuple[str, ...]] = tuple(column.name for column in (*LEADING, *RESULTS))
"""The columns of `trials` that are no parameter, in their order; every other column is a parameter."""
MEASUREMENT_COLUMNS: Final[tuple[str, ...]] = tuple(column.name for column in MEASUREMENTS)
"""The columns of `measurements`, in their order."""
DERIVED_COLUMNS: Final[tuple[str, ...]] = tuple(column.name for column in DERIVED)
"""Columns that stand in no file: frames of trials and of measurements have them besides (Eq. 14)."""


def column_of(name: str) -> Column:
    """What is known of a column of `trials`; of a parameter, or a formula, what holds for any number."""
    return _KNOWN.get(name) or Column(name=name, meaning="")
