"""The networks and tasks of the zoo, and what becomes of each: trained as by plain PyTorch, or refused."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Animal:
    """A network or a task, with the grid that trains it."""

    name: str
    """`file.py:Class`."""
    refused: bool | None = False
    """None: it may be refused, or else is trained as by plain PyTorch."""
    tells: tuple[str, ...] = ()
    """What the sentence of a refusal names, besides the class or its file."""
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "task" if self.name.startswith("tasks_") else "model"

    def values(self, **changed: Any) -> dict[str, Any]:
        """The fixed values of its grid."""
        base = TASK if self.kind == "task" else NETWORK
        return {**base, self.kind: self.name, **self.fixed, **changed}


TRAINING: dict[str, Any] = {
    "steps": 50, "batch_size": 8, "learning_rate": 0.02, "dtype": "float64", "init_scale": 0.8,
}  # fmt: skip
NETWORK = TRAINING | {
    "task": "teacher_student", "inputs": 16, "outputs": 2, "samples": 32, "test_samples": 16,
    "teacher_width": 4, "label_noise": 0.1,
}  # fmt: skip
TASK = TRAINING | {"model": "mlp", "width": 6, "bias": True}

OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"optimizer": "sgd"},
    {"optimizer": "adam", "learning_rate": 0.01},
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.005},
    {"optimizer": "adamw", "learning_rate": 0.01},
)
"""In turn, so that every optimizer meets every sort of network."""

REFUSED_NETWORKS: dict[str, tuple[str, ...]] = {
    "DroppedEncoder": ("layer", "dropout"), "RandomReLU": ("act",),
    "OldSpectral": ("first.weight", "spectral_norm", "matrix_norm"), "PlainMeans": ("norm", "momentum"),
    "LSTM": ("memory",),
    "GRU": ("memory", "GRUCell"),
    "Elman": ("memory", "RNNCell"), "ComplexWeights": ("spectral", "complex"), "Counter": ("calls",),
    "SubmoduleCounter": ("steps_seen",), "ClassCounter": (), "GlobalCounter": (), "ClosureCounter": (),
    "EnvironmentCounter": ("os.environ['ZOO_CALLS']",),
    "BufferCounter": ("calls", "eval()"), "MovingMean": ("mean", "eval()"), "Cached": ("last",),
    "Logged": ("log",),
    "CountingHook": ("seen",), "SelfChanging": (), "Generated": (),
    "NoisyForward": ("random", "eval()"), "NoisyByNumpy": (), "NoisyByPython": (),
    "ShuffledForward": ("random",),
    "Branch": (), "Loop": (), "Item": (), "ByNumpy": ("torch's functions",), "BooleanIndex": ("torch.where",),
    "OverwrittenInput": (),
    "Lazy": ("first", "lazy"), "Uninitialised": ("gain",),
    "ComplexPhase": ("phase", "complex"), "DrawnAttribute": ("direction", "buffer"),
    "DrawnNumber": ("gain",), "DrawnSign": ("flip",),
    "DrawnShape": (), "Raising": ("no licence",), "Misfit": (),
    "RaisingForward": ("nowhere",), "StepsArgument": ("steps",), "MomentumArgument": ("momentum",),
    "SamplesArgument": ("samples",), "RankArgument": ("rank",), "NoModule": ("nn.Module",),
    "NothingToTrain": ("requires_grad",), "UnseededBuffer": (), "UnseededGain": (), "CountedInstances": (),
    "Squeezed": ("(",), "Transposed": ("(",), "TooMany": ("(",), "Pair": (), "OfOneSample": ("(",),
    "Nothing": (), "DoubleOutput": (), "MisspeltGroups": ("frist_name",), "GroupsMethod": ("method",),
    "MissingInGroups": ("first.wieght",), "WrongAxisInGroups": ("second.bias",),
    "HookAfterGradients": ("first.weight",), "Checkpointed": ("leave torch.utils.checkpoint out",),
    "OldFunction": ("generate_vmap_rule = True",),
    "OneGroup": ("neuron_groups",), "TextGroups": ("neuron_groups",),
    "StartInOneMemory": ("first.weight", "start", "clone()"),
    "MaxNorm": ("embed", "max_norm"), "RenormedInPlace": ("first.weight", "in place"),
    "Pruned": ("first.weight", "parametrizations"), "OldWeightNorm": ("first.weight", "parametrizations"),
    "ViewOfAParameter": ("half", "compute it in forward"),
    "PlainList": ("layers[0].weight", "nn.ModuleList"), "PlainGains": ("gains['of'][0]", "nn.ParameterList"),
    "PlainLeaf": ("gain", "requires_grad_(False)"), "Cycled": ("gains", "cycle", "register_buffer"),
    "HeadAlone": ("first.weight", "requires_grad_(False)"),
    "Cold": ("temperature=0.0", "predictions"), "Logarithm": ("predictions",),
    "RootAtZero": ("'shift'", "slope"), "GroupsOfOneName": ("hidden.1", "a name of its own"),
    "ParameterTwice": ("first.weight", "twice"), "CountsInNamespace": ("args.calls",),
    "GrowingBuffer": ("memory", "keep both"), "GumbelSoftmax": ("random", "torch.rand"),
}  # fmt: skip
"""By class of networks_refused.py: what the sentence must name."""
EITHER_NETWORKS = {
    "Logged",
    "DrawnNumber",
    "OverwrittenInput",
    "BooleanIndex",
    "DoubleOutput",
    "SelfChanging",
}
"""Of these, those that an engine may as well train, as long as it trains them right."""
TRAINED_AMONG_REFUSED = {"Unannotated", "AnyOther"}
"""Neighbours of what is refused that are right."""
MAY_BE_REFUSED = {
    "networks_values.py:Orthogonal",  # a decomposition that vmap need not know
    "networks_buffers.py:FourierLayer",  # complex numbers inside
    "networks_sequences.py:LongShort",  # lstm_cell, which vmap does not know in torch 2.13
    "networks_padded.py:PaddedAttribute",  # it states what is not so
    "networks_padded.py:PaddedNorm",
    "networks_values.py:UnusedLayer",  # PyTorch leaves what has no gradient, decay and all
    "networks_frozen.py:NoGradBackbone",
    "networks_wild.py:FrozenByTrain",  # it asks for gradients where networks are evaluated at once
    "networks_state.py:Spectral",  # power iteration writes by out=, which vmap need not know
}
WITHOUT_GRADIENT = {
    "SoftmaxBottleneck", "MultiHead", "FusedAttention", "Encoder", "EncoderStack", "VisionTransformer",
    "Rotary",
    "ComplexRotary", "Alibi", "LinearAttention", "BatchNormStateless", "InstanceNormStateless", "CausalFlag",
    "ConvBatchNorm", "RunningInstanceNorm", "CrossAttention", "GroupedQueries", "Decoder",
}  # fmt: skip
"""Networks with a direction in which the loss does not change (the bias of keys, a bias before a norm): there
Adam divides rounding by rounding, in any program. They take plain steps."""
OWN_VALUES: dict[str, dict[str, Any]] = {
    "networks_plain.py:Polynomial": {"learning_rate": 0.001},
    "networks_plain.py:SoftmaxBottleneck": {"learning_rate": 0.002},
    "networks_images.py:UNet": {"learning_rate": 0.01},
    "networks_refused.py:StartInOneMemory": {"dtype": "float32"},  # `to(float64)` would copy it
}

REFUSED_TASKS: dict[str, tuple[str, ...]] = {
    "NoSizes": ("sizes",), "SizesMethod": ("sizes",), "NoTestSet": ("test_set",), "NoTask": ("Task",),
    "ReadsDecay": ("weight_decay",), "ReadsUndeclared": ("frequency",), "FlatTargets": ("(",),
    "MoreTargets": ("(",), "MoreInputs": ("(",), "MoreSamples": ("(",), "OtherTestShape": ("test_set",),
    "Empty": ("train_set",), "EmptyTest": ("test_set",), "Arrays": ("ndarray",), "Lone": ("pair",),
    "NotFinite": ("finite",), "NotFiniteTest": ("test_set",), "ComplexData": ("complex",),
    "LossOfEach": ("loss",), "LossMethod": ("loss",), "LossNumber": ("loss",), "LossNothing": ("loss",),
    "LossNotANumber": ("its loss is nan at the start",),
    "LossRandom": ("random",), "LossDetached": ("loss",), "LossCounting": ("loss",), "LossBroadcast": (),
    "NoisyTwice": ("label_noise", "unit_noise"), "NoiseShape": ("unit_noise",),
    "NoiseNotFinite": ("unit_noise",), "FreshWithoutDraw": ("DrawnTask",), "DrawShape": ("(",),
    "Raising": ("the shared disk is away",), "RaisingTest": ("data",),
    "RaisingConstructor": ("no such corpus",), "RaisingSizes": ("corpus",), "SizesOfText": ("sizes",),
    "GlobalRandom": (), "GlobalNumpy": (), "OneLogit": ("classes = 2", "1 for a target"),
    "OneMoreOutput": ("classes = 2", "3 for a target"), "SeveralAtOnce": ("test_set()", "several classes"),
    "NoisySigns": ("train_set()", "one-hot"), "NoisyBeyondAll": ("label_noise is 1.5",),
    "ClassesOfObject": ("write classes = 2 in the class",), "ClassesProperty": ("classes", "a whole number"),
    "NamedClasses": ("classes", "a whole number"), "FreshProperty": ("always_fresh", "True or False"),
    "LossInfinite": ("the loss is not finite",), "LossOfObject": ("'loss'", "write it in the class"),
}  # fmt: skip
"""By class of tasks_refused.py."""
EITHER_TASKS = {"LossBroadcast", "SizesMethod", "LossMethod"}
TASKS_WITH_NOISE = {
    "AlwaysFresh", "Regression", "SumOverSamples", "MeanOfAll", "Huber", "Correlated", "Weighted", "Logistic",
    "NoisyClasses", "SquaredClasses", "OwnNoise", "FewNoisy", "Flipped", "FromFile", "LargerTest", "Steeper",
    "HalfDigits", "SinglePrecision", "WholeTargets", "TeacherModule", "Autoencoder", "Views", "Series",
    "Wave",
}  # fmt: skip
TASK_VALUES: dict[str, dict[str, Any]] = {
    "Wave": {"samples": 0, "frequency": 1.5, "terms": 3},
    "Parity": {"samples": 16, "batch_size": 0},
    "Regression": {"noise": "fresh"},
    "SumOverSamples": {"learning_rate": 0.002},
    "FewNoisy": {"batch_size": 0},
    "Steeper": {"inputs": 4, "samples": 20, "teacher_width": 3, "learning_rate": 0.002},
    "HalfDigits": {"samples": 30},
    "TeacherModule": {"learning_rate": 0.005},
    "ModularAddition": {"share": 0.6},
    "Lists": {"learning_rate": 0.005},
    "WholeTargets": {"learning_rate": 0.01},
}


def classes_in(file: Path) -> list[str]:
    """The classes of a file that can be trained: those with a constructor for a grid, or with data."""
    parts = {"Base", "Config", "ResidualBlock", "Sine", "OwnLinear", "Symmetric", "Sign", "Clipped"}
    tree = ast.parse(file.read_text())
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name not in parts]


def networks() -> list[Animal]:
    animals = []
    for file in sorted(FOLDER.glob("networks_*.py")):
        if file.stem == "networks_einops" and importlib.util.find_spec("einops") is None:
            continue
        for cls in classes_in(file):
            name = f"{file.name}:{cls}"
            if file.stem == "networks_refused" and cls not in TRAINED_AMONG_REFUSED:
                either = cls in EITHER_NETWORKS
                animals.append(
                    Animal(
                        name=name, refused=None if either else True, tells=REFUSED_NETWORKS[cls],
                        fixed=OWN_VALUES.get(name, {}),
                    )
                )  # fmt: skip
                continue
            turn = OPTIMIZERS[len(animals) % len(OPTIMIZERS)]
            turn = OPTIMIZERS[0] if cls in WITHOUT_GRADIENT else turn
            fixed = turn | OWN_VALUES.get(name, {})
            animals.append(Animal(name=name, refused=None if name in MAY_BE_REFUSED else False, fixed=fixed))
    return animals


def tasks() -> list[Animal]:
    animals = []
    for cls in classes_in(FOLDER / "tasks_trained.py"):
        noise = {"label_noise": 0.2} if cls in TASKS_WITH_NOISE else {}
        turn = OPTIMIZERS[len(animals) % len(OPTIMIZERS)]
        fixed = turn | noise | TASK_VALUES.get(cls, {})
        animals.append(Animal(name=f"tasks_trained.py:{cls}", fixed=fixed))
    for cls in [*classes_in(FOLDER / "tasks_refused.py")]:
        noise = {"label_noise": 1.5 if cls == "NoisyBeyondAll" else 0.2} if cls.startswith("Nois") else {}
        refused = None if cls in EITHER_TASKS else True
        animals.append(
            Animal(name=f"tasks_refused.py:{cls}", refused=refused, tells=REFUSED_TASKS[cls], fixed=noise)
        )
    return animals


NETWORKS, TASKS = networks(), tasks()
