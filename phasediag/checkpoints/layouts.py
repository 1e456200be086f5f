"""Where attention layers and blocks of hidden neurons stand in a checkpoint: its names, recognised.

A template names a tensor with `{layer}` for its number, behind whatever prefix. What is packed is a share
of a tensor's rows, and Conv1D of GPT-2 keeps its matrices the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor

from phasediag.arrays import Shape
from phasediag.checkpoints.named_tensors import StoredTensors
from phasediag.errors import PhasediagError


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A matrix of shape (outputs, inputs), as a checkpoint holds it."""

    name: str
    part: tuple[int, int] = (0, 1)
    """Which share of the outputs it is, and of how many."""
    turned: bool = False
    """Whether it is held as (inputs, outputs)."""

    def read(self, weights: StoredTensors) -> Tensor:
        """The matrix, float32, shape (outputs, inputs)."""
        tensor = weights.read(self.name)
        matrix = tensor.T if self.turned else tensor
        number, parts = self.part
        return matrix.chunk(parts, dim=0)[number]

    def shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """Outputs and inputs."""
        shape = shapes[self.name]
        outputs, inputs = shape[::-1] if self.turned else shape
        return outputs // self.part[1], inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One attention layer; matrices of all heads together."""

    depth: int
    """From 1 on."""
    query: Matrix
    key: Matrix
    value: Matrix | None
    output: Matrix | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronBlock:
    """One block of hidden neurons."""

    depth: int
    incoming: tuple[Matrix, ...]
    """The incoming weights, each of shape (neurons, inputs): one, or a gate besides."""
    bias: str
    """Name of the biases; empty where there are none."""
    outgoing: Matrix
    """The outgoing weights, shape (outputs, neurons)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The names of one family of checkpoints; empty templates are of nothing that it has."""

    family: str
    query: str
    key: str
    value: str = ""
    output: str = ""
    packed: bool = False
    """Whether query, key and value are the thirds of one matrix, whose template all three give."""
    turned: bool = False
    incoming: tuple[str, ...] = ()
    outgoing: str = ""


def _packed(family: str, name: str, output: str, **more: object) -> Naming:
    made = Naming(family=family, query=name, key=name, value=name, output=output, packed=True)
    return replace(made, **more)  # type: ignore[arg-type]


_BERT: Final = "encoder.layer.{layer}.attention"
_TORCHVISION: Final = "encoder.layers.encoder_layer_{layer}"
_LLAMA: Final = "layers.{layer}.self_attn"
NAMINGS: Final[tuple[Naming, ...]] = (
    Naming(family="BERT", query=f"{_BERT}.self.query.weight", key=f"{_BERT}.self.key.weight",
           value=f"{_BERT}.self.value.weight", output=f"{_BERT}.output.dense.weight",
           incoming=("encoder.layer.{layer}.intermediate.dense.weight",),
           outgoing="encoder.layer.{layer}.output.dense.weight"),
    Naming(family="ViT (Hugging Face)", query=f"{_BERT}.attention.query.weight",
           key=f"{_BERT}.attention.key.weight", value=f"{_BERT}.attention.value.weight",
           output=f"{_BERT}.output.dense.weight",
           incoming=("encoder.layer.{layer}.intermediate.dense.weight",),
           outgoing="encoder.layer.{layer}.output.dense.weight"),
    Naming(family="DINOv2 (Hugging Face)", query=f"{_BERT}.attention.query.weight",
           key=f"{_BERT}.attention.key.weight", value=f"{_BERT}.attention.value.weight",
           output=f"{_BERT}.output.dense.weight", incoming=("encoder.layer.{layer}.mlp.fc1.weight",),
           outgoing="encoder.layer.{layer}.mlp.fc2.weight"),
    _packed("ViT (torchvision)", f"{_TORCHVISION}.self_attention.in_proj_weight",
            f"{_TORCHVISION}.self_attention.out_proj.weight",
            incoming=(f"{_TORCHVISION}.mlp.0.weight",), outgoing=f"{_TORCHVISION}.mlp.3.weight"),
    _packed("ViT (torchvision, older)", f"{_TORCHVISION}.self_attention.in_proj_weight",
            f"{_TORCHVISION}.self_attention.out_proj.weight",
            incoming=(f"{_TORCHVISION}.mlp.linear_1.weight",),
            outgoing=f"{_TORCHVISION}.mlp.linear_2.weight"),
    _packed("ViT (timm)", "blocks.{layer}.attn.qkv.weight", "blocks.{layer}.attn.proj.weight",
            incoming=("blocks.{layer}.mlp.fc1.weight",), outgoing="blocks.{layer}.mlp.fc2.weight"),
    _packed("GPT-2", "h.{layer}.attn.c_attn.weight", "h.{layer}.attn.c_proj.weight", turned=True,
            incoming=("h.{layer}.mlp.c_fc.weight",), outgoing="h.{layer}.mlp.c_proj.weight"),
    Naming(family="Llama", query=f"{_LLAMA}.q_proj.weight", key=f"{_LLAMA}.k_proj.weight",
           value=f"{_LLAMA}.v_proj.weight", output=f"{_LLAMA}.o_proj.weight",
           incoming=("layers.{layer}.mlp.gate_proj.weight", "layers.{layer}.mlp.up_proj.weight"),
           outgoing="layers.{layer}.mlp.down_proj.weight"),
    _packed("torch.nn.TransformerEncoder", "layers.{layer}.self_attn.in_proj_weight",
            "layers.{layer}.self_attn.out_proj.weight", incoming=("layers.{layer}.linear1.weight",),
            outgoing="layers.{layer}.linear2.weight"),
    Naming(family="phasediag", query="blocks.{layer}.query.weight", key="blocks.{layer}.key.weight",
           value="blocks.{layer}.value.weight", output="blocks.{layer}.output.weight"),
)  # fmt: skip


