"""`python -m benchmarks speedup`: stacks against what one would otherwise do.

Every way trains the same trials from the same initial weights on the same minibatches and
must reach the same loss. Rounds are interleaved in random order. Slow ways train a few
trials and are scaled per trial. The stacked way goes through the very pool and jobs that
`python -m ablations run` uses, evaluations on, one stack on each core, or one on a GPU.

With `--device cuda` the grids are of 512 trials, and every way trains on that GPU. On a CPU one
more contest is the whole standard profile, sampled: see `standard`. A way that fails, such as
workers killed for lack of memory, is left out with its reason, and the rest is measured.

Raw samples go to RESULTS/speedup.csv; what each contest computes, and what the machine can
do at most, to speedup.json beside it. A case that is measured again replaces its own rows.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from ablations.design import DesignError, TaskSpec, baseline_cell
from ablations.levels import TASKS, Level, Scalar, Value
from ablations.options import Parser, chosen_device, results_folder, usual_workers, whole_number
from ablations.provenance import machine
from ablations.records import write_atomically, write_csv
from ablations.stacking import Member, Stack
from ablations.workers import Job, Processes
from benchmarks import peers, standard
from benchmarks.gate import T_975
from benchmarks.peers import Case, lay_out
from benchmarks.rates import measured_rates
from benchmarks.work import work_of

COLUMNS = ["case", "way", "round", "order", "trials", "steps", "seconds", "compile_seconds", "loss"]
LOSS_TOLERANCE = 0.05  # of the mean final loss, relative; JAX leaves partial minibatches out
LIMIT = 3600.0
BUDGET = 700.0  # seconds of the contests but the profile; on a busy machine rounds are left out
LEAST_ROUNDS = 3
LONGEST = 300  # letters of a reason
GPU_TRIALS = 512
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Contest:
    """One grid of same-shaped trials, and how many of them each way trains."""

    name: str
    stack: Stack
    notebook_trials: int = 2
    joblib_trials: int = 2  # on each core
    vmap_trials: int = 4
    jax: bool = True
    device: str = "cpu"


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
    evaluations: int = 20,
    each: int = 2,
) -> Contest:
    """A contest from the words of a study; in slow ways a process trains `each` of its trials."""
    defaults = {
        key: setting.default
        for key, setting in {**TASKS[task].settings, **TASKS[task].common}.items()
    }
    spec = TaskSpec(task, tuple({**defaults, **(settings or {})}.items()), split)  # type: ignore[arg-type]
    members = tuple(Member(f"{name} {seed}", seed, rate) for seed in range(trials))
    cell = baseline_cell(task, levels)
    stack = Stack("speedup", 0, spec, cell, name, "final", members, steps, None, evaluations, False)
    return Contest(name, stack, each, each, jax=levels.get("network") is None)


def contests(device: str) -> list[Contest]:
    """The grids of the README's table; on a GPU the larger of them, of GPU_TRIALS trials."""
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
            contest(
                "MNIST CNN",
                "mnist",
                4,
                steps=750,
                rate=0.01,
                levels=cnn,
                evaluations=1,
                each=1,
            )
        )  # one epoch of 48,000 images, measured after it as the notebook does
    if device == "cpu":
        return found
    return [
        _grown(each, GPU_TRIALS, device) if each.jax else replace(each, device=device)
        for each in found
        if each.name != "line"
    ]


def _grown(each: Contest, trials: int, device: str) -> Contest:
    """A contest of so many trials, all of which vmap trains at once as well."""
    rate = each.stack.members[0].learning_rate
    members = tuple(Member(f"{each.name} {seed}", seed, rate) for seed in range(trials))
    stack = replace(each.stack, members=members)
    return replace(each, stack=stack, vmap_trials=trials, device=device)


@dataclass(frozen=True, slots=True)
class Sample:
    """One way timed once: seconds for `trials` trials, compilation aside."""

    seconds: float
    trials: int
    losses: list[float]
    compile_seconds: float = 0.0
    way: str = ""  # of the stacks, as in stacks.csv


def stacked(pool: Processes, each: Contest, cores: int) -> Sample:
    """The trials shared out as one stack per core, through the pool that `run` uses."""
    members = each.stack.members
    shares = [members[k::cores] for k in range(cores)]
    losses: dict[str, float] = {}
    way = ""
    start = time.perf_counter()
    for k, share in enumerate(shares):
        pool.submit(Job(f"{each.name} {k}", each.stack, share, each.device, LIMIT))
    while pool.busy():
        for result in pool.results(1.0):
            if result.outcome is None:
                raise RuntimeError(f"{each.name}: {result.message}")
            losses |= {row["trial"]: _loss(row) for row in result.outcome.rows}
            way = result.outcome.way
    seconds = time.perf_counter() - start
    return Sample(seconds, len(members), [losses[member.name] for member in members], way=way)


