"""A sweep of a million trials: how long its record takes to plan, scan, load, draw and compact.

python benchmarks/million.py

Trains nothing: fragments with made-up results are written through the store, one for each pack that
`plan` makes, in the columns that a launch writes. Then each operation runs in a process of its own and
is timed whole, start-up and imports included, with the peak of its memory. `--folder` keeps the sweep
for another run. The share of seals is that of their checksums in the CPU time of the same process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from phasediag.grids.grid import read_grid
from phasediag.grids.measure import Measure
from phasediag.measuring.recording import Block
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import living_scale
from phasediag.packing.pack import Pack
from phasediag.running.job import Job
from phasediag.running.rows import block_rows, trial_rows
from phasediag.storage.manifest import KINDS
from phasediag.storage.schema_arrow import measurements_schema
from phasediag.storage.seal import seal_of
from phasediag.storage.store import Store
from phasediag.sweeps.planning import Plan, make_plan
from phasediag.sweeps.recorded import roster_of_grid
from phasediag.sweeps.survey import make_survey

import pyarrow as pa  # isort: skip

GRID: Final = """\
name: million
fixed: {task: teacher_student, model: mlp, depth: 2, steps: 20000}
axes:
  weight_decay:  {logspace: [1e-4, 1], num: 25}
  lr_over_batch: {logspace: [1e-4, 1e-2], num: 20}
  label_noise:   @noises@
  init_scale:    {logspace: [1e-2, 1], num: 10}
  width:         [8, 16, 32, 64]
replicates: 5
measure: {observables: [permutation, sign_flip, rank]}
"""
WRITERS: Final = 4
FOOT: Final = 8
"""The last bytes of a Parquet file, behind its footer: the length of that, and a mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An operation on the sweep, and what it may take for a million trials."""

    name: str
    code: str
    """Python, with GRID, EMPTY, STORAGE, SWEEP and FIGURE as paths."""
    most_s: float | None = None
    most_gb: float | None = None


CLI: Final = "import sys; from phasediag.cli import main; sys.argv[1:] = {}; main()"
"""What the console script does."""
LOAD: Final = "from phasediag.analysis.frames import load_trials, load_measurements; "
DIAGRAM: Final = (
    "from phasediag.analysis.phases import phase_diagram; "
    "d = phase_diagram({}, x='weight_decay', y='lr_over_batch', "
    "facet=['width', 'label_noise', 'init_scale']); "
    "assert len(d.boundary) > 1"
)
TASKS: Final = (
    Task(name="plan, nothing done", code=CLI.format("['plan', GRID, '--storage', EMPTY, '--json']"),
         most_s=10, most_gb=2),
    Task(name="resume scan",
         code="from phasediag.storage.store import Store; assert len(Store.at(SWEEP).committed()) > 0",
         most_s=5),
    Task(name="status", code=CLI.format("['status', SWEEP, '--json']"), most_s=5),
    Task(name="plan, all done", code=CLI.format("['plan', GRID, '--storage', STORAGE, '--json']"),
         most_s=10, most_gb=2),
    Task(name="load_trials", code=LOAD + "load_trials(SWEEP)"),
    Task(name="load_trials, six columns",
         code=LOAD + "load_trials(SWEEP, columns=['weight_decay', 'lr_over_batch', 'label_noise', 'width', "
         "'replicate', 'degree_normalized'])"),
    Task(name="phase diagram", code=LOAD + DIAGRAM.format("load_trials(SWEEP)"), most_s=10, most_gb=3),
    Task(name="diagram command, 40 panels drawn",
         code=CLI.format("['diagram', SWEEP, '--x', 'weight_decay', '--y', 'lr_over_batch', '--facet', "
                         "'width', '--facet', 'label_noise', '--where', 'init_scale=1', '--output', FIGURE]"),
         most_s=10, most_gb=3),
    Task(name="phase diagram at another threshold",
         code=LOAD + DIAGRAM.format("load_trials(SWEEP, threshold={'absolute': 1e-3, 'relative': 0.1})")),
    Task(name="load_measurements, last permutation",
         code=LOAD + "load_measurements(SWEEP, 'permutation', last=True)"),
)  # fmt: skip
PEAK: Final = (
    "import sys; "
    "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')); "
    "print(peak, sum(spent), file=sys.__stdout__)"
)
"""kB; unlike getrusage's, it starts anew with the process's program. A command leaves `sys.stdout` alone."""
CLOCK: Final = """
import time
from phasediag.storage import seal
spent = []
def timed(function):
    def call(*given, **named):
        start = time.thread_time()
        try:
            return function(*given, **named)
        finally:
            spent.append(time.thread_time() - start)
    return call
