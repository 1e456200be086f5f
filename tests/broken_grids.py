"""The example of the design, and one grid for every way to get one wrong."""

from __future__ import annotations

EXAMPLE = """\
name: decay-and-noise           # folder of the sweep; [a-z0-9][a-z0-9_-]*
fixed:
  task: teacher_student
  teacher_width: 4
  model: mlp
  depth: 2                      # weight layers
  activation: tanh
  optimizer: sgd
  batch_size: 32
  steps: 20000
axes:
  weight_decay:  {logspace: [1e-2, 1], num: 16}
  lr_over_batch: {logspace: [3e-4, 3e-3], num: 12}
  width: [16, 64]
zip: []
exclude: []
replicates: 4
seed: 0
measure:
  observables: [permutation, sign_flip]
  every: 5000
  distances: last               # last | all | none
  threshold: {absolute: 1e-3, relative: 0.05}
  layer: hidden.1
resources: {cpus: 1, gpus: 0, trials_per_pack: auto}
"""


def small(fixed: str = "", axes: str = "", rest: str = "") -> str:
    """A grid whose fixed keys start on line 4, after name, `fixed:` and the task."""
    text = "name: g\nfixed:\n  task: teacher_student\n"
    text += "".join(f"  {line}\n" for line in fixed.split("\n") if line)
    if axes:
        text += "axes:\n" + "".join(f"  {line}\n" for line in axes.split("\n"))
    return text + rest


def ramped(ramp: str, fixed: str = "", axes: str = "", rest: str = "") -> str:
    """A grid with a ramp, on line 4 where nothing else is given."""
    return small(fixed, axes, f"ramp: {{{ramp}}}\n{rest}")


WALK = "from: 0.1, to: 1, stages: 3"

