"""What a model states of its neurons: values that can be nothing of the kind are refused, not passed over."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from phasediag.errors import PhasediagError
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.construction import neuron_groups_of


class Stating(nn.Module):
    """Two layers, and whatever is stated of the neurons between them."""

    def __init__(self, stated: dict[str, Any]) -> None:
        super().__init__()
        self.first, self.second, self.stated = nn.Linear(3, 4), nn.Linear(4, 2), stated

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        names = {"name": "hidden.1", "incoming": ("first.weight",), "outgoing": ("second.weight",)}
        return (NeuronGroup(**{**names, **self.stated}),)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"parity": "od"}, "parity is 'od'; have one of 'odd', 'even', None"),
        ({"parity": True}, "parity is True"),
        ({"outgoing_axis": 2}, "outgoing_axis is 2; have one of 0, 1"),
        ({"homogeneity": "one"}, "homogeneity is 'one'"),
        ({"span": (0, 9)}, r"the span \(0, 9\) is none of the 4 neurons of 'first.weight'"),
        ({"span": (2, 2)}, r"the span \(2, 2\)"),
        ({"span": (0, 2), "outgoing_span": (3, 5)}, r"the span \(3, 5\) .*'second.weight'"),
    ],
)
def test_what_cannot_be_is_refused(stated: dict[str, Any], words: str) -> None:
    """A misspelt parity was taken for none, and degrees were of a smaller symmetry."""
    with pytest.raises(PhasediagError, match=f"my_net.py:3: neuron group hidden.1: {words}"):
        neuron_groups_of(Stating(stated), "my_net.py:3")


@pytest.mark.parametrize(
    "stated", [{"parity": "odd", "homogeneity": 1}, {"span": (0, 2), "outgoing_span": (2, 4)}]
)
def test_what_can_be_is_taken(stated: dict[str, Any]) -> None:
    (group,) = neuron_groups_of(Stating(stated), "my_net.py:3")
    assert all(getattr(group, name) == value for name, value in stated.items())