def recognised(shapes: Mapping[str, Shape], own: Naming | None = None) -> Naming:
    """The layout whose names a checkpoint has, the most of them.

    Parameters
    ----------
    shapes
        Of its tensors.
    own
        What the user says; it is taken where it fits.

    Raises
    ------
    PhasediagError
        Where no layer is recognised; shows names of the checkpoint and what to say.
    """
    candidates = NAMINGS if own is None else (own,)
    scores = [(sum(_has(shapes, name) for name in _templates(layout)), layout) for layout in candidates]
    fitting = [(n, layout) for n, layout in scores if _has(shapes, layout.query) and _has(shapes, layout.key)]
    if not fitting:
        some = ", ".join([name for name, shape in shapes.items() if len(shape) == 2][:4]) or "none"
        wanted = "known layouts" if own is None else f"'{own.query}' and '{own.key}'"
        raise PhasediagError(
            f"no attention layer is recognised by {wanted} among its {len(shapes)} tensors (matrices: {some}"
            ", ..); name them with --query 'encoder.{layer}.q.weight' --key '..' (and --value, --output)"
        )
    return max(fitting, key=lambda pair: pair[0])[1]


def _templates(layout: Naming) -> list[str]:
    names = (layout.query, layout.key, layout.value, layout.output, *layout.incoming, layout.outgoing)
    return [name for name in dict.fromkeys(names) if name]


def _pattern(template: str) -> re.Pattern[str]:
    before, _, behind = template.partition("{layer}")
    return re.compile(rf"(?:.*\.)?{re.escape(before)}(\d+){re.escape(behind)}")


def _numbered(shapes: Mapping[str, Shape], template: str) -> dict[int, str]:
    """The matrices that a template names, by the number of their layer; the shortest name of each."""
    pattern, numbered = _pattern(template), dict[int, str]()
    for name in sorted(shapes, key=len, reverse=True):
        match = pattern.fullmatch(name)
        if match and len(shapes[name]) == 2:
            numbered[int(match[1])] = name
    return numbered


def _has(shapes: Mapping[str, Shape], template: str) -> bool:
    return bool(template) and bool(_numbered(shapes, template))


def attention_layers(shapes: Mapping[str, Shape], layout: Naming) -> Iterator[Attention]:
    """The attention layers, in their order."""
    named = {role: _numbered(shapes, getattr(layout, role)) for role in ("query", "key", "value", "output")
             if getattr(layout, role)}  # fmt: skip
    for depth, number in enumerate(sorted(named["query"].keys() & named["key"].keys()), start=1):

        def matrix(role: str, third: int, number: int = number) -> Matrix | None:
            name = named.get(role, {}).get(number)
            if name is None:
                return None
            part = (third, 3) if layout.packed and third < 3 else (0, 1)
            return Matrix(name=name, part=part, turned=layout.turned)

        query, key = matrix("query", 0), matrix("key", 1)
        assert query is not None
        assert key is not None
        yield Attention(
            depth=depth, query=query, key=key, value=matrix("value", 2), output=matrix("output", 3)
        )


def blocks(shapes: Mapping[str, Shape], layout: Naming) -> Iterator[NeuronBlock]:
    """The blocks of hidden neurons, in their order."""
    if not layout.incoming or not layout.outgoing:
        return
    incoming = [_numbered(shapes, template) for template in layout.incoming]
    outgoing = _numbered(shapes, layout.outgoing)
    common = set(outgoing).intersection(*incoming)
    for depth, number in enumerate(sorted(common), start=1):
        bias = incoming[0][number].removesuffix("weight") + "bias"
        yield NeuronBlock(
            depth=depth, bias=bias if bias in shapes else "",
            incoming=tuple(Matrix(name=names[number], turned=layout.turned) for names in incoming),
            outgoing=Matrix(name=outgoing[number], turned=layout.turned),
        )  # fmt: skip


def heads_of(
    layers: Sequence[Attention], shapes: Mapping[str, Shape], settings: Mapping[str, object],
    heads: int | None,
) -> tuple[int, int]:  # fmt: skip
    """The numbers of heads of queries and of keys.

    Parameters
    ----------
    settings
        What `config.json` says.
    heads
        What the user says; None: the settings.

    Raises
    ------
    PhasediagError
        Where nobody says it, or it does not divide the matrices.
    """
    known = (settings.get(name) for name in ("num_attention_heads", "n_head", "num_heads", "n_heads"))
    queries = heads or next((number for number in known if isinstance(number, int)), None)
    if queries is None:
        raise PhasediagError(
            "the number of heads stands neither in the weights nor in a config.json beside them; give --heads"
        )
    wide, narrow = (matrix.shape(shapes)[0] for matrix in (layers[0].query, layers[0].key))
    width = wide // queries
    if width < 1 or wide % queries or narrow % width:
        raise PhasediagError(
            f"{queries} heads do not divide the {wide} rows of {layers[0].query.name} and the {narrow} of "
            f"{layers[0].key.name}; give another --heads"
        )
    return queries, narrow // width
