"""Output where not every letter can be written, as under LC_ALL=C: another stands there and nothing fails."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from collections.abc import Mapping
from typing import Final

STAND_INS: Final[Mapping[str, str]] = {
    "●": "#", "○": "o", "×": "x", "·": ".", "│": "|", "─": "-", "±": "+-", "−": "-", "…": "...", "‖": "||",
    "∼": "~", "≤": "<=", "≥": ">=", "λ": "lambda",
}  # fmt: skip
"""What ASCII has instead; the letters of drawings, which come first, have one each."""
_HANDLER: Final = "phasediag.letters"


def write_what_can_be_written() -> None:
    """Let standard output and standard error write a stand-in for what their encoding does not have.

    A name of a file that is no text, as the system gives it, is written as the bytes that it is.
    """
    codecs.register_error(_HANDLER, _instead)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def in_ascii(letter: str) -> str:
    """What stands for a letter in ASCII: its stand-in, its plain form, its name if it is Greek, else `?`."""
    if letter in STAND_INS:
        return STAND_INS[letter]
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    if plain:
        return plain
    script, _, name = unicodedata.name(letter, "").partition(" ")
    size, _, word = name.partition(" LETTER ")
    if script != "GREEK" or not word.isalpha():
        return "?"
    return word.capitalize() if size == "CAPITAL" else word.lower()


def _instead(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    raw = "\udc80" <= letter <= "\udcff"
    return bytes([ord(letter) - 0xDC00]) if raw else in_ascii(letter), error.start + 1
