"""measure: the symmetries of trained checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from phasediag.commands.options import JSON, say, together
from phasediag.commands.tables import printed
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.checkpoints.layouts import Naming


_TEMPLATES: Final = together("templates", {
    "query": click.option("--query", metavar="TEMPLATE", help="Name of the query matrices, with {layer} for "
                          "the number; default: known layouts (BERT, ViT, DINOv2, GPT-2, Llama, timm, "
                          "torchvision)."),
    "key": click.option("--key", metavar="TEMPLATE", help="Like --query, of the key matrices."),
    "value": click.option("--value", metavar="TEMPLATE", default="",
                           help="Like --query, of the value matrices."),
    "output_matrix": click.option("--output-matrix", metavar="TEMPLATE", default="",
                                  help="Like --query, of the output matrices."),
})  # fmt: skip
"""Names of the matrices of heads."""


@click.command(short_help="Symmetries and ranks of a trained checkpoint.")
@click.argument("weights", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="WEIGHTS...")
@click.option("--heads", type=click.IntRange(min=1),
              help="Attention heads a layer; default: what config.json beside the weights says.")  # fmt: skip
@_TEMPLATES
@click.option("--part", "parts", multiple=True, type=click.Choice(["attention", "value", "mlp"]),
              help="Only these; default: all.")  # fmt: skip
@click.option("--relative", type=click.FloatRange(min=0), default=0.05, show_default=True,
              help="Threshold of distances, in root mean square norms.")  # fmt: skip
@click.option("--sweep", type=click.Path(path_type=Path), default=Path("checkpoints"), show_default=True,
              help="Folder of the record: Parquet that load_trials and diagram read.")  # fmt: skip
@click.option(
    "--figure", type=click.Path(path_type=Path), help="Draw attention against depth: PNG, SVG or PDF."
)
@JSON
def measure(
    weights: tuple[Path, ...], heads: int | None, templates: Mapping[str, Any], parts: tuple[Any, ...],
    relative: float, sweep: Path, figure: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure rank and degree of symmetry of every layer and head of trained WEIGHTS.

    Files (.safetensors, .pt, .bin, .onnx, an index of shards) or folders; one layer is read at a time.
    """
    from phasediag.analysis.depth import depth_profile
    from phasediag.analysis.frames import load_measurements, load_trials
    from phasediag.checkpoints.record import PARTS, ReadingPlan, record
    from phasediag.figures.style import save
    from phasediag.observables.threshold import Threshold

    reading = ReadingPlan(
        heads=heads, layout=_layout(**templates), parts=parts or PARTS, threshold=Threshold(relative=relative)
    )  # fmt: skip
    with Console(stderr=True).status("reading") as status:  # shown in a terminal alone
        record(weights, sweep, reading, lambda name, part: status.update(f"{name}: {part.kind} {part.depth}"))
    names = [str(path) for path in weights]
    trials = load_trials(str(sweep))
    trials = trials[trials["checkpoint"].isin(names)]
    measurements = load_measurements(str(sweep))
    shown = [part for part in PARTS if (trials["part"] == part).any()]
    profiles = {part: depth_profile(trials, measurements, part) for part in shown}
    if figure is not None and profiles:
        save(profiles[shown[0]].plot(), figure)
        say(str(figure))
    if as_json:
        click.echo(json.dumps({part: profile.as_dict() for part, profile in profiles.items()}))
        return
    for part, profile in profiles.items():
        columns = ["checkpoint", "depth", "heads", "degree_normalized", "rank_share", "stable_rank"]
        say(f"{part}:\n{printed(part, profile.means[columns])}")
    click.echo(str(sweep))


def _layout(query: str | None, key: str | None, value: str, output_matrix: str) -> Naming | None:
    """The layout that the templates state; None where none is given."""
    if query is None and key is None:
        if value or output_matrix:
            raise PhasediagError("--value and --output-matrix go with --query and --key; give these too")
        return None
    if query is None or key is None:
        raise PhasediagError("--query and --key go together; give both")
    given = {"--query": query, "--key": key, "--value": value, "--output-matrix": output_matrix}
    for option, template in given.items():
        if template and template.count("{layer}") != 1:
            raise PhasediagError(
                f"{option} '{template}' names one tensor; write {{layer}} once, where the number stands"
            )
    from phasediag.checkpoints.layouts import Naming

    return Naming(family="as given", query=query, key=key, value=value, output=output_matrix)
