"""The figure of settled numbers: a width looks alike in all panels, and each panel names its own."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from phasediag.analysis.settled_counts import settled_counts
from phasediag.figures.settled_counts import draw
from planted_counts import planted


def looks(panel: Axes) -> dict[str, tuple[object, object]]:
    """Colour and marker of each width that the panel's legend names."""
    legend = panel.get_legend()
    if legend is None:
        return {}
    return {
        text.get_text(): (line.get_color(), line.get_marker())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }


def panels(*widths: tuple[int, int]) -> list[dict[str, tuple[object, object]]]:
    """The legends of one panel for each pair of widths."""
    parts = []
    for inputs, pair in enumerate(widths, start=1):
        part = planted(lambda i, x, w, r, f: 5, inputs=[inputs], decays=3, widths=pair)
        parts.append(
            [table.assign(trial_id=table["trial_id"].map(f"{inputs}:{{}}".format)) for table in part]
        )
    trials, numbers = (pd.concat(some, ignore_index=True) for some in zip(*parts, strict=True))
    figure = draw(settled_counts(trials, numbers, ["inputs"]))
    return [looks(panel) for panel in figure.axes]  # type: ignore[union-attr]


def test_panels_of_other_widths_name_them_and_a_width_looks_alike() -> None:
    first, second = panels((16, 32), (32, 64))
    assert (list(first), list(second)) == (["width = 16", "width = 32"], ["width = 32", "width = 64"])
    assert first["width = 32"] == second["width = 32"]
    assert len({*first.values(), *second.values()}) == 3


def test_widths_that_all_panels_share_are_named_once() -> None:
    first, second = panels((16, 32), (16, 32))
    assert len(first) == 2
    assert second == {}
