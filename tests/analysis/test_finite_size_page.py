"""The example of docs/finite-size.md is run."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "finite-size.md"


def test_the_example_finds_the_crossing(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    names = {}
    exec(code, names)
    row = names["found"].crossings.iloc[0]
    assert row["low"] <= 0.5 <= row["high"]
    assert "cross at weight_decay" in capsys.readouterr().out
