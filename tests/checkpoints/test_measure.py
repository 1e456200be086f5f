"""Checkpoints of known weights: every format and layout gives the same numbers, which are the exact ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor

import phasediag
from phasediag.analysis.depth import depth_profile
from phasediag.checkpoints.heads import Measured
from phasediag.checkpoints.layouts import NAMINGS, Naming, recognised
from phasediag.checkpoints.named_tensors import weights_of
from phasediag.checkpoints.record import ReadingPlan, measured_parts, record
from phasediag.commands.measure import measure
from phasediag.errors import AnalysisError, PhasediagError

LAYERS, HEADS, WIDTH, HEAD_WIDTH, HIDDEN = 3, 4, 32, 8, 24


def matrices(seed: int = 0, keys: int = HEADS) -> dict[str, list[Tensor]]:
    """Of each layer, (outputs, inputs); of the hidden neurons one is dead and two are alike."""
    rng = torch.Generator().manual_seed(seed)
    sizes = {
        "query": (WIDTH, WIDTH), "key": (keys * HEAD_WIDTH, WIDTH), "value": (keys * HEAD_WIDTH, WIDTH),
        "output": (WIDTH, WIDTH), "up": (HIDDEN, WIDTH), "down": (WIDTH, HIDDEN),
    }  # fmt: skip
    made = {name: [torch.randn(size, generator=rng) for _ in range(LAYERS)] for name, size in sizes.items()}
    for up, down in zip(made["up"], made["down"], strict=True):
        up[0], down[:, 0] = 0, 0
        up[2], down[:, 2] = up[1], down[:, 1]
    return made


def held(layout: Naming, made: Mapping[str, list[Tensor]], prefix: str = "model.") -> dict[str, Tensor]:
    """A state dict in that layout."""
    state: dict[str, Tensor] = {f"{prefix}norm.weight": torch.ones(WIDTH)}

    def put(template: str, layer: int, matrix: Tensor) -> None:
        name = prefix + template.replace("{layer}", str(layer))
        state[name] = (matrix.T if layout.turned else matrix).clone().contiguous()

    for layer in range(LAYERS):
        three = [made[role][layer] for role in ("query", "key", "value")]
        if layout.packed:
            put(layout.query, layer, torch.cat(three))
        else:
            for template, matrix in zip((layout.query, layout.key, layout.value), three, strict=True):
                put(template, layer, matrix)
        put(layout.output, layer, made["output"][layer])
        for template in layout.incoming:
            put(template, layer, made["up"][layer])
        if layout.outgoing:
            put(layout.outgoing, layer, made["down"][layer])
    return state


def parts_of(path: Path, **reading: Any) -> dict[tuple[str, int, int], Measured]:
    return {
        (part.kind, part.depth, part.head): part
        for _, part in measured_parts(path, ReadingPlan(heads=reading.pop("heads", HEADS), **reading))
    }


def assert_same(one: Mapping[Any, Measured], other: Mapping[Any, Measured], rtol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for key, part in one.items():
        again = other[key]
        assert part.rank == again.rank, key
        assert part.stable_rank == pytest.approx(again.stable_rank, rel=rtol)
        for name, distances in part.distances.items():
            np.testing.assert_allclose(distances, again.distances[name], rtol=rtol, atol=1e-6)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert") / "model.safetensors"
    save_file(held(NAMINGS[0], matrices()), path)
    return path


def test_heads_have_the_singular_values_of_their_products(bert: Path) -> None:
    """Of W_Q^T W_K by numpy: distances of double rotation are sqrt(2 s), ranks are theirs."""
    made, parts = matrices(), parts_of(bert)
    assert len(parts) == LAYERS * (2 * HEADS + 1)
    for layer in range(LAYERS):
        for head in range(HEADS):
            rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
            query, key, value = (made[r][layer][rows].double().numpy() for r in ("query", "key", "value"))
            output = made["output"][layer][:, rows].double().numpy()
            for kind, product in (("attention", query.T @ key), ("value", (output @ value).T)):
                exact = np.linalg.svd(product, compute_uv=False)[:HEAD_WIDTH]
                part = parts[kind, layer + 1, head + 1]
                own = np.sort(part.distances["double_rotation"])[::-1]
                np.testing.assert_allclose(own, np.sqrt(2 * exact), rtol=1e-9)
                assert part.stable_rank == pytest.approx((exact**2).sum() / exact[0] ** 2)
                assert part.rank == HEAD_WIDTH


def test_blocks_have_their_dead_and_equal_neurons(bert: Path) -> None:
    trials = phasediag.load_trials(str(record([bert], bert.parent / "sweep", ReadingPlan(heads=HEADS))))
    blocks = trials[trials["part"] == "mlp"]
    assert blocks["dead_count"].tolist() == [1] * LAYERS
    assert blocks["neuron_count"].tolist() == [HIDDEN - 2] * LAYERS
    assert blocks["degree_of_symmetry"].tolist() == [1] * LAYERS


@pytest.mark.parametrize("layout", NAMINGS, ids=lambda layout: layout.family)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_every_layout_is_recognised_and_read_alike(
    layout: Naming, prefix: str, tmp_path: Path, bert: Path
) -> None:
    state = held(layout, matrices(), prefix)
    save_file(state, tmp_path / "model.safetensors")
    weights = weights_of(tmp_path / "model.safetensors")
    assert recognised(weights.shapes).family == layout.family
    own, exact = parts_of(tmp_path / "model.safetensors"), parts_of(bert)
    if len(layout.incoming) != 1:  # a gate is part of the neuron, and there may be none
        own, exact = ({k: p for k, p in parts.items() if k[0] != "mlp"} for parts in (own, exact))
    assert_same(own, exact)


def onnx_file(path: Path, state: Mapping[str, Tensor], beside: str = "") -> None:
    """As torch exports it: products with matrices turned, whose own names are lost."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, held = [], []
    for number, (name, tensor) in enumerate(state.items()):
        own = f"onnx::MatMul_{number}"
        held.append(numpy_helper.from_array(np.ascontiguousarray(tensor.numpy().T), own))
        node = "/" + name.removesuffix(".weight").replace(".", "/") + "/MatMul"
        nodes.append(helper.make_node("MatMul", ["x", own], [f"y{number}"], name=node))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [], held))
    onnx.save(model, path, save_as_external_data=bool(beside), location=beside or None, size_threshold=0)


