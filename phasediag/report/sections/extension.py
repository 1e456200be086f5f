"""What moved when trials were trained for longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from phasediag.report.section import Material, Section, picture
from phasediag.report.warnings import warned

PLACE: Final = 40


def sections(material: Material) -> Iterator[Section]:
    """How many trials that were called settled moved; none where no trial was trained for longer."""
    longer = material.extension
    if longer is None:
        return
    shown = longer.pairs["count before"].notna().any()
    caption = (
        f"{longer.count} of each trial when trained for longer, against what it was. Full points had "
        "settled by their own motion; on the line nothing moved."
    )
    pictures = (picture(longer.plot(), " ".join(longer.findings), caption),) if shown else ()
    yield Section(
        title="Trained for longer", pictures=pictures, tables=longer.tables, warnings=warned(longer.warnings),
        findings=longer.findings,
    )  # fmt: skip
