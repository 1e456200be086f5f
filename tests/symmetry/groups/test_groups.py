"""Table 1 on real networks: Definition 1, Definition 2, and distances against those of the sweep."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from phasediag.errors import PhasediagError
from phasediag.measuring.layer_distances import Request, measure
from phasediag.models.mlp import MLP
from phasediag.models.transformer import Transformer
from phasediag.symmetry.groups.declared import declared
from phasediag.symmetry.groups.double_rotation import DoubleRotation
from phasediag.symmetry.groups.finite import FiniteGroup
from phasediag.symmetry.groups.neuron_symmetry import Mixing, NeuronSymmetry
from phasediag.symmetry.groups.permutation import Permutation
from phasediag.symmetry.groups.rescaling import Rescaling
from phasediag.symmetry.groups.rotation import Rotation
from phasediag.symmetry.groups.scaling import Scaling
from phasediag.symmetry.groups.sign_flip import SignFlip
from phasediag.symmetry.groups.symmetry import Symmetry
from phasediag.symmetry.groups.translation import Translation
from phasediag.symmetry.neurons import NeuronGroup
from properties import examples

SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.integers(1, 6)


class Covariance(nn.Module):
    """A user's module: x -> |W x + b|^2 and a two-layer part whose parameters the user names."""

    def __init__(self) -> None:
        super().__init__()
        self.metric = nn.Linear(4, 5)
        self.up = nn.Linear(4, 6)
        self.down = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        length = self.metric(x).square().sum(dim=1, keepdim=True)
        result: Tensor = self.down(torch.tanh(self.up(x))) + length
        return result

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        return (
            NeuronGroup(name="hidden.1", incoming=("up.weight",), bias=("up.bias",),
                        outgoing=("down.weight",), parity="odd"),
        )  # fmt: skip


def drawn(module: nn.Module, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: p.shape for name, p in module.named_parameters()}
    return {name: torch.randn(s, generator=generator, dtype=torch.float64) for name, s in shapes.items()}


def mlp(activation: str, bias: bool = True, width: int = 5, depth: int = 3) -> MLP:
    return MLP(inputs=4, outputs=3, depth=depth, width=width, activation=activation, bias=bias)


def transformer(**changes: Any) -> Transformer:
    sizes: dict[str, Any] = {
        "length": 5, "attention_layers": 2, "heads": 2, "head_width": 3, "stream_width": 6, **changes,
    }  # fmt: skip
    return Transformer(inputs=20, outputs=2, **sizes)


NETWORKS: dict[str, Callable[[], Any]] = {
    **{f"mlp {name}": lambda name=name: mlp(name) for name in ("tanh", "relu", "gelu", "sin")},
    # a bias of an even or homogeneous activation is rescaled and flipped with its neuron
    "mlp square": lambda: mlp("square"),
    "mlp cube": lambda: mlp("cube"),
    "mlp linear": lambda: mlp("linear"),
    "mlp linear, no bias": lambda: mlp("linear", bias=False),
    "transformer": lambda: transformer(attention="softmax", feedforward=4, activation="relu"),
    "transformer, linear attention": lambda: transformer(attention="linear"),
    "a user's module": Covariance,
}


