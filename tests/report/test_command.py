"""`phasediag report` from a store to a file."""

import pytest

from phasediag.cli import main
from phasediag.storage.store import Store
from synthetic_sweep import write_pack


@pytest.fixture
def folder(tmp_path):
    write_pack(Store.at(tmp_path / "planted"), 1, range(12))
    return tmp_path


def test_the_page_is_written_and_its_path_printed(folder, capsys):
    output = folder / "page.html"
    main(["report", str(folder / "planted"), "--output", str(output)])
    assert capsys.readouterr().out == f"{output}\n"
    text = output.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "12 of 12 planned trials are recorded" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["planted", "--output", "missing/page.html"], "cannot write"),
        (["planted", "--x", "weigt_decay"], "weight_decay"),
        (["plantet"], "planted"),
    ],
)
def test_what_cannot_be_done_is_told_without_a_traceback(folder, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as exit:
        main(["report", *arguments])
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (folder / "report.html").exists()