@pytest.mark.parametrize(
    "kind", ["pt", "bin", "old", "nested", "sharded", "sharded bin", "folder", "onnx", "onnx beside"]
)
def test_every_format_is_read_alike(kind: str, tmp_path: Path, bert: Path) -> None:
    state = held(NAMINGS[0], matrices())
    names, path = sorted(state), tmp_path / "weights.pt"
    if kind == "pt":
        torch.save(state, path)
    elif kind == "bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(state, path)
    elif kind == "old":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif kind == "nested":
        torch.save({"epoch": 3, "model": state}, path)
    elif kind == "folder":
        path = tmp_path
        save_file(state, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": HEADS}))
    elif kind.startswith("onnx"):
        path, beside = tmp_path / "m.onnx", "m.data" if kind.endswith("beside") else ""
        onnx_file(path, {name: tensor for name, tensor in state.items() if tensor.dim() == 2}, beside)
    else:
        suffix, index = (
            ("safetensors", "model.safetensors") if kind == "sharded" else ("bin", "pytorch_model.bin")
        )
        path, shards = tmp_path, {n: f"shard-{i % 3}.{suffix}" for i, n in enumerate(names)}
        for shard in set(shards.values()):
            own = {name: state[name] for name in names if shards[name] == shard}
            save_file(own, tmp_path / shard) if suffix == "safetensors" else torch.save(own, tmp_path / shard)
        (tmp_path / f"{index}.index.json").write_text(json.dumps({"weight_map": shards}))
    assert_same(parts_of(path, heads=None if kind == "folder" else HEADS), parts_of(bert))


def test_a_lost_file_beside_onnx_is_said(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in held(NAMINGS[0], matrices()).items() if tensor.dim() == 2}
    onnx_file(tmp_path / "m.onnx", state, "m.data")
    (tmp_path / "m.data").unlink()
    with pytest.raises(PhasediagError, match=r"m\.onnx cannot be read as weights"):
        parts_of(tmp_path / "m.onnx")


def test_what_a_layer_took_is_given_back(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the heads of each layer, and after each block."""
    kinds: list[str] = []
    monkeypatch.setattr("phasediag.checkpoints.record.give_back", lambda: kinds.append("given back"))
    for _, part in measured_parts(bert, ReadingPlan(heads=HEADS)):
        kinds.append(part.kind)
    heads = [*["attention"] * HEADS, *["value"] * HEADS, "given back"]
    assert kinds == [*heads * LAYERS, *["mlp", "given back"] * LAYERS]


def test_grouped_queries_share_their_keys(tmp_path: Path) -> None:
    llama = next(layout for layout in NAMINGS if layout.family == "Llama")
    grouped = matrices(keys=2)
    save_file(held(llama, grouped), tmp_path / "grouped.safetensors")
    spread = {
        name: [m.reshape(2, HEAD_WIDTH, WIDTH).repeat_interleave(2, 0).flatten(0, 1) for m in values]
        if name in ("key", "value") else values
        for name, values in grouped.items()
    }  # fmt: skip
    save_file(held(llama, spread), tmp_path / "spread.safetensors")
    assert_same(parts_of(tmp_path / "grouped.safetensors"), parts_of(tmp_path / "spread.safetensors"))


def test_changes_of_basis_within_a_head_change_no_double_rotation(tmp_path: Path, bert: Path) -> None:
    """W_Q -> A W_Q, W_K -> A^-T W_K in every head: the logits are the same."""
    made, rng = matrices(), torch.Generator().manual_seed(1)
    for layer in range(LAYERS):
        for head in range(HEADS):
            rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
            a = torch.randn(HEAD_WIDTH, HEAD_WIDTH, generator=rng).double()
            made["query"][layer][rows] = (a @ made["query"][layer][rows].double()).float()
            inverse = torch.linalg.inv(a).T
            made["key"][layer][rows] = (inverse @ made["key"][layer][rows].double()).float()
    save_file(held(NAMINGS[0], made), tmp_path / "a.safetensors")
    own, exact = (
        {k: p for k, p in parts_of(path).items() if k[0] == "attention"}
        for path in (tmp_path / "a.safetensors", bert)
    )
    for key, part in own.items():
        np.testing.assert_allclose(
            np.sort(part.distances["double_rotation"]), np.sort(exact[key].distances["double_rotation"]),
            rtol=1e-3,
        )  # fmt: skip
        assert not np.allclose(part.distances["rotation"], exact[key].distances["rotation"], rtol=1e-2)


def test_the_record_is_that_of_a_sweep(tmp_path: Path, bert: Path) -> None:
    """Diagram, spectra and a second reading: nothing is there twice; another threshold needs no weights."""
    other = tmp_path / "b.safetensors"
    save_file(held(NAMINGS[0], matrices(1)), other)
    sweep = record([bert, other], tmp_path / "s", ReadingPlan(heads=HEADS))
    record([bert], tmp_path / "s", ReadingPlan(heads=HEADS))
    trials, measurements = phasediag.load_trials(str(sweep)), phasediag.load_measurements(str(sweep))
    assert len(trials) == 2 * LAYERS * (2 * HEADS + 1)
    assert trials["trial_id"].is_unique
    profile = depth_profile(trials, measurements)
    assert profile.means["depth"].tolist() == [1, 2, 3] * 2
    assert (profile.means["heads"] == HEADS).all()
    assert "data:image/png" in profile._repr_html_()
    heads = trials[trials["part"] == "attention"]
    diagram = phasediag.phase_diagram(
        heads, x="depth", y="head", order="stable_rank", level=3, facet="checkpoint"
    )
    assert len(diagram.cells) == 2 * LAYERS * HEADS
    with pytest.raises(AnalysisError, match="nothing of part"):
        depth_profile(heads, measurements, "mlp")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.safetensors", "cannot be read as weights"),
        (b"x" * 100, "a.pt", "cannot be read as weights"),
        (b"x" * 100, "a.onnx", "cannot be read as weights"),
        (b"{", "a.index.json", "cannot be read as weights"),
        (b"", "a.txt", "is of no kind that is read"),
    ],
)
def test_what_is_no_checkpoint_is_said(content: bytes, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PhasediagError, match=message):
        list(measured_parts(tmp_path / name, ReadingPlan(heads=1)))


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"import os, torch\nclass Bad:\n def __reduce__(self): return (os.mkdir, ({str(mark)!r},))\n"
    subprocess.run([sys.executable, "-c", f"{code}torch.save(Bad(), {str(tmp_path / 'a.pt')!r})"], check=True)
    with pytest.raises(PhasediagError, match="cannot be read as weights"):
        list(measured_parts(tmp_path / "a.pt", ReadingPlan(heads=1)))
    assert not mark.exists()


def test_what_is_missing_is_asked_for(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(PhasediagError, match="give --heads"):
        list(measured_parts(bert, ReadingPlan()))
    with pytest.raises(PhasediagError, match="5 heads do not divide"):
        list(measured_parts(bert, ReadingPlan(heads=5)))
    with pytest.raises(PhasediagError, match="there is no checkpoint"):
        weights_of(tmp_path / "none.pt")
    with pytest.raises(PhasediagError, match="holds none"):
        weights_of(tmp_path)
    save_file({"linear": torch.ones(3, 4)}, tmp_path / "b.safetensors")
    with pytest.raises(PhasediagError, match=r"matrices: linear.*--query"):
        list(measured_parts(tmp_path / "b.safetensors", ReadingPlan(heads=1)))


def test_the_command_measures_what_templates_name(tmp_path: Path) -> None:
    made = matrices()
    state = {
        f"net.att{i}.{r}": made[name][i] for i in range(LAYERS) for r, name in (("q", "query"), ("k", "key"))
    }
    save_file(state, tmp_path / "own.safetensors")
    arguments = [
        str(tmp_path / "own.safetensors"), "--heads", str(HEADS), "--query", "net.att{layer}.q",
        "--key", "net.att{layer}.k", "--sweep", str(tmp_path / "s"), "--figure", str(tmp_path / "f.png"),
    ]  # fmt: skip
    result = CliRunner().invoke(measure, [*arguments, "--json"], catch_exceptions=False)
    means = json.loads(result.stdout)["attention"]["means"]
    assert [row["depth"] for row in means] == [1, 2, 3]
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    outcome = CliRunner().invoke(measure, arguments, catch_exceptions=False)
    assert "stable_rank" in outcome.stderr
    for wrong in (["--query", "a{layer}"], ["--query", "a", "--key", "b{layer}"], ["--value", "v{layer}"]):
        with pytest.raises(PhasediagError, match=r"give|write"):
            CliRunner().invoke(measure, [str(tmp_path / "own.safetensors"), *wrong], catch_exceptions=False)
