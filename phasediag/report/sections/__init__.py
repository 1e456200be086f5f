"""The sections of a report, in their order: every module of this folder makes some.

A module has `PLACE`, a number by which the sections are sorted, and `sections(material)`, which gives them;
none where the trials say nothing on its question.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from phasediag.report.section import Material, Section


def all_sections(material: Material) -> list[Section]:
    """The sections of every module of this folder."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return [
        section
        for module in sorted(modules, key=lambda module: int(module.PLACE))
        for section in module.sections(material)
    ]
