"""ResNet18 for small images, of any width."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any, ClassVar, Final

from phasediag.errors import PhasediagError
from phasediag.models._chain import NO_CHAIN
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.model import Model
from phasediag.trial import Constraint, Parameter, PositiveInt, Role

if TYPE_CHECKING:
    from torch import Tensor

STAGES: Final = 4
BLOCKS: Final = 2
"""Residual blocks of a stage, of two convolutions each."""


class ResNet18(Model):
    """Seventeen 3 x 3 convolutions with batch normalization and residual connections, and a linear readout.

    K. He et al., Deep residual learning for image recognition, CVPR 2016, with the stem that is usual for
    small images: one 3 x 3 convolution of stride 1, no pooling before the mean over all places. Stage s of 4
    has 2^(s-1) times the channels, and from the second on half the height and width of the stage before.

    Symmetries. The channels inside a block may be permuted (`hidden.1` to `hidden.8`), and those of the
    residual stream of a stage jointly (`stage.1` to `stage.4`). Each row of a convolution before a batch
    normalization may be scaled alone, f(a w) = f(w), which has no symmetric state; gain and shift of a
    channel inside a block may be rescaled against the weights that read it. Neither is put into a gauge:
    norms and distances depend on the scales that training leaves.

    Parameters
    ----------
    inputs, outputs
        Pixels of a square image of one or three colours, channel by channel; classes.
    channels
        Of the first stage; 64 is ResNet18.

    Attributes
    ----------
    neuron_groups
        `hidden.1` to `hidden.8`: the channels between the two convolutions of each block. `stage.1` to
        `stage.4`: the channels of the residual stream, as what comes next is given them; of the last stage
        those are the features that are read out.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="channels", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL,
                  unit="channels", meaning="Channels of the first of four stages, of which each has twice as "
                  "many as the one before; 64 is ResNet18, 8 its width multiplied by 1/8."),
    )  # fmt: skip
    constraints: ClassVar[tuple[Constraint, ...]] = (NO_CHAIN,)
    constructed: ClassVar[bool] = True

    def __init__(self, inputs: int, outputs: int, channels: int) -> None:
        from torch import nn

        super().__init__()
        self.colours, self.side = image_of(inputs)
        self.stem = nn.Conv2d(self.colours, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        blocks, before = [], channels
        for stage in range(STAGES):
            width = channels * 2**stage
            for block in range(BLOCKS):
                stride = 2 if stage and not block else 1
                blocks.append(_block(before, width, stride))
                before = width
        self.blocks: Any = nn.ModuleList(blocks)
        self.readout = nn.Linear(before, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Flattened images (samples, inputs) to (samples, outputs)."""
        stream: Tensor = self.norm(self.stem(x.reshape(-1, self.colours, self.side, self.side))).relu()
        for block in self.blocks:
            inner = block["norm1"](block["conv1"](stream)).relu()
            direct = block["norm"](block["shortcut"](stream)) if "shortcut" in block else stream
            stream = (block["norm2"](block["conv2"](inner)) + direct).relu()
        prediction: Tensor = self.readout(stream.mean(dim=(-2, -1)))
        return prediction

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """The channels inside of blocks, and those of the residual streams."""
        inner = (
            NeuronGroup(
                name=f"hidden.{n + 1}", bias=(f"blocks.{n}.norm1.bias",),
                incoming=(f"blocks.{n}.conv1.weight", f"blocks.{n}.norm1.weight"),
                outgoing=(f"blocks.{n}.conv2.weight",),
            )
            for n in range(len(self.blocks))
        )  # fmt: skip
        return (*inner, *(self._stream(stage) for stage in range(STAGES)))

    def _stream(self, stage: int) -> NeuronGroup:
        """All that writes to the channels of a stage's residual stream, and all that reads them."""
        first, after = stage * BLOCKS, (stage + 1) * BLOCKS
        writers = [("stem", "norm")] if stage == 0 else [(f"blocks.{first}.shortcut", f"blocks.{first}.norm")]
        writers += [(f"blocks.{n}.conv2", f"blocks.{n}.norm2") for n in range(first, after)]
        readers = [f"blocks.{after}.conv1", f"blocks.{after}.shortcut"] if stage < STAGES - 1 else ["readout"]
        readers += [f"blocks.{n}.conv1" for n in range(first if stage == 0 else first + 1, after)]
        return NeuronGroup(
            name=f"stage.{stage + 1}", outgoing=tuple(f"{name}.weight" for name in readers),
            bias=tuple(f"{norm}.bias" for _, norm in writers),
            incoming=tuple(f"{name}.weight" for writer in writers for name in writer),
        )  # fmt: skip


def _block(before: int, width: int, stride: int) -> Any:
    """The parts of a residual block; a shortcut where the numbers of channels or places change."""
    from torch import nn

    parts: dict[str, Any] = {
        "conv1": nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
        "norm1": nn.BatchNorm2d(width),
        "conv2": nn.Conv2d(width, width, 3, padding=1, bias=False), "norm2": nn.BatchNorm2d(width),
    }  # fmt: skip
    if stride > 1 or before != width:
        parts |= {"shortcut": nn.Conv2d(before, width, 1, stride=stride, bias=False),
                  "norm": nn.BatchNorm2d(width)}  # fmt: skip
    return nn.ModuleDict(parts)


def image_of(inputs: int) -> tuple[int, int]:
    """Colours and side of a square image of so many numbers; no number is both of one and of three colours.

    Raises
    ------
    PhasediagError
        Where they make no square image.
    """
    for colours in (1, 3):
        side = isqrt(inputs // colours)
        if colours * side**2 == inputs:
            return colours, side
    raise PhasediagError(
        f"model resnet18 takes square images of one or three colours, and {inputs} inputs are none; take "
        "task cifar10, svhn, mnist, fashion_mnist or digits, or as many inputs as 64 or 192"
    )