def output(module: nn.Module, parameters: dict[str, Tensor]) -> Tensor:
    size = 20 if isinstance(module, Transformer) else 4
    x = torch.randn(7, size, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    result: Tensor = functional_call(module, parameters, (x,))
    return result


def moved(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def symmetries(module: Any) -> list[NeuronSymmetry]:
    of_network = declared(module.neuron_groups)
    if isinstance(module, Covariance):
        of_network.append(
            Rotation(NeuronGroup(name="metric", incoming=("metric.weight",), bias=("metric.bias",)))
        )
    return of_network


@pytest.mark.parametrize("name", NETWORKS)
def test_definition_1_every_element_leaves_the_function_as_it_is(name: str) -> None:
    module = NETWORKS[name]()
    parameters = drawn(module, 1)
    before = output(module, parameters)
    generator = torch.Generator().manual_seed(2)
    for symmetry in symmetries(module):
        distances = []
        for _ in range(16):  # of a group of two elements, that all are 1 has a chance of 2^-16
            acted = symmetry.act(parameters, symmetry.random_element(parameters, generator))
            distances.append(moved(parameters, acted))
            torch.testing.assert_close(output(module, acted), before, rtol=1e-8, atol=1e-8)
        assert max(distances) > 1e-3, f"{symmetry.name} of {symmetry.group.name} moves nothing"


def test_which_symmetries_are_declared() -> None:
    five = {"permutation", "sign flip", "rescaling", "rotation", "double rotation"}

    def names(module: Any) -> set[str]:
        return five & {symmetry.name for symmetry in declared(module.neuron_groups)}

    assert names(mlp("gelu")) == {"permutation"}
    assert names(mlp("tanh")) == {"permutation", "sign flip"}
    assert names(mlp("relu")) == {"permutation", "rescaling"}
    assert names(mlp("square")) == {"permutation", "sign flip", "rescaling"}
    assert names(mlp("linear")) == names(transformer()) == five


@pytest.mark.parametrize("symmetry", [Rotation, DoubleRotation, Rescaling, SignFlip])
def test_a_layer_without_the_symmetry_changes_its_function(symmetry: type[NeuronSymmetry]) -> None:
    """The check of Definition 1 can fail: gelu has none of them, whatever the user claims."""
    module = mlp("gelu")
    claimed = NeuronGroup(
        name="hidden.1", incoming=("layers.0.weight",), bias=("layers.0.bias",),
        outgoing=("layers.1.weight",), parity="odd", homogeneity=1,
    )  # fmt: skip
    parameters = drawn(module, 1)
    generator = torch.Generator().manual_seed(0)
    wrong = symmetry(claimed)
    acted = wrong.act(parameters, wrong.random_element(parameters, generator))
    assert float((output(module, acted) - output(module, parameters)).abs().max()) > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_definition_2_projections_are_symmetric_states(name: str) -> None:
    """P^2 = P, g P = P for every g; and P theta = theta for what P has made symmetric alone."""
    module = NETWORKS[name]()
    parameters = drawn(module, 3)
    generator = torch.Generator().manual_seed(4)
    for symmetry in symmetries(module):
        parts = [symmetry, *symmetry.generators(parameters)[:3]]
        for part in parts:
            projected = part.projected(parameters)
            assert moved(projected, part.projected(projected)) < 1e-12
            for _ in range(3):
                element = part.random_element(parameters, generator)
                assert moved(projected, part.act(projected, element)) < 1e-12
            assert float(part.distance(parameters)) > 1e-3
            assert float(part.distance(projected)) < 1e-12


def mean_image(
    symmetry: NeuronSymmetry, parameters: dict[str, Tensor], elements: list[Mixing]
) -> dict[str, Tensor]:
    acted = [symmetry.act(parameters, element) for element in elements]
    return {name: torch.stack([a[name] for a in acted]).mean(dim=0) for name in parameters}


@pytest.mark.parametrize("network", ["mlp tanh", "transformer"])
def test_projections_of_finite_groups_are_means_over_all_elements(network: str) -> None:
    """The Haar mean of Definition 2, element by element."""
    module = mlp("tanh", width=4) if network == "mlp tanh" else transformer()
    group = module.neuron_groups[0]
    parameters = drawn(module, 5)
    identity = torch.eye(4 if network == "mlp tanh" else 3, dtype=torch.float64)
    orders = [identity[list(order)] for order in permutations(range(len(identity)))]
    mean = mean_image(Permutation(group), parameters, [Mixing(into=p, out=p) for p in orders])
    assert moved(mean, Permutation(group).projected(parameters)) < 1e-12
    flips = [identity * torch.tensor(s, dtype=torch.float64) for s in product((1, -1), repeat=len(identity))]
    mean = mean_image(SignFlip(group), parameters, [Mixing(into=f, out=f) for f in flips])
    assert moved(mean, SignFlip(group).projected(parameters)) < 1e-12


def test_the_mean_over_rotations_is_their_projection() -> None:
    """By sampling: the mean over n Haar rotations shrinks as 1 / sqrt(n)."""
    module = mlp("linear", bias=False)
    parameters = drawn(module, 6)
    rotation = Rotation(module.neuron_groups[0])
    generator = torch.Generator().manual_seed(7)
    elements = [rotation.random_element(parameters, generator) for _ in range(1000)]
    mean = mean_image(rotation, parameters, elements)
    assert moved(mean, rotation.projected(parameters)) < 5 * 3 / 1000**0.5


def apart(distances: Tensor, rounding: float) -> float:
    """A threshold in the widest gap between distances, so that rounding moves none across it."""
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), distances.sort().values])
    if float(edges.max()) < 100 * rounding:
        return 1.0
    widest = int(edges.diff().argmax())
    return float(edges[widest : widest + 2].mean())