def _loss(row: dict[str, Any]) -> float:
    """The final loss of a trial, which must have one."""
    if row["status"] != "finished":
        raise RuntimeError(f"{row['trial']}: {row['status']} {row.get('message') or ''}".rstrip())
    loss: float = row["train_loss"]
    return loss


def timed(function: Callable[[], list[float]]) -> Sample:
    """Run a way once."""
    start = time.perf_counter()
    losses = function()
    return Sample(time.perf_counter() - start, len(losses), losses)


def ways_of(each: Contest, pool: Processes, cores: int) -> dict[str, Callable[[], Sample]]:
    """The ways that can train a contest here."""
    few, several = (
        lay_out(each.stack, n, each.device) for n in (each.notebook_trials, each.vmap_trials)
    )
    ways: dict[str, Callable[[], Sample]] = {
        "stacked": lambda: stacked(pool, each, cores),
        "notebook": lambda: timed(lambda: peers.notebook(few)),
    }
    if each.device == "cpu":
        on_cores = lay_out(each.stack, each.joblib_trials * cores)
        ways["joblib"] = lambda: timed(lambda: peers.with_joblib(on_cores, cores))
    if each.jax:  # vmap over batch norm would need its running statistics turned off
        ways["vmap"] = lambda: timed(lambda: peers.with_vmap(several))
        if find_spec("jax"):
            ways["jax"] = jax_way(lay_out(each.stack, len(each.stack.members)))
    return ways


def jax_way(case: Case) -> Callable[[], Sample]:
    """JAX on all trials, compiled at the first call; every sample says how long that took."""
    program = cache(lambda: peers.with_jax(case))

    def way() -> Sample:
        run, compiling = program()
        return replace(timed(run), compile_seconds=compiling)

    return way


def measure(
    rounds: int, folder: Path, names: str = "", device: str = "cpu"
) -> list[dict[str, Any]]:
    """Time every way of the contests whose name holds `names`, and write the files after each.

    Rows of other contests stay as they are. Returns the rows measured now.
    """
    cores = usual_workers(device)
    rows, notes = read_speedups(folder)
    measured: list[dict[str, Any]] = []
    chosen = [each for each in contests(device) if names in each.name]
    end = time.monotonic() + BUDGET
    pool = Processes(cores, device)
    try:
        for k, each in enumerate(chosen):
            note = note_of(each, cores)
            stop = time.monotonic() + (end - time.monotonic()) / (len(chosen) - k)
            left_out: dict[str, str] = {}
            note["way"] = stacked(pool, brief(each), cores).way  # imports, first allocations
            warm_up(ways_of(brief(each), pool, cores))
            ways = ways_of(each, pool, cores)
            new = list(_contest_rows(each, ways, rounds, stop, left_out))
            if left_out:
                note["left_out"] = left_out
            measured += new
            rows = [row for row in rows if row["case"] != each.name] + new
            notes[each.name] = note
            write_speedups(folder, rows, notes)
        if names in standard.NAME and device == "cpu":
            stop = time.monotonic() + standard.BUDGET
            new, strata = standard.profile_rows(pool, cores, stop)
            measured += new
            rows = [row for row in rows if row["case"] != standard.NAME] + new
            about = {"rates": measured_rates(device), "machine": here(device)}
            notes[standard.NAME] = strata | about
            write_speedups(folder, rows, notes)
    finally:
        pool.close()
    return measured


def warm_up(ways: dict[str, Callable[[], Sample]]) -> None:
    """Take each way once but JAX, which compiles apart; what fails will say so when it is timed."""
    for name, way in ways.items():
        if name not in {"stacked", "jax"}:
            with suppress(Exception):
                way()


def brief(each: Contest) -> Contest:
    """A contest of a few steps."""
    return replace(each, stack=replace(each.stack, steps=20))


def note_of(each: Contest, cores: int) -> dict[str, Any]:
    """What a contest computes per trial, and what the machine can do just now."""
    return {
        "trials": len(each.stack.members),
        "cores": cores,
        "device": each.device,
        "work": asdict(work_of(each.stack, each.device)),
        "rates": measured_rates(each.device),
        "machine": here(each.device),
    }


def here(device: str) -> dict[str, Any]:
    """What this was measured on."""
    found = machine(device, 1)
    return {key: found[key] for key in ("created", "commit", "dirty", "cpu", "gpu", "torch")}


