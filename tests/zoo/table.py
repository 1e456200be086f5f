"""The table of the zoo, as Markdown: `cd tests; python -m zoo.table [--compiled] [--dtype float32]`."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from zoo.catalogue import FOLDER, NETWORKS, TASKS, Animal
from zoo.comparison import Verdict, copied, verdict

NETWORK_FILES = tuple(f.stem for f in sorted(FOLDER.glob("networks_*.py")) if f.stem != "networks_refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiled", action="store_true", help="natively, or through torch.compile")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--only", default="", help="part of a name")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    single = (
        {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.005} if chosen.dtype == "float32" else {}
    )
    counts: Counter[str] = Counter()
    print("| network or task | result | largest relative difference | sentence |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = copied(Path(scratch))
        for animal in (*NETWORKS, *TASKS):
            if chosen.only not in animal.name:
                continue
            outcome = judged(animal, folder, compiled=chosen.compiled, dtype=chosen.dtype, **single)
            counts[f"{animal.kind} {outcome.result}"] += 1
            print(line(animal, outcome, folder), flush=True)
    print("\n" + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))


def judged(animal: Animal, folder: Path, **changed: object) -> Verdict:
    try:
        return verdict(animal, folder, **changed)  # type: ignore[arg-type]
    except Exception as error:
        return Verdict(result="raised", sentence=f"{type(error).__name__}: {error}")


def line(animal: Animal, outcome: Verdict, folder: Path) -> str:
    sentence = " ".join(outcome.sentence.replace(f"{folder}/", "").replace("|", "\\|").split())
    difference = f"{outcome.difference:.0e}" if outcome.result in ("equal", "different") else ""
    reason = sentence or ("" if outcome.result == "equal" else outcome.where)
    return f"| `{animal.name}` | {outcome.result} | {difference} | {reason} |"


if __name__ == "__main__":
    main()
