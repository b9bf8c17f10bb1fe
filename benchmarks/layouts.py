"""`python -m benchmarks layouts`: how a stack is cut and a process set up, against other ways.

The constants of `ablations.layout` and the settings of `ablations.processor` were chosen by
this table and are never timed when trials are trained. Every sample is the seconds of one
core for one stack trained by `ablations.training.train`; samples are interleaved in random
order, and a way's ratio to what is committed comes with its interval over the rounds. A
stack that a way does not concern has ratios near 1, which shows what the samples are worth.
Stacks of plain networks are trained both by the kernels and by torch, as those of others are.

Raw samples go to RESULTS/layouts.csv, after every round.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from tabulate import tabulate

from ablations import layout, processor, training
from ablations.levels import Level
from ablations.options import Parser, whole_number
from ablations.records import write_csv
from ablations.stacking import Stack
from benchmarks.speedup import contest, geometric_mean

COLUMNS = ["stack", "trials", "way", "round", "order", "seconds"]
COMMITTED = "as committed"


@dataclass(frozen=True, slots=True)
class Setup:
    """How the process is set up in which stacks are trained."""

    threads: int = 1
    keeps_memory: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """Constants of `ablations.layout` that are replaced, and the process."""

    constants: Mapping[str, float] = field(default_factory=dict)
    setup: Setup = Setup()
    together: int | None = None  # trials of a stack that are trained together; None: all
    compiled: bool = True  # whether the kernels take the steps that they can take


def ways() -> dict[str, Way]:
    """What is tried, each thing by itself."""
    found = {COMMITTED: Way()}
    for examples in (128, 256, 1024, 2048):
        found[f"{examples} examples at once"] = Way({"EXAMPLES": examples})
    for power in (18, 19, 21, 22):
        found[f"2^{power} numbers of a layer"] = Way({"ELEMENTS": 1 << power})
    found["trial by trial, whatever the size"] = Way({"WORK": 0})
    found["never trial by trial"] = Way({"WORK": math.inf})
    found["steps by torch"] = Way(compiled=False)
    found["stacks of 4"] = Way(together=4)
    found["memory given back"] = Way(setup=Setup(keeps_memory=False))
    found["two threads"] = Way(setup=Setup(threads=2))
    return found


@dataclass(frozen=True, slots=True)
class Trained:
    """A stack, and whether the kernels may take its steps."""

    stack: Stack
    compiled: bool


def stacks() -> dict[str, Trained]:
    """Small and large networks, few and many examples, with and without convolutions."""
    whole = {"standardise": False}
    cnn = Level("cnn", (("kernel", 3),))
    small = contest(
        "digits 64-32-32-10, 50 trials", "digits", 50, steps=120, rate=0.001,
        levels={"minibatch": 64, "width": 32}, evaluations=2,
    )  # fmt: skip
    large = contest(
        "digits 64-128-128-10, 50 trials", "digits", 50, steps=30, rate=0.001,
        levels={"minibatch": 64, "width": 128}, evaluations=2,
    )  # fmt: skip
    spiral = contest(
        "spiral 2-100-3, 32 trials", "spiral", 32, {"points": 1000, **whole}, steps=60,
        rate=0.001, split="none", levels={"depth": 1, "width": 100}, evaluations=2,
    )  # fmt: skip
    wide = contest(
        "spiral 2-512-512-3, 8 trials", "spiral", 8, {"points": 1000, **whole}, steps=3,
        rate=0.001, split="none", levels={"depth": 2, "width": 512}, evaluations=1,
    )  # fmt: skip
    images = contest(
        "digits CNN of 16 channels, 10 trials", "digits", 10, steps=20, rate=0.001,
        levels={"network": cnn, "minibatch": 64, "width": 16}, evaluations=1,
    )  # fmt: skip
    plain = [small, large, spiral, wide]
    found = {each.name: Trained(each.stack, compiled=True) for each in plain}
    found |= {
        f"{each.name}, by torch": Trained(each.stack, compiled=False) for each in [*plain, images]
    }
    return found


@contextmanager
def replaced(module: ModuleType, values: Mapping[str, Any]) -> Iterator[None]:
    """Other values of a module's names for a while."""
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def seconds_of(trained: Trained, way: Way) -> float:
    """Seconds of this process, times its threads, for all trials of a stack."""
    stack = trained.stack
    size = way.together or len(stack.members)
    compiled = trained.compiled and way.compiled
    by_torch = {} if compiled else {"compilable": lambda *_: False}
    with replaced(layout, way.constants), replaced(training, by_torch):
        start = time.perf_counter()
        for k in range(0, len(stack.members), size):
            training.train(stack, stack.members[k : k + size])
        return (time.perf_counter() - start) * way.setup.threads


def _child(connection: Connection, setup: Setup) -> None:
    """The life of a process: set up, then a stack and a way in, seconds out."""
    if not setup.keeps_memory:
        processor.keep_freed_memory = lambda: False
    processor.settle_process(setup.threads)
    while (job := connection.recv()) is not None:
        connection.send(seconds_of(*job))


def measure(rounds: int) -> Iterator[list[dict[str, Any]]]:
    """Every way with every stack, round by round; a first one, the warm-up, is not given."""
    tried, trained = ways(), stacks()
    context = multiprocessing.get_context("spawn")
    pipes: dict[Setup, Connection] = {}
    processes = []
    for setup in {way.setup for way in tried.values()}:
        pipes[setup], theirs = context.Pipe()
        process = context.Process(target=_child, args=(theirs, setup), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
    order = random.Random("layouts")
    pairs = [(name, way) for name in trained for way in tried]
    for number in range(-1, rounds):
        order.shuffle(pairs)
        rows = []
        for place, (name, way) in enumerate(pairs):
            pipe = pipes[tried[way].setup]
            pipe.send((trained[name], tried[way]))
            seconds = pipe.recv()
            values = (name, len(trained[name].stack.members), way, number, place, seconds)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
        if number >= 0:
            yield rows
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """Geometric mean of the seconds over those of what is committed, with its interval."""
    seconds = {(r["stack"], r["way"], r["round"]): r["seconds"] for r in rows}
    names = list(dict.fromkeys(r["stack"] for r in rows))
    table = []
    for way in dict.fromkeys(r["way"] for r in rows):
        if way == COMMITTED:
            continue
        cells = []
        for name in names:
            pairs = [
                s / seconds[name, COMMITTED, number]
                for (stack, tried, number), s in seconds.items()
                if (stack, tried) == (name, way)
            ]
            middle, low, high = geometric_mean(pairs)
            cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})")
        table.append([way, *cells])
    return tabulate(
        table, ["seconds of one core over those as committed", *names], tablefmt="github"
    )


def main(arguments: Sequence[str]) -> int:
    """Measure, write layouts.csv, print the table."""
    top = Parser(prog="benchmarks layouts", description=__doc__)
    top.add_argument("--results", type=Path, default=Path("results/standard"))
    top.add_argument("--rounds", type=whole_number, default=3)
    options = top.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    rounds, start = max(options.rounds, 1), time.monotonic()
    for number, found in enumerate(measure(rounds), 1):
        rows += found
        write_csv(options.results / "layouts.csv", COLUMNS, rows)
        told = f"round {number} of {rounds}, {time.monotonic() - start:.0f} s"
        print(f"benchmarks layouts: {told}", file=sys.stderr, flush=True)
    print(render(rows))
    return 0
