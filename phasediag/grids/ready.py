"""The ready grids of `jobs/`: beside the package in a checkout, inside it where it is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phasediag.errors import PhasediagError, nearest

TEMPLATES: Final = "templates"
"""The folder of those that are written to be changed; they are named without it."""
_FILE: Final = re.compile(r"[\w-]+\.(?:py|npz)\b")
_END: Final = re.compile(r"(?<=[.?!])(?<!\bFig\.)(?<!\bFigs\.)(?<!\b[A-Z]\.) ")
"""Between two sentences: not behind the initial of a name, nor behind Fig."""
_NAME: Final = re.compile(r"^name: *(\S+)", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyGrid:
    """A grid that comes with phasediag."""

    name: str
    """Its path without suffix: `quickstart`, `literature/trainability`; of a template its file alone."""
    path: Path

    @property
    def about(self) -> str:
        """What its comment begins with, up to the end of the first sentence."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        comment = " ".join(line[1:].strip() for line in lines if line.startswith("#"))
        return _END.split(comment, maxsplit=1)[0]

    @property
    def template(self) -> bool:
        """Whether it was written to be changed."""
        return self.path.parent.name == TEMPLATES

    def text(self, name: str) -> str:
        """Its text for a sweep of another name, in the folder where the user works, beside `beside`."""
        text = self.path.read_text(encoding="utf-8")
        own = _NAME.search(text)
        assert own is not None, f"{self.path} has no name"
        text = re.sub(rf"\bjobs/[\w/-]*{self.path.stem}\.yaml", f"{name}.yaml", text)
        for beside in self.beside():
            text = re.sub(rf"\bjobs/[\w/-]*{re.escape(beside)}", beside, text)
        text = re.sub(rf"\bsweeps/{own[1]}(?![\w-])", f"sweeps/{name}", text)
        return _NAME.sub(f"name: {name}", text, count=1)

    def beside(self) -> dict[str, bytes]:
        """The content of the files that it names, by their names; found without importing any."""
        names = dict.fromkeys(_FILE.findall(self.path.read_text(encoding="utf-8")))
        paths = {name: self.path.parent / name for name in names}
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def ready_grids() -> dict[str, ReadyGrid]:
    """Every ready grid by name, templates first.

    Raises
    ------
    PhasediagError
        Where the package lies without them.
    """
    folder = _folder()
    grids = [ReadyGrid(name=_named(path, folder), path=path) for path in grids_below(folder)]
    return {grid.name: grid for grid in sorted(grids, key=lambda grid: not grid.template)}


def grids_below(folder: Path) -> list[Path]:
    """The grids in a folder and below; what has no name at its top level, as a manifest, is none."""
    paths = sorted(folder.rglob("*.yaml"))
    return [
        path for path in paths if re.search(r"^name:", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]


def ready_names() -> frozenset[str]:
    """The names of the ready grids; none where the package lies without them."""
    try:
        return frozenset(ready_grids())
    except PhasediagError:
        return frozenset()


def ready_grid(name: str) -> ReadyGrid:
    """One ready grid.

    Raises
    ------
    PhasediagError
        Where there is none of this name; names the nearest, or the templates.
    """
    grids = ready_grids()
    if name not in grids:
        templates = ", ".join(each for each, grid in grids.items() if grid.template)
        hint = nearest(name, grids) or f"the templates are {templates}"
        raise PhasediagError(f"there is no ready grid '{name}'; {hint}; `phasediag init --list` lists all")
    return grids[name]


def _folder() -> Path:
    package = Path(__file__).parents[1]
    places = (package / "jobs", package.parent / "jobs")
    for place in places:
        if (place / "quickstart.yaml").is_file():
            return place
    raise PhasediagError(f"the ready grids are not in {places[0]}; install phasediag again")


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix().removeprefix(f"{TEMPLATES}/")