@settings(max_examples=examples(15))
@given(SIZES, SIZES, SIZES, SEEDS, st.booleans())
def test_distances_and_degrees_are_invariant(
    inputs: int, width: int, outputs: int, seed: int, linear: bool
) -> None:
    """Of every symmetry, under its own random elements, on random shapes."""
    module: Any
    if linear:
        module = MLP(
            inputs=inputs, outputs=outputs, depth=2, width=width, activation="linear", bias=seed % 2 == 0
        )
    else:
        module = Transformer(inputs=2 * inputs, outputs=1, length=2, attention_layers=1, heads=2,
                             head_width=width, stream_width=outputs)  # fmt: skip
    parameters = drawn(module, seed)
    generator = torch.Generator().manual_seed(seed)
    for symmetry in declared(module.neuron_groups):
        distances = symmetry.distances(parameters)
        acted = symmetry.act(parameters, symmetry.random_element(parameters, generator))
        again = symmetry.distances(acted)
        atol = 1e-7 * (1 + float(distances.max()) if len(distances) else 1)
        torch.testing.assert_close(again.sort().values, distances.sort().values, rtol=1e-7, atol=atol)
        between = apart(distances, atol)
        assert symmetry.degree(acted, between) == symmetry.degree(parameters, between)


@pytest.mark.parametrize(
    ("symmetry", "observable", "network"),
    [
        (SignFlip, "sign_flip", lambda: mlp("tanh", depth=2)),
        (Permutation, "permutation", lambda: mlp("gelu", depth=2)),
        (Rescaling, "rescaling", lambda: mlp("relu", depth=2)),
        (Rescaling, "rescaling", lambda: mlp("cube", depth=2)),
        (Rotation, "rotation", lambda: mlp("linear", depth=2)),
        (DoubleRotation, "double_rotation", lambda: mlp("linear", depth=2)),
        (Rescaling, "rescaling", transformer),
        (Rotation, "rotation", transformer),
        (DoubleRotation, "double_rotation", transformer),
    ],
)
def test_objects_and_observables_measure_the_same(
    symmetry: type[NeuronSymmetry], observable: Any, network: Callable[[], Any]
) -> None:
    """Two ways: Delta of each generator from its projection, and the batched instrument of sweeps."""
    module = network()
    tile = {name: torch.stack([p, 0.1 * p, torch.zeros_like(p)]) for name, p in drawn(module, 8).items()}
    for group in module.neuron_groups:
        (measured,) = measure(tile, module.neuron_groups, [Request(observable=observable, layer=group.name)])
        for trial in range(3):
            one = {name: p[trial] for name, p in tile.items()}
            expected = symmetry(group).generator_distances(one).sort().values
            torch.testing.assert_close(
                measured.distances[trial].sort().values, expected, rtol=1e-8, atol=1e-8
            )


def test_the_shift_of_a_dead_input_is_a_translation() -> None:
    module = mlp("tanh")
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, 2] = 0
    direction = torch.zeros(5, 4, dtype=torch.float64)
    direction[:, 2] = torch.arange(5)
    assert_invariant(Translation({"layers.0.weight": direction}), module, drawn(module, 9), x)


