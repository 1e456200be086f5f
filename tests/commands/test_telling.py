"""What must be known of the records: each command says it as a message, once, and never as Python does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from phasediag.analysis.decoupled_decay import DecoupledDecayWarning
from phasediag.analysis.frames import CarriedWarning
from phasediag.analysis.versions import VersionsWarning
from phasediag.cli import main
from phasediag.commands.launch_options import Launching
from phasediag.commands.options import telling
from phasediag.errors import RecordsWarning
from phasediag.storage.damage import DamageWarning


@pytest.mark.parametrize(
    ("category", "word"),
    [
        (VersionsWarning, "note"), (CarriedWarning, "note"), (DamageWarning, "warning"),
        (DecoupledDecayWarning, "warning"),
    ],
)  # fmt: skip
def test_refine_says_it_as_every_command_does(
    category: type[RecordsWarning], word: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Raw, with file and line of the program, it was printed where a command took no notice of it."""

    def refine(*arguments: object, **options: object) -> None:
        for _ in range(2):
            warnings.warn("there are two versions", category, stacklevel=2)
        raise KeyboardInterrupt

    monkeypatch.setattr("phasediag.sweeps.refine.refine", refine)
    with pytest.raises(SystemExit):
        main(["refine", "sweep", "--x", "weight_decay", "--y", "width"])
    assert capsys.readouterr().err.splitlines()[:1] == [f"{word}: there are two versions"]


def test_what_was_said_before_is_noted_again_and_not_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    noted: list[str] = []
    with telling():
        warnings.warn("of two versions the newest", VersionsWarning, stacklevel=1)
        with telling(noted):
            warnings.warn("of two versions the newest", VersionsWarning, stacklevel=1)
            warnings.warn("a file is damaged", DamageWarning, stacklevel=1)
    assert noted == ["of two versions the newest"]
    assert capsys.readouterr().err == "note: of two versions the newest\nwarning: a file is damaged\n"


def test_other_warnings_are_left_alone() -> None:
    with pytest.warns(UserWarning, match="of a library"), telling():
        warnings.warn("of a library", UserWarning, stacklevel=1)


def test_rounds_of_one_command_tell_a_thing_once_and_as_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is seen twice in one launch happened twice."""

    def launch(*arguments: object, notify: Callable[[str], None], **options: object) -> None:
        for sentence in ("it starts otherwise", "a worker died", "a worker died"):
            notify(sentence)

    monkeypatch.setattr("phasediag.sweeps.sweep.launch", launch)
    given = dict.fromkeys(("address", "max_failures", "time_limit"))
    how = Launching.of({**given, "executor": "inline", "retry_failed": False, "compile_mode": "off"})
    for _ in range(3):
        how.train(Path("grid.yaml"), sweep="sweeps/mine")
    said = capsys.readouterr().err.splitlines()
    assert said == ["note: it starts otherwise", "note: a worker died", "note: a worker died"]