seal.Seal.check = timed(seal.Seal.check)
for each in ("seal_of", "sealed", "sealed_text", "unsealed_text"):
    setattr(seal, each, timed(getattr(seal, each)))
"""
"""Times what makes and checks seals, before anything imports it: two runs differ by more than that takes."""
COMPACT: Final = Task(name="compact", code=CLI.format("['compact', SWEEP]"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One operation in a process of its own."""

    wall_s: float
    cpu_s: float
    seals_s: float
    """CPU time of seals."""
    gb: float
    """Peak of the resident memory, 10^9 bytes."""


def measured(task: Task, places: dict[str, str]) -> Measured:
    """Run an operation in a fresh interpreter; its output is dropped."""
    names = "; ".join(f"{name} = {value!r}" for name, value in places.items())
    guarded = f"try:\n    {task.code}\nexcept SystemExit as end:\n    assert not end.code, end.code"
    code = "\n".join([CLOCK, names, guarded, PEAK])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{task.name} failed:\n{done.stderr}")
    return Measured(
        wall_s=wall_s,
        cpu_s=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        seals_s=float(done.stdout.split()[-1]),
        gb=int(done.stdout.split()[-2]) / 1e6,
    )


def write_sweep(grid: Path, storage: Path) -> Plan:
    """Every pack of the grid's plan as a fragment with made-up results."""
    read = read_grid(grid)
    store = Store.open(storage, read.name)
    survey = make_survey(read, store)
    plan = make_plan(survey, store, workers=2)
    store.save_grid(read.text, roster=roster_of_grid(read, survey.trials))
    job = Job(sweep=str(storage), measure=read.measure, parameters=read.parameters, git_commit="0" * 40)

    def write(pack: Pack) -> None:
        store.write_fragment(pack.pack_id, *fragment(pack, job))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, plan.packs))
    return plan


def fragment(pack: Pack, job: Job) -> tuple[pa.Table, pa.Table]:
    """The rows of a pack whose neurons are spread the less, the stronger the decay."""
    count, rng = len(pack.trials), np.random.default_rng(int(pack.pack_id[:8], 16))
    (width,) = set(pack.trials.values("width").tolist())
    decay = pack.trials.values("weight_decay").astype(float)
    blocks = [
        block
        for step in (0, 20_000)
        for block in made_up(rng, width, np.exp(-decay / 0.03) if step else np.ones(count), step, job.measure)
    ]
    everyone = np.arange(count)
    measurements = pa.concat_tables(
        block_rows(pack.pack_id, pack.trials, block, everyone >= 0, measurements_schema()) for block in blocks
    )
    last = {block.observable: block.degree for block in blocks if block.step}
    values: dict[str, Any] = {
        "status": ["ok"] * count, "steps_done": [20_000] * count, "train_loss": rng.random(count),
        "test_loss": rng.random(count), "degree_of_symmetry": last["permutation"],
        "degree_normalized": last["permutation"] / (width - 1), "neuron_count": last["classes"],
        "alive_count": width - last["sign_flip"], "rank": last["rank"], "log_rate": rng.normal(size=count),
        "drift": rng.normal(size=count) / 100, "relaxations": 1000 * decay, "converged": decay > 0.01,
        "wall_s": np.full(count, 0.08), "device": ["cpu"] * count, "started_at": [datetime.now(UTC)] * count,
    }  # fmt: skip
    return trial_rows(pack, job, everyone, values), measurements


def made_up(
    rng: np.random.Generator, width: int, spread: np.ndarray, step: int, measure: Measure
) -> Iterator[Block]:
    """One block an observable; distances are stored at the last step only, as the grid says."""
    count = len(spread)
    for observable in ("sign_flip", "permutation", "classes", "rank"):
        length = width - 1 if observable == "permutation" else width
        distances = (spread[:, None] * rng.random((count, length))).astype(np.float32)
        if observable == "sign_flip":
            distances += np.float32(1e-3)
            scale = living_scale(distances)
            epsilon = measure.threshold.at_scale(scale)
        elif observable == "classes":
            distances = -np.sort(-distances, axis=1)
        yield Block(
            step=step, layer=measure.layer, observable=observable, max_degree=length, epsilon=epsilon,
            scale=scale, rows=np.arange(count), distances=distances if step else None,
            degree=distance_observables()[observable].count(distances, epsilon, measure.threshold.absolute),
        )  # fmt: skip