# Each case: the grid, line and key of the fault, and what its message must contain.
BROKEN: dict[str, tuple[str, int, str, str]] = {
    "no yaml": ("name: g\nfixed: [1,\n", 3, "file", "a flow node"),
    "empty": ("# nothing\n", 1, "file", "is empty"),
    "a list": ("- name\n", 1, "file", "not a mapping"),
    "two documents": ("name: g\n---\nname: h\n", 2, "file", "single document"),
    "contains itself": (small(rest="points: &a [*a]\n"), 4, "points[0]", "contains itself"),
    "odd tag": (small(rest="seed: !!binary 12\n"), 4, "seed", "write a plain value"),
    "deep": ("name: " + "[" * 20_000, 1, "file", "nested too deeply"),
    "duplicate key": (small("steps: 10\nsteps: 20"), 5, "fixed.steps", "given twice, first on line 4"),
    "duplicate top key": (small(rest="name: h\n"), 4, "name", "first on line 1"),
    "unknown top key": (small(rest="replicate: 3\n"), 4, "replicate", "did you mean 'replicates'?"),
    "parameter at the top": (small(rest="width: 3\n"), 4, "width", "move it under fixed or axes"),
    "top key under fixed": (small("seed: 3"), 4, "fixed.seed", "'seed' stands at the top level"),
    "unknown fixed key": (small("weight_deca: 0.1"), 4, "fixed.weight_deca", "did you mean 'weight_decay'?"),
    "unknown axis": (small(axes="widht: [1, 2]"), 5, "axes.widht", "did you mean 'width'?"),
    "another task's key": (small("signal: 1"), 4, "fixed.signal", "it belongs to task 'scalar_linear'"),
    "wrong type": (small("steps: many"), 4, "fixed.steps", "'many' is not allowed"),
    "wrong type, allowed": (small("steps: many"), 4, "fixed.steps", "allowed: a whole number >= 1"),
    "fraction of a step": (small("steps: 1.5"), 4, "fixed.steps", "whole number"),
    "truth for a number": (small("learning_rate: true"), 4, "fixed.learning_rate", "a number > 0"),
    "text for a truth": (small("bias: no"), 4, "fixed.bias", "'no' is not allowed"),
    "out of range": (small("momentum: 1"), 4, "fixed.momentum", "a number >= 0 and < 1"),
    "null": (small("weight_decay: null"), 4, "fixed.weight_decay", "a number >= 0"),
    "not a choice": (small("optimizer: sdg"), 4, "fixed.optimizer", "one of adam, adamw, sgd"),
    "nan": (small("teacher_scale: .nan"), 4, "fixed.teacher_scale", "must be finite"),
    "infinite": (small("weight_decay: .inf"), 4, "fixed.weight_decay", "must be finite"),
    "overflow": (small("weight_decay: 1e999"), 4, "fixed.weight_decay", "must be finite"),
    "65 bits": (small("data_seed: 36893488147419103232"), 4, "fixed.data_seed", "64 bits"),
    "list for a number": (small("width: [16, 32]"), 4, "fixed.width", "move it to axes"),
    "form for a number": (small("width: {values: [16]}"), 4, "fixed.width", "move it to axes"),
    "fixed and axis": (small("width: 3", "width: [3, 4]"), 6, "axes.width", "lines 4 and 6"),
    "empty axis": (small(axes="width: []"), 5, "axes.width", "has no values"),
    "scalar axis": (small(axes="width: 16"), 5, "axes.width", "or move it to fixed"),
    "unknown form": (small(axes="width: {range: [1, 2]}"), 5, "axes.width", "{arange: [a, b, step]}"),
    "no num": (small(axes="weight_decay: {linspace: [0, 1]}"), 5, "axes.weight_decay.linspace", "add num"),
    "key of a form": (
        small(axes="width: {linspace: [1, 2], number: 2}"),
        5,
        "axes.width.number",
        "did you mean 'num'?",
    ),
    "log of zero": (
        small(axes="weight_decay: {logspace: [0, 1], num: 3}"),
        5,
        "axes.weight_decay.logspace",
        "not both positive",
    ),
    "one of two ends": (
        small(axes="width: {linspace: [1, 2], num: 1}"),
        5,
        "axes.width.linspace",
        "write [1]",
    ),
    "product of numbers": (
        small(axes="width: {product: [[1], [2]]}"),
        5,
        "axes.width",
        "[1, 2] is not allowed",
    ),
    "product of nothing": (
        small(axes="layer_rates: {product: []}"),
        5,
        "axes.layer_rates.product",
        "one axis for each place",
    ),
    "product with a fault": (
        small(axes="layer_rates: {product: [[1], {logspace: [0, 1], num: 3}]}"),
        5,
        "axes.layer_rates.product[1].logspace",
        "not both positive",
    ),
    "endless product": (
        small(axes="layer_rates: {product: [{linspace: [0, 1], num: 9999}, {linspace: [0, 1], num: 9999}]}"),
        5,
        "axes.layer_rates.product",
        "max_trials",
    ),
    "product of products": (
        small(axes="layer_rates: {product: [[1], {product: [[1], [2]]}]}"),
        5,
        "axes.layer_rates",
        "[1, [1, 2]] is not allowed",
    ),
    "backwards": (small(axes="width: {arange: [9, 1, 2]}"), 5, "axes.width.arange", "through no value"),
    "endless range": (small(axes="width: {arange: [0, 1, 1e-300]}"), 5, "axes.width.arange", "max_trials"),
    "endless num": (
        small(axes="width: {linspace: [1, 2], num: 10000000000000}"),
        5,
        "axes.width.linspace",
        "max_trials",
    ),
    "fractional widths": (
        small(axes="width: {linspace: [1, 2], num: 3}"),
        5,
        "axes.width",
        "1.5 is not allowed",
    ),
    "duplicate value": (small(axes="width:\n  - 16\n  - 32\n  - 16"), 8, "axes.width", "16 stands twice"),
    "duplicate after rounding": (
        small(axes="weight_decay: [0.1, 0.1000000000000001]"),
        5,
        "axes.weight_decay",
        "stands twice",
    ),
    "bad item": (small(axes="width:\n  - 16\n  - -1"), 7, "axes.width", "-1 is not allowed"),
    "flat list of a list": (
        "name: g\nfixed: {task: linear_map}\naxes:\n  singular_values: [1, 2]\n",
        4,
        "axes.singular_values",
        "write {values: [[..], [..]]}",
    ),
    "unknown task": ("name: g\nfixed:\n  task: teacher_studnt\n", 3, "fixed.task", "'teacher_student'"),
    "unknown model axis": (small(axes="model:\n  - mlp\n  - mpl"), 7, "axes.model", "did you mean 'mlp'?"),
    "no task": ("name: g\nfixed:\n  steps: 3\n", 2, "fixed.task", "teacher_student"),
    "no name": ("fixed: {task: teacher_student}\n", 1, "name", "is missing"),
    "bad name": ("name: Big Grid\nfixed: {task: teacher_student}\n", 1, "name", "small letters"),
    "name with a line break": ("name: |\n  g\nfixed: {task: digits}\n", 1, "name", "small letters"),
    "no replicates": (small(rest="replicates: 0\n"), 4, "replicates", "a whole number >= 1"),
    "too many": (
        small(axes="width: [1, 2, 3]", rest="replicates: 5\nmax_trials: 14\n"),
        4,
        "axes",
        "15 trials",
    ),
    "far too many": (
        small(
            axes="\n".join(f"{n}: {{linspace: [0, 1], num: 5000}}" for n in ("weight_decay", "init_scale"))
        ),
        4,
        "axes",
        "25,000,000 trials",
    ),
    "unknown measure key": (small(rest="measure:\n  evry: 3\n"), 5, "measure.evry", "did you mean 'every'?"),
    "bad every": (small(rest="measure:\n  every: 0\n"), 5, "measure.every", "greater than or equal to 1"),
    "bad distances": (small(rest="measure:\n  distances: some\n"), 5, "measure.distances", "'none'"),
    "unknown threshold key": (
        small(rest="measure:\n  threshold:\n    relativ: 1\n"),
        6,
        "measure.threshold.relativ",
        "'relative'?",
    ),
    "unknown observable": (
        small(rest="measure:\n  observables:\n    - rank\n    - rnak\n"),
        7,
        "measure.observables[1]",
        "'rank'",
    ),
    "observable without a name": (
        small(rest="measure:\n  observables:\n    - {layer: hidden.1}\n"),
        6,
        "measure.observables[0]",
        "'observable'",
    ),
    "unknown resource": (small(rest="resources: {cpu: 1}\n"), 4, "resources.cpu", "did you mean 'cpus'?"),
    "no processor": (small(rest="resources: {cpus: 0}\n"), 4, "resources.cpus", "greater than 0"),
    "resources as a number": (small(rest="resources: 4\n"), 4, "resources", "cpus, gpus, trials_per_pack"),
    "zip of no axis": (
        small(axes="width: [1, 2]", rest="zip:\n  - [width, depht]\n"),
        7,
        "zip[0]",
        "'depht'",
    ),
    "zip of lengths": (
        small(axes="width: [1, 2]\ndepth: [1, 2, 3]", rest="zip: [[width, depth]]\n"),
        7,
        "zip[0]",
        "depth has 3",
    ),
    "zip twice": (
        small(axes="width: [1, 2]\ndepth: [1, 2]", rest="zip: [[width, depth], [depth, width]]\n"),
        7,
        "zip[1]",
        "zipped twice",
    ),
    "exclude a typo": (
        small(rest='exclude:\n  - "wdth < 3"\n'),
        5,
        "exclude[0]",
        "did you mean 'width'?",
    ),
    "exclude a call": (
        small(rest="exclude: [\"__import__('os')\"]\n"),
        4,
        "exclude[0]",
        "is not allowed here",
    ),
    "exclude as text": (small(rest="exclude: width < 3\n"), 4, "exclude", "write exclude: ["),
    "everything excluded": (small(rest='exclude: ["width > 0"]\n'), 1, "exclude", "every point is excluded"),
    "all three": (
        small("learning_rate: 0.1\nbatch_size: 4\nlr_over_batch: 0.025"),
        6,
        "fixed.lr_over_batch",
        "leave one out",
    ),
    "held and given": (
        small("learning_rate: 0.1", "lr_over_batch: [0.1]"),
        6,
        "axes.lr_over_batch",
        "write hold: learning_rate",
    ),
    "hold a typo": (
        small(axes="lr_over_batch: {values: [0.1], hold: learning_rat}"),
        5,
        "axes.lr_over_batch.hold",
        "did you mean 'learning_rate'?",
    ),
    "hold elsewhere": (
        small(axes="width: {values: [4], hold: learning_rate}"),
        5,
        "axes.width.hold",
        "values",
    ),
    "fraction of a batch": (
        small("learning_rate: 0.1", "lr_over_batch: {values: [0.1, 0.03], hold: learning_rate}"),
        6,
        "axes.lr_over_batch",
        "the nearest lr_over_batch is 0.0333333333333 (batch_size 3)",
    ),
    "zero temperature": (small("lr_over_batch: 0"), 4, "fixed.lr_over_batch", "give a ratio > 0"),
    "steps and time": (small("steps: 3\nlearning_time: 2"), 5, "fixed.learning_time", "both given"),
    "steps and relaxations": (
        small("relaxations: 3\nsteps: 2"),
        4,
        "fixed.relaxations",
        "leave all but one out",
    ),
    "all three lengths": (
        small("relaxations: 3\nsteps: 2\nlearning_time: 2"),
        4,
        "fixed.relaxations",
        "are all given",
    ),
    "relaxations of what does not decay": (
        small("relaxations: 20"),
        4,
        "fixed.relaxations",
        "nothing decays; give steps or learning_time",
    ),
    "relaxations of what does not decay somewhere": (
        small("relaxations: 20", "weight_decay: [0, 0.1]"),
        4,
        "fixed.relaxations",
        "[at weight_decay: 0]",
    ),
    "relaxations without end": (
        small("relaxations: 20\nweight_decay: 1e-300"),
        4,
        "fixed.relaxations",
        "shorten it",
    ),
    "relaxations as an axis": (
        small("weight_decay: 0.1", "relaxations: [10, 20]"),
        6,
        "axes.relaxations",
        "cannot vary",
    ),
    "relaxations of points": (
        small("weight_decay: 0.1", rest="points:\n  - {relaxations: 10}\n"),
        6,
        "points.relaxations",
        "cannot vary",
    ),
    "no relaxations at all": (small("relaxations: 0"), 4, "fixed.relaxations", "allowed: a number > 0"),
    "too long": (small("learning_time: 1e+300"), 4, "fixed.learning_time", "shorten it"),
    "no such schedule": (small("schedule: cosin"), 4, "fixed.schedule", "did you mean 'cosine'?"),
    "time of a schedule": (
        small("schedule: cosine\nlearning_time: 5"),
        5,
        "fixed.learning_time",
        "gives no steps where schedule cosine",
    ),
    "time of a warm-up": (
        small("warmup_steps: 5\nlearning_time: 5"),
        5,
        "fixed.learning_time",
        "where warmup_steps 5 changes",
    ),
    "relaxations of layers": (
        small("layer_rates: [1, 2]\nrelaxations: 5\nweight_decay: 0.1"),
        5,
        "fixed.relaxations",
        "where layer_rates changes the learning rate; give steps",
    ),
    "warm-up of all steps": (
        small("warmup_steps: 7\nsteps: 7"),
        4,
        "fixed.warmup_steps",
        "leave nothing to the schedule; give fewer",
    ),
    "no layer trained": (small("layer_rates: [0, 0]"), 4, "fixed.layer_rates", "nothing would be trained"),
    "classes of numbers": (
        small("loss: cross_entropy"),
        4,
        "fixed.loss",
        "those of task teacher_student are numbers; use loss: squared",
    ),
    "no clip": (small("gradient_clip: 0"), 4, "fixed.gradient_clip", "a number > 0"),
    "stairs without a height": (small("schedule: step"), 4, "fixed.schedule", "give step_every under fixed"),
    "a schedule's number without it": (
        small("schedule_final: 0.1"),
        4,
        "fixed.schedule_final",
        "it belongs to schedule 'cosine', schedule 'linear'",
    ),
    "adam with momentum": (small("momentum: 0.9\noptimizer: adam"), 4, "fixed.momentum", "ignored by adam"),
    "fresh full batch": (small("samples: 0\nbatch_size: 0"), 5, "fixed.batch_size", "set batch_size >= 1"),
    "always fresh full batch": (
        "name: g\nfixed:\n  task: scalar_linear\n  batch_size: 0\n",
        4,
        "fixed.batch_size",
        "fresh data",
    ),
    "temperature of a population": (
        "name: g\nfixed: {task: hermite, model: hermite, batch_size: 0}\naxes:\n  lr_over_batch: [0.1]\n",
        4,
        "axes.lr_over_batch",
        "give learning_rate instead",
    ),
    "quenched fresh data": (
        small("noise: quenched", "samples: [10, 0]"),
        4,
        "fixed.noise",
        "use noise: fresh",
    ),
    "constraint of a task": (
        "name: g\nfixed:\n  task: linear_map\n  singular_values: [1, 2, 3]\n  inputs: 2\n",
        4,
        "fixed.singular_values",
        "at most 2",
    ),
    "no such file": (
        "name: g\nfixed:\n  task: teacher_student\n  model: nowhere.py:Net\n",
        4,
        "fixed.model",
        "does not exist",
    ),
    "axis of one task only": (
        "name: g\naxes:\n  task: [teacher_student, scalar_linear]\n  signal: [0, 1]\n",
        4,
        "axes.signal",
        "has no parameter 'signal'",
    ),
    "points as a number": (small(rest="points: 3\n"), 4, "points", "points: file.parquet"),
    "point as a number": (small(rest="points:\n  - 3\n"), 5, "points[0]", "{width: 16}"),
    "point with a typo": (
        small(rest="points:\n  - {width: 3}\n  - {wdth: 3}\n"),
        6,
        "points.wdth",
        "'width'?",
    ),
    "point out of range": (
        small(rest="points:\n  - {width: 3}\n  - {width: 0}\n"),
        6,
        "points.width",
        "0 is not",
    ),
    "point of a fixed key": (
        small("width: 3", rest="points: [{width: 3}]\n"),
        5,
        "points.width",
        "in fixed and",
    ),
    "point without an axis": (
        small(axes="width: [3]", rest="points: [{depth: 3}]\n"),
        6,
        "points.width",
        "add width",
    ),
    "impossible point": (
        small(rest="points:\n  - {samples: 9, batch_size: 0}\n  - {samples: 0, batch_size: 0}\n"),
        6,
        "points.batch_size",
        "fresh data",
    ),
    "no points file": (small(rest="points: none.parquet\n"), 4, "points", "relative to the grid"),
    "ramp of nothing": (ramped(WALK), 4, "ramp", "'parameter' is missing"),
    "ramp as a list": (small(rest="ramp: [1, 2]\n"), 4, "ramp", "its keys are parameter, from, to, stages"),
    "unknown key of a ramp": (
        ramped(f"parameter: weight_decay, {WALK}, spaced: logspace"),
        4,
        "ramp.spaced",
        "did you mean 'spacing'?",
    ),
    "ramp of a typo": (ramped(f"parameter: weight_deca, {WALK}"), 4, "ramp.parameter", "'weight_decay'?"),
    "ramp of another task's": (
        ramped(f"parameter: signal, {WALK}"),
        4,
        "ramp.parameter",
        "it belongs to task 'scalar_linear'",
    ),
    "ramp of shapes": (
        ramped("parameter: width, from: 1, to: 3, stages: 3"),
        4,
        "ramp.parameter",
        "changes the program or its shapes",
    ),
    "ramp of nothing known": (
        ramped(f"parameter: beta, {WALK}"),
        4,
        "ramp.parameter",
        "allowed: gradient_clip, input_scale, label_noise, learning_rate",
    ),
    "ramp of the temperature": (
        ramped(f"parameter: lr_over_batch, {WALK}"),
        4,
        "ramp.parameter",
        "ramp learning_rate",
    ),
    "ramp of the start": (
        ramped(f"parameter: init_scale, {WALK}"),
        4,
        "ramp.parameter",
        "before the first step alone",
    ),
    "ramp of words": (ramped(f"parameter: init, {WALK}"), 4, "ramp.parameter", "no number"),
    "ramp of a fixed key": (
        ramped(f"parameter: weight_decay, {WALK}", "weight_decay: 0.1"),
        5,
        "ramp.parameter",
        "remove it from fixed",
    ),
    "ramp of an axis": (
        ramped(f"parameter: weight_decay, {WALK}", axes="weight_decay: [0.1, 1]"),
        6,
        "ramp.parameter",
        "remove it from axes",
    ),
    "ramp of a point's": (
        ramped(f"parameter: weight_decay, {WALK}", rest="points: [{weight_decay: 0.1}]\n"),
        4,
        "ramp.parameter",
        "remove it from points",
    ),
    "ramp to where it starts": (
        ramped("parameter: weight_decay, from: 1, to: 1, stages: 3"),
        4,
        "ramp.to",
        "give two different values",
    ),
    "ramp of one stage": (
        ramped("parameter: weight_decay, from: 0.1, to: 1, stages: 1"),
        4,
        "ramp.stages",
        "greater than or equal to 2",
    ),
    "ramp by logarithms of zero": (
        ramped("parameter: weight_decay, from: 0, to: 1, stages: 3, spacing: logspace"),
        4,
        "ramp.spacing",
        "needs two positive values",
    ),
    "ramp through what is not allowed": (
        ramped("parameter: weight_decay, from: -1, to: 1, stages: 3"),
        4,
        "ramp",
        "-1.0 is not allowed",
    ),
    "relaxations of a ramp": (
        ramped(f"parameter: weight_decay, {WALK}", "relaxations: 20"),
        5,
        "ramp.parameter",
        "those of each stage",
    ),
    "time of a ramp": (
        ramped(f"parameter: learning_rate, {WALK}", "learning_time: 20"),
        5,
        "ramp.parameter",
        "those of each stage",
    ),
    "ramp by its columns": (small("ramp_values: [0.1, 1]"), 4, "fixed.ramp_values", "is not a parameter"),
    "ramp under fixed": (small("ramp: weight_decay"), 4, "fixed.ramp", "stands at the top level"),
}
