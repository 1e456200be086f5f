"""Terminals and files that do not know every letter: a command says what it has to say all the same."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from phasediag.cli import main
from phasediag.commands.encoding import in_ascii, write_what_can_be_written
from small_sweeps import grid_text, write


def output(monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str = "strict") -> io.BytesIO:
    """What is written on standard output, from now on of this encoding."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, errors=errors, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    return written


def test_what_cannot_be_written_has_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks of drawings one letter each; Greek by name; a name that is no text as its bytes."""
    written = output(monkeypatch, "ascii", "surrogateescape")  # as under LC_ALL=C
    with pytest.raises(UnicodeEncodeError):
        print("ε")
    write_what_can_be_written()
    print("ε = 1 ± 0.1, ‖Δ‖², λ₀ … é", "●○×·│─", "d\udce9", "漢", sep="|")
    assert written.getvalue() == b"epsilon = 1 +- 0.1, ||Delta||2, lambda0 ... e|#ox.|-|d\xe9|?\n"


def test_letters_that_can_be_written_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    written = output(monkeypatch, "latin-1")
    write_what_can_be_written()
    print("é ± ε")
    assert written.getvalue() == "é ± epsilon\n".encode("latin-1")


def test_a_stand_in_is_ascii() -> None:
    assert all(in_ascii(chr(point)).isascii() for point in (*range(0x80, 0x500), *range(0x2000, 0x2600)))


def test_a_command_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With letters that it shows of a user's as with its own."""
    write(tmp_path, grid_text({"width": "[16, 32]"}), "gitter-ä.yaml")
    monkeypatch.chdir(tmp_path)
    written = output(monkeypatch, "ascii", "surrogateescape")
    main(["plan", "gitter-ä.yaml", "--storage", str(tmp_path)])
    assert b"g: " in written.getvalue()
    assert b"gitter-a.yaml" in written.getvalue()
