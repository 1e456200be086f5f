"""What places and the one that leads write to each other, as small files of JSON in a folder of the sweep.

A place writes `NAME.report`, again and again: that is its heartbeat, too. The one that leads answers it in
`NAME.claim`, and tells of itself in `leader`. There are as many files as places, however many trials.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from phasediag.errors import SweepGoneError
from phasediag.packing.machine import Machine
from phasediag.running.checkpoint import Header
from phasediag.running.job import Breakdown, Progress, WorkerPlace, WorkerReport
from phasediag.storage.folder import Entry, Folder
from phasediag.storage.holder import Holder
from phasediag.storage.store import Store

FOLDER: Final = "places"
REPORT, CLAIM, LEADER = ".report", ".claim", "leader"
MODES: Final = (False, True)
"""The keys of what a machine tells by mode."""
TABLES: Final = tuple(each.name for each in fields(Machine) if "Mapping" in str(each.type))
"""What a machine tells by mode: eager or compiled, by torch.compile or natively."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a place tells."""

    number: int
    """The number of the report, counted from 0; a number that was read before is a heartbeat."""
    leader: str
    """Whom it follows: the token of a lease."""
    holder: Holder
    """Its process."""
    report: WorkerReport

    @property
    def closing(self) -> bool:
        """Whether it tells what came of a pack: it is answered in any case, and stays until then."""
        progress = self.report.progress
        return self.report.breakdown is not None or (progress is not None and progress.done)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenClaim:
    """A pack for a place that knows the trials by their ids."""

    header: Header
    final: bool
    accepted: frozenset[str]
    """Errors that are known to be the trials' own (`PackClaim.accepted`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a launch ends for all of its places."""

    reason: str = ""
    """Empty where nothing is left to train."""
    breakdown: bool = False
    """Whether nothing can be trained any more."""
    failures: bool = False
    """Whether too many trials have failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a place is told."""

    number: int
    """The number of the report that it answers."""
    leader: str
    claim: WrittenClaim | None = None
    ending: Ending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who leads, and what it trains."""

    token: str
    """The token of the lease that it holds."""
    grid: str
    """A hash of the trials and of what is measured."""
    software: Mapping[str, str]
    """What a machine that trains must have in common with the launch (`Job.software`)."""


def folder_of(store: Store) -> Folder:
    """Where the letters of a sweep lie."""
    return store.folder / FOLDER


def reports_in(folder: Folder) -> list[Entry]:
    """The files in which places tell of themselves.

    Raises
    ------
    SweepGoneError
        Where the folder of the sweep is gone: that no place is seen there says nothing of them.
    """
    _require_sweep(folder)
    return [entry for entry in folder.entries() if entry.name.endswith(REPORT)]


def write_letter(folder: Folder, name: str, letter: Letter) -> None:
    """Write what a place tells."""
    report, place = letter.report, letter.report.place
    machine = asdict(place.machine) | {
        each: [getattr(place.machine, each)[mode] for mode in MODES] for each in TABLES
    }
    plain = {
        "number": letter.number, "leader": letter.leader, "holder": asdict(letter.holder),
        "place": {"host": place.host, "node": place.node, "refusal": place.refusal, "machine": machine},
        "progress": report.progress and _plain_progress(report.progress),
        "breakdown": report.breakdown and asdict(report.breakdown),
    }  # fmt: skip
    _write(folder, f"{name}{REPORT}", plain)


def read_letter(folder: Folder, name: str) -> Letter | None:
    """What a place tells; None where there is nothing, or what is there is no letter."""
    plain = _read(folder, f"{name}{REPORT}")
    try:
        place = plain["place"]
        machine = place["machine"] | {
            each: dict(zip(MODES, place["machine"][each], strict=True)) for each in TABLES
        }
        report = WorkerReport(
            place=WorkerPlace(**place | {"machine": Machine(**machine)}),
            progress=plain["progress"] and Progress(**plain["progress"]),
            breakdown=plain["breakdown"] and Breakdown(**plain["breakdown"]),
        )
        holder = Holder.parse(json.dumps(plain["holder"]).encode())
        return Letter(number=plain["number"], leader=plain["leader"], holder=holder, report=report)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def write_answer(folder: Folder, name: str, answer: Answer) -> None:
    """Write what a place is told."""
    claim = answer.claim and {
        "header": asdict(answer.claim.header), "final": answer.claim.final,
        "accepted": sorted(answer.claim.accepted),
    }  # fmt: skip
    plain = {
        "number": answer.number, "leader": answer.leader, "claim": claim,
        "ending": answer.ending and asdict(answer.ending),
    }  # fmt: skip
    _write(folder, f"{name}{CLAIM}", plain)


def read_answer(folder: Folder, name: str) -> Answer | None:
    """What a place is told; None where it is told nothing."""
    plain = _read(folder, f"{name}{CLAIM}")
    try:
        claim, ending = plain["claim"], plain["ending"]
        if claim is not None:
            header = Header(**claim["header"] | {"trial_ids": tuple(claim["header"]["trial_ids"])})
            accepted = frozenset(claim["accepted"])
            claim = WrittenClaim(header=header, final=claim["final"], accepted=accepted)
        ending = ending and Ending(**ending)
        return Answer(number=plain["number"], leader=plain["leader"], claim=claim, ending=ending)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def write_leader(folder: Folder, leader: Leader) -> None:
    """Tell who leads."""
    _write(folder, LEADER, asdict(leader))


def read_leader(folder: Folder) -> Leader | None:
    """Who leads; None where nobody has told."""
    plain = _read(folder, LEADER)
    try:
        return Leader(token=plain["token"], grid=plain["grid"], software=dict(plain["software"]))
    except (KeyError, TypeError, ValueError):
        return None


def forget(folder: Folder, name: str) -> None:
    """Remove the letters of a place."""
    for ending in (REPORT, CLAIM):
        folder.delete(f"{name}{ending}")


def _plain_progress(progress: Progress) -> dict[str, Any]:
    return asdict(progress) | {"spent": dict(progress.spent)}


def _write(folder: Folder, name: str, plain: Mapping[str, Any]) -> None:
    """Write a file of JSON; not where the storage is away, and another one would be made in its place."""
    _require_sweep(folder)
    folder.write(name, json.dumps(plain).encode())


def _require_sweep(folder: Folder) -> None:
    """Refuse to go on where the folder of the sweep is gone.

    Raises
    ------
    SweepGoneError
        Where it is.
    """
    sweep = folder.parent
    if sweep.local and not os.path.isdir(sweep.path):
        raise SweepGoneError(
            f"the folder of the sweep {sweep.uri} is gone: it was moved or removed meanwhile"
        )


def _read(folder: Folder, name: str) -> dict[str, Any]:
    """A file of JSON; empty where it is none."""
    try:
        plain = json.loads(folder.read(name))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}