def test_queries_translate_along_what_no_token_has() -> None:
    """W_Q + n m^T with n orthogonal to all tokens: the embedding has 4 of 6 dimensions."""
    module = transformer(attention_layers=1)
    parameters = drawn(module, 10)
    left, _, _ = torch.linalg.svd(parameters["embedding.weight"])
    direction = torch.outer(torch.arange(6, dtype=torch.float64), left[:, -1])
    x = torch.randn(6, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_invariant(Translation({"blocks.0.query.weight": direction}), module, parameters, x)


class Normalized(nn.Module):
    """Weights before a normalisation: f(a W) = f(W)."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(4, 5)
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.into(x)
        result: Tensor = self.out(torch.tanh(hidden / hidden.norm(dim=1, keepdim=True)))
        return result


def test_weights_before_a_normalisation_scale() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    module = Normalized()
    assert_invariant(Scaling(["into.weight", "into.bias"]), module, drawn(module, 11), x)


def assert_invariant(
    symmetry: Symmetry[Tensor], module: nn.Module, parameters: dict[str, Tensor], x: Tensor
) -> None:
    """Definition 1, and that such a symmetry has no symmetric state to be measured."""
    before = functional_call(module, parameters, (x,))
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        acted = symmetry.act(parameters, symmetry.random_element(parameters, generator))
        assert moved(parameters, acted) > 1e-3
        torch.testing.assert_close(functional_call(module, acted, (x,)), before, rtol=1e-10, atol=1e-10)
    assert symmetry.symmetric_state is None
    assert len(symmetry.generators(parameters)) == 0
    assert symmetry.degree(parameters, 1e9) == 0
    with pytest.raises(PhasediagError, match="no symmetric state"):
        symmetry.projected(parameters)


def test_errors_name_what_is_missing() -> None:
    parameters = drawn(mlp("tanh"), 0)
    with pytest.raises(PhasediagError, match=r"did you mean 'layers\.0\.weight'"):
        Scaling(["layer.0.weight"]).act(parameters, torch.tensor(2.0))
    gelu = mlp("gelu").neuron_groups[0]
    with pytest.raises(PhasediagError, match="neither odd nor even"):
        SignFlip(gelu)
    with pytest.raises(PhasediagError, match="homogeneity"):
        Rescaling(gelu)
    with pytest.raises(PhasediagError, match="use Rotation"):
        DoubleRotation(NeuronGroup(name="w", incoming=("w",)))
    with pytest.raises(PhasediagError, match="does not lie within"):
        Permutation(NeuronGroup(name="h", incoming=("layers.0.weight",), span=(3, 9))).distances(parameters)


def cyclic(order: int) -> Tensor:
    shift = torch.eye(order, dtype=torch.float64).roll(1, dims=0)
    return torch.stack([torch.linalg.matrix_power(shift, k) for k in range(order)])


@settings(max_examples=examples(20))
@given(st.integers(2, 5), SEEDS)
def test_a_finite_group_projects_by_its_mean(order: int, seed: int) -> None:
    """A cyclic group's symmetric states are the constant vectors; one generator suffices."""
    group = FiniteGroup(["a", "b"], cyclic(order))
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(order, generator=generator, dtype=torch.float64)
    parameters = {"a": values[:1], "b": values[1:].reshape(1, -1), "c": torch.ones(1)}
    projected = group.projected(parameters)
    joined = torch.cat([projected["a"], projected["b"].flatten()])
    torch.testing.assert_close(joined, values.mean().expand(order))
    assert float(group.distance(parameters)) == pytest.approx(float((values - values.mean()).norm()))
    acted = group.act(parameters, group.random_element(parameters, generator))
    torch.testing.assert_close(group.distances(acted), group.distances(parameters))
    assert len(group.generators(parameters)) == 1
    assert group.degree(projected, 1e-9) == 1


def test_a_finite_group_agrees_with_permutation() -> None:
    """S_3 as matrices on the joined parameters of three neurons, against the object."""
    module = MLP(inputs=1, outputs=1, depth=2, width=3, activation="gelu")
    parameters = drawn(module, 12)
    identity = torch.eye(3, dtype=torch.float64)
    matrices = [torch.block_diag(identity[list(o)], identity[list(o)]) for o in permutations(range(3))]
    group = FiniteGroup(["layers.0.weight", "layers.1.weight"], torch.stack(matrices))
    assert (
        moved(group.projected(parameters), Permutation(module.neuron_groups[0]).projected(parameters)) < 1e-12
    )
    assert len(group.generators(parameters)) == 2


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (cyclic(4)[:3], "is not among them"),
        (cyclic(4)[1:], "identity is missing"),
        (torch.ones(2, 3), "shape"),
    ],
)
def test_what_is_no_group_is_refused(matrices: Tensor, message: str) -> None:
    with pytest.raises(PhasediagError, match=message):
        FiniteGroup(["a"], matrices)
