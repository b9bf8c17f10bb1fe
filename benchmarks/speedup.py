"""`python -m benchmarks speedup`: stacks against what one would otherwise do.

Every way trains the same trials from the same initial weights on the same minibatches and
must reach the same loss. Rounds are interleaved in random order. Slow ways train a few
trials and are scaled per trial. The stacked way goes through the very pool and jobs that
`python -m ablations run` uses, evaluations on, one stack on each core.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from tabulate import tabulate

from ablations.design import TaskSpec, baseline_cell
from ablations.levels import TASKS, Level, Scalar, Value
from ablations.options import Parser, whole_number
from ablations.records import write_csv
from ablations.stacking import Member, Stack
from ablations.workers import Job, Processes
from benchmarks import peers
from benchmarks.peers import Case, lay_out

COLUMNS = ["case", "way", "round", "order", "trials", "steps", "seconds", "compile_seconds", "loss"]
LOSS_TOLERANCE = 0.05  # of the mean final loss, relative; JAX leaves partial minibatches out
LIMIT = 3600.0


@dataclass(frozen=True, slots=True)
class Contest:
    """One grid of same-shaped trials, and how many of them each way trains."""

    name: str
    stack: Stack
    notebook_trials: int = 2
    vmap_trials: int = 4
    jax: bool = True


def contest(
    name: str,
    task: str,
    trials: int,
    settings: dict[str, Scalar] | None = None,
    *,
    steps: int,
    rate: float,
    split: object = (0.8, 0.1, 0.1),
    levels: dict[str, Value],
    **options: int,
) -> Contest:
    """A contest from the words of a study."""
    defaults = {
        key: setting.default
        for key, setting in {**TASKS[task].settings, **TASKS[task].common}.items()
    }
    spec = TaskSpec(task, tuple({**defaults, **(settings or {})}.items()), split)  # type: ignore[arg-type]
    members = tuple(Member(f"{name} {seed}", seed, rate) for seed in range(trials))
    cell = baseline_cell(task, levels)
    stack = Stack("speedup", 0, spec, cell, name, "final", members, steps, None, 20, False)
    return Contest(name, stack, jax=levels.get("network") is None, **options)


def contests() -> list[Contest]:
    """The grids of the README's table."""
    raw: dict[str, Scalar] = {"standardise": False}
    small: dict[str, Value] = {"minibatch": 64, "width": 32}
    large: dict[str, Value] = {"minibatch": 64, "width": 128}
    spiral: dict[str, Value] = {"depth": 1, "width": 100}
    line: dict[str, Value] = {"depth": 0, "optimizer": Level("sgd")}
    kernel = Level("cnn", (("kernel", 5),))
    cnn: dict[str, Value] = {"network": kernel, "depth": 1, "minibatch": 64}
    found = [
        contest(
            "spiral 2-100-3", "spiral", 32, {"points": 1000, **raw}, steps=1000, rate=0.001,
            split="none", levels=spiral,
        ),
        contest("line", "line", 128, raw, steps=3000, rate=0.01, split="none", levels=line),
        contest("digits 64-32-32-10", "digits", 100, steps=400, rate=0.001, levels=small),
        contest("digits 64-128-128-10", "digits", 100, steps=400, rate=0.001, levels=large),
    ]  # fmt: skip
    if os.environ.get("ABLATIONS_DATA"):
        found.append(
            contest("MNIST CNN", "mnist", 4, steps=235, rate=0.01, levels=cnn, vmap_trials=2)
        )
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """One way timed once: seconds for `trials` trials, compilation aside."""

    seconds: float
    trials: int
    losses: list[float]
    compile_seconds: float = 0.0


def stacked(pool: Processes, each: Contest, cores: int) -> Sample:
    """The trials shared out as one stack per core, through the pool that `run` uses."""
    members = each.stack.members
    shares = [members[k::cores] for k in range(cores)]
    losses: dict[str, float] = {}
    start = time.perf_counter()
    for k, share in enumerate(shares):
        pool.submit(Job(f"{each.name} {k}", each.stack, share, "cpu", LIMIT))
    while pool.busy():
        for result in pool.results(1.0):
            if result.outcome is None:
                raise RuntimeError(f"{each.name}: {result.message}")
            losses |= {row["trial"]: row["train_loss"] for row in result.outcome.rows}
    seconds = time.perf_counter() - start
    return Sample(seconds, len(members), [losses[member.name] for member in members])


def timed(function: Callable[[], list[float]]) -> Sample:
    """Run a way once."""
    start = time.perf_counter()
    losses = function()
    return Sample(time.perf_counter() - start, len(losses), losses)