def stored(sweep: Path) -> tuple[int, int]:
    """Files of the sweep, and their bytes."""
    files = [path for path in sweep.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def of_seals(sweep: Path) -> float:
    """The share of seals in the bytes of the files of a sweep that hold its rows."""
    taken = total = 0
    for path in [path for kind in KINDS for path in (sweep / kind).glob("*.parquet")]:
        content = path.read_bytes()
        seal, _ = seal_of(memoryview(content), len(content))
        total += len(content)
        if seal is not None:
            taken += len(content) - seal.end - FOOT - int.from_bytes(content[-FOOT:-4], "little")
    return taken / total


@contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    """The folder asked for, or one for the time of the block."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="phasediag-million-") as passing:
            yield Path(passing)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def row(task: Task, spent: Measured, remark: str = "") -> tuple[str, ...]:
    limits = [f"{task.most_s:g} s"] if task.most_s else []
    limits += [f"{task.most_gb:g} GB"] if task.most_gb else []
    missed = spent.wall_s > (task.most_s or np.inf) or spent.gb > (task.most_gb or np.inf)
    verdict = "" if not limits else "[red]missed" if missed else "[green]met"
    times = (f"{spent.wall_s:.1f}", f"{spent.cpu_s:.1f}", f"{spent.seals_s / spent.cpu_s:.1%}")
    return (f"{task.name}{remark}", *times, f"{spent.gb:.2f}", ", ".join(limits), verdict)


@click.command(help=__doc__)
@click.option(
    "--trials",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(min=100_000),
    help="In steps of 100,000.",
)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Keep the sweep here; one that is there serves."
)
@click.option("--only", multiple=True, help="Only the operations whose name contains this; several add up.")
@click.option("--compact/--no-compact", "compacting", default=True, show_default=True)
def main(trials: int, folder: Path | None, only: Sequence[str], compacting: bool) -> None:
    console = Console()
    heads = ("operation", "wall s", "CPU s", "of it seals", "peak GB", "target", "")
    table = Table(*heads, title=f"{trials:,} trials")
    chosen = [task for task in TASKS if not only or any(each in task.name for each in only)]
    with kept(folder) as root:
        grid = root / "grid.yaml"
        grid.write_text(GRID.replace("@noises@", str([n / 10 for n in range(trials // 100_000)])))
        sweep = root / "sweeps" / "million"
        if not sweep.exists():
            start = time.perf_counter()
            plan = write_sweep(grid, root / "sweeps")
            files, size = stored(sweep)
            console.print(
                f"written in {time.perf_counter() - start:.0f} s: {len(plan.packs):,} packs, "
                f"{files:,} files, {size / trials:.0f} bytes a trial "
                f"(projected by plan: {plan.store_bytes / trials:.0f})"
            )
        places = {
            "GRID": str(grid), "EMPTY": str(root / "empty"), "STORAGE": str(root / "sweeps"),
            "SWEEP": str(sweep), "FIGURE": str(root / "diagram.png"),
        }  # fmt: skip
        add_rows(table, chosen, places)
        if compacting and not only:
            add_rows(table, [COMPACT], places)
            measured(COMPACT, places)  # deletes what the first one replaced
            files, size = stored(sweep)
            table.add_section()
            add_rows(table, chosen, places, ", compacted")
            console.print(f"compacted: {files:,} files, {size / trials:.0f} bytes a trial")
        console.print(f"seals take {of_seals(sweep):.3%} of the bytes of its rows' files")
        console.print(table)


def add_rows(table: Table, tasks: Sequence[Task], places: dict[str, str], remark: str = "") -> None:
    """Time operations, and write the rows of the table; each is told as soon as it is known, too."""
    for task in tasks:
        cells = row(task, measured(task, places), remark)
        click.echo("  ".join(cells), err=True)
        table.add_row(*cells)


if __name__ == "__main__":
    main()