def read_speedups(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and notes of what was measured before; none of what cannot be read."""
    try:
        with (folder / "speedup.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        content = json.loads((folder / "speedup.json").read_text(encoding="utf-8"))
        notes: dict[str, Any] = dict(content["cases"])
    except (OSError, ValueError, KeyError, TypeError):
        return [], {}
    return [row for row in rows if list(row) == COLUMNS and row["case"] in notes], notes


def write_speedups(folder: Path, rows: Sequence[dict[str, Any]], notes: dict[str, Any]) -> None:
    """Write speedup.csv, and speedup.json with what is to be known about it."""
    write_csv(folder / "speedup.csv", COLUMNS, rows)
    content = json.dumps({"schema": SCHEMA, "cases": notes}, indent=1, allow_nan=False)
    write_atomically(folder / "speedup.json", content + "\n")


def _contest_rows(
    each: Contest,
    ways: dict[str, Callable[[], Sample]],
    rounds: int,
    stop: float,
    left_out: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """Every way once in each round; after three rounds none that would end after `stop`.

    A way that fails is left out from then on, and `left_out` says why; the stacks must not fail.
    """
    order = random.Random(each.name)
    begun = time.monotonic()
    for number in range(rounds):
        now = time.monotonic()
        if number >= LEAST_ROUNDS and now + (now - begun) / number > stop:
            return
        names = list(ways)
        order.shuffle(names)
        for place, name in enumerate(names):
            if each.device != "cpu":
                torch.cuda.empty_cache()  # what the last way held of the GPU
            try:
                sample = ways[name]()
            except Exception as error:  # whatever a peer raises, a killed worker's end included
                if name == "stacked":
                    raise
                left_out[name] = reason(error)
                print(f"{each.name}: {name} is left out; {left_out[name]}", file=sys.stderr)
                del ways[name]
                continue
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


def reason(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST]


def ratios(
    rows: Sequence[dict[str, Any]], *, compiling: bool = False
) -> dict[tuple[str, str], list[float]]:
    """Seconds per trial of each other way over those of the stacks, round by round."""
    cost: dict[tuple[str, int, str], float] = {}
    for row in rows:
        seconds = float(row["seconds"]) + (float(row["compile_seconds"]) if compiling else 0.0)
        cost[row["case"], int(row["round"]), row["way"]] = seconds / int(row["trials"])
    found: dict[tuple[str, str], list[float]] = {}
    for (case, number, way), seconds in cost.items():
        if way != "stacked":
            found.setdefault((case, way), []).append(seconds / cost[case, number, "stacked"])
    return found


def geometric_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Of ratios, with a 95% Student t interval over the rounds; NaN bounds for a single one."""
    logs = [math.log(value) for value in values]
    middle, half, n = statistics.fmean(logs), math.nan, len(logs)
    if n > 1:
        half = T_975[min(n - 1, len(T_975)) - 1] * statistics.stdev(logs) / math.sqrt(n)
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def render(rows: Sequence[dict[str, Any]]) -> str:
    """Geometric mean of the ratios with its interval over the rounds, per case and way."""
    without, included = ratios(rows), ratios(rows, compiling=True)
    table = []
    for (case, way), values in without.items():
        compiled = geometric_mean(included[case, way]) if way == "jax" else [None] * 3
        table.append([case, way, *geometric_mean(values), *compiled, len(values)])
    headers = ["case", "against", "times faster", "95% t from", "to"]
    headers += ["with compilation", "from", "to", "rounds"]
    return tabulate(table, headers, floatfmt=".2f", tablefmt="github")


def disagreeing(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Ways whose final loss is not that of the stacks."""
    losses = {(row["case"], row["way"]): float(row["loss"]) for row in rows}
    return [
        f"{case}: {way} ends at loss {loss:.4g}, the stacks at {losses[case, 'stacked']:.4g}"
        for (case, way), loss in losses.items()
        if abs(loss / losses[case, "stacked"] - 1) > LOSS_TOLERANCE
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure, write speedup.csv, print the table; 1 if a way reached another loss."""
    top = Parser(prog="benchmarks speedup", description=__doc__)
    top.add_argument("--results", type=Path, help="default: results/standard, or -cuda of it")
    top.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    top.add_argument("--rounds", type=whole_number, default=5)
    top.add_argument("--case", default="", help="only cases whose name holds this; others stay")
    top.set_defaults(profile="standard")
    options = top.parse_args(arguments)
    try:
        device = chosen_device(options)
        folder = results_folder(options, device)
    except DesignError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    measured = measure(max(options.rounds, 1), folder, options.case, device)
    whole = [row for row in measured if row["case"] == standard.NAME]
    rows = [row for row in measured if row["case"] != standard.NAME]
    if rows:
        print(render(rows))
    if whole:
        note = read_speedups(folder)[1][standard.NAME]
        print(standard.render_totals(standard.totals(whole, note)))
    problems = disagreeing(rows) + standard.disagreement(whole)
    for problem in problems:
        print(problem)
    return 1 if problems else 0