def ways_of(each: Contest, pool: Processes, cores: int) -> dict[str, Callable[[], Sample]]:
    """The ways that can train a contest here."""
    few, several = (lay_out(each.stack, n) for n in (each.notebook_trials, each.vmap_trials))
    on_cores = lay_out(each.stack, 2 * cores)
    ways: dict[str, Callable[[], Sample]] = {
        "stacked": lambda: stacked(pool, each, cores),
        "notebook": lambda: timed(lambda: peers.notebook(few)),
        "joblib": lambda: timed(lambda: peers.with_joblib(on_cores, cores)),
    }
    if each.jax:  # vmap over batch norm would need its running statistics turned off
        ways["vmap"] = lambda: timed(lambda: peers.with_vmap(several))
        if find_spec("jax"):
            ways["jax"] = jax_way(lay_out(each.stack, len(each.stack.members)))
    return ways


def jax_way(case: Case) -> Callable[[], Sample]:
    """JAX on all trials: the first call compiles, and says how long that took."""
    run = peers.with_jax(case)
    first = timed(run)
    warm = timed(run)
    compiling = max(first.seconds - warm.seconds, 0.0)
    return lambda: replace(timed(run), compile_seconds=compiling)


def measure(rounds: int, path: Path, names: str = "") -> list[dict[str, object]]:
    """Time every way of every contest, interleaved, and write the raw samples."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    rows: list[dict[str, object]] = []
    pool = Processes(cores)
    try:
        for each in contests():
            if names in each.name:
                rows += _contest_rows(each, pool, cores, rounds)
                write_csv(path, COLUMNS, rows)
    finally:
        pool.close()
    return rows


def _contest_rows(
    each: Contest, pool: Processes, cores: int, rounds: int
) -> Iterator[dict[str, object]]:
    ways = ways_of(each, pool, cores)
    order = random.Random(each.name)
    brief = replace(each, stack=replace(each.stack, steps=20))
    stacked(pool, brief, cores)  # imports and first allocations
    for number in range(rounds):
        names = list(ways)
        order.shuffle(names)
        for place, name in enumerate(names):
            sample = ways[name]()
            yield {
                "case": each.name,
                "way": name,
                "round": number,
                "order": place,
                "trials": sample.trials,
                "steps": each.stack.steps,
                "seconds": sample.seconds,
                "compile_seconds": sample.compile_seconds,
                "loss": statistics.fmean(sample.losses[: each.notebook_trials]),
            }


def ratios(
    rows: list[dict[str, object]], *, compiling: bool = False
) -> dict[tuple[str, str], list[float]]:
    """Seconds per trial of each other way over those of the stacks, round by round."""
    cost: dict[tuple[object, object, object], float] = {}
    for row in rows:
        extra = float(str(row["compile_seconds"])) if compiling else 0.0
        seconds = float(str(row["seconds"])) + extra
        cost[row["case"], row["round"], row["way"]] = seconds / int(str(row["trials"]))
    found: dict[tuple[str, str], list[float]] = {}
    for (case, number, way), seconds in cost.items():
        if way != "stacked":
            found.setdefault((str(case), str(way)), []).append(
                seconds / cost[case, number, "stacked"]
            )
    return found


def render(rows: list[dict[str, object]]) -> str:
    """Median ratio with the range over the rounds, per case and way."""
    without, included = ratios(rows), ratios(rows, compiling=True)
    table = []
    for (case, way), values in without.items():
        line = [case, way, statistics.median(values), min(values), max(values)]
        table.append([*line, statistics.median(included[case, way]) if way == "jax" else None])
    headers = ["case", "against", "times faster", "lowest", "highest", "with compilation"]
    return tabulate(table, headers, floatfmt=".2f", tablefmt="github")


def disagreeing(rows: list[dict[str, object]]) -> list[str]:
    """Ways whose final loss is not that of the stacks."""
    losses = {(row["case"], row["way"]): float(str(row["loss"])) for row in rows}
    return [
        f"{case}: {way} ends at loss {loss:.4g}, the stacks at {losses[case, 'stacked']:.4g}"
        for (case, way), loss in losses.items()
        if abs(loss / losses[case, "stacked"] - 1) > LOSS_TOLERANCE
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure, write speedup.csv, print the table; 1 if a way reached another loss."""
    top = Parser(prog="benchmarks speedup", description=__doc__)
    top.add_argument("--results", type=Path, default=Path("results/speedup"))
    top.add_argument("--rounds", type=whole_number, default=5)
    top.add_argument("--case", default="", help="only contests whose name holds this")
    options = top.parse_args(arguments)
    rows = measure(max(options.rounds, 1), options.results / "speedup.csv", options.case)
    print(render(rows))
    problems = disagreeing(rows)
    for problem in problems:
        print(problem)
    return 1 if problems else 0
