"""Processes that time one tree each, and the rounds in which they take turns."""

from __future__ import annotations

import json
import math
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import IO, Any

import numpy as np

from benchmarks.driver import RECIPES
from benchmarks.gate import LEAST_PROCESSES, Pairs, ratio_over_processes
from benchmarks.passes import Tell
from benchmarks.trees import Tree

DRIVER = Path(__file__).with_name("driver.py")
ROLES = ("base", "head", "again")  # `again` runs the base's code: base against base
ROUNDS = 5  # in each set of processes; with three sets, 15 pairs (T13)
SAMPLE = 0.01  # seconds of one sample at least
TARGET = 0.02  # half-width of every ratio's interval at which sampling stops (T9)
MOST_PROCESSES = 20
PATIENCE = 120.0  # seconds for one answer


class SideError(RuntimeError):
    """A process that times a tree has died, or answers no more."""


@dataclass(slots=True, eq=False)
class Side:
    """A running process and its pipes."""

    role: str
    process: subprocess.Popen[str]
    errors: IO[str]  # a file, since a pipe that nobody reads would stop the process

    def send(self, request: dict[str, Any]) -> None:
        """Ask; the answer is read later."""
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self._death() from None

    def receive(self) -> dict[str, Any]:
        """The answer to the last request."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                raise SideError(f"{self.role} gave no answer for {PATIENCE:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self) -> SideError:
        code = self.process.wait(10)
        self.errors.seek(0)
        words = self.errors.read().strip().splitlines()
        reason = words[-1] if words else "without a word"
        return SideError(f"the process of {self.role} ended with exit code {code}: {reason}")

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def start(role: str, tree: Tree, device: str, threads: int) -> Side:
    """A fresh process with a tree's packages; `-P` keeps this package out of its path."""
    line = [sys.executable, "-P", str(DRIVER), str(tree.folder), device, str(threads)]
    errors = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115, `close` does
    process = subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=tree.folder,
        start_new_session=True,  # a Ctrl-C is ours alone
    )
    return Side(role, process, errors)


Start = Callable[[str, Tree, str, int], Side]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared, and how much time that may take."""

    base: Tree
    head: Tree
    workloads: tuple[str, ...] = tuple(RECIPES)
    device: str = "cpu"
    threads: int = 1
    budget: float = 120.0  # seconds of one measurement


@dataclass(slots=True)
class Measurement:
    """Raw samples: one row per workload and round, and who could not take part."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, dict[str, str]] = field(default_factory=dict)  # workload -> role -> why

    def pairs(self, workload: str) -> Pairs:
        """The samples of one workload."""
        rows = [row for row in self.rows if row["workload"] == workload]
        columns = [np.array([row[role] for row in rows], dtype=np.float64) for role in ROLES]
        return Pairs(np.array([row["process"] for row in rows], dtype=np.int64), *columns)

    def workloads(self) -> list[str]:
        """Those that have samples, in the order of the recipes."""
        return sorted({row["workload"] for row in self.rows}, key=list(RECIPES).index)


def measure(
    plan: Plan,
    *,
    rng: np.random.Generator,
    tell: Tell,
    start: Start = start,
    now: Callable[[], float] = monotonic,
) -> Measurement:
    """Set after set of fresh processes, until the ratios are known well enough or time is up.

    At least three sets are run, whatever the budget: fewer say nothing.

    Args:
        rng: of every order.
    """
    found = Measurement()
    begun, longest = now(), 0.0
    for number in range(MOST_PROCESSES):
        left = plan.budget - (now() - begun)
        if number >= LEAST_PROCESSES and (left < longest or is_settled(found)):
            break
        tell(f"set {number + 1} of processes, {max(left, 0):.0f} s left")
        before = now()
        with ExitStack() as stack:
            trees = {"base": plan.base, "head": plan.head, "again": plan.base}
            sides = []
            for index in rng.permutation(len(ROLES)):
                role = ROLES[index]
                sides.append(start(role, trees[role], plan.device, plan.threads))
                stack.callback(sides[-1].close)
            time_set(sides, plan.workloads, number, found, rng=rng)
        longest = max(longest, now() - before)
    return found


def is_settled(found: Measurement) -> bool:
    """Whether the interval of every ratio is narrow; what the ratio is plays no part (T9)."""
    each = [found.pairs(workload) for workload in found.workloads()]
    ratios = [ratio_over_processes(p.head, p.base, p.process) for p in each]
    return all(ratio.half_width <= TARGET for ratio in ratios)


def time_set(
    sides: Sequence[Side],
    workloads: Iterable[str],
    number: int,
    found: Measurement,
    *,
    rng: np.random.Generator,
) -> None:
    """Time every workload in one set of processes; all of them wait while one works."""
    for side in sides:
        side.receive()  # it is ready
    iterations = {name: k for name in workloads if (k := _built(sides, name, found)) is not None}
    for round_ in range(ROUNDS):
        for index in rng.permutation(len(iterations)):
            name = list(iterations)[index]
            row: dict[str, Any] = {"workload": name, "process": number, "round": round_}
            row["iterations"] = iterations[name]
            for place in rng.permutation(len(sides)):
                side = sides[place]
                side.send({"do": "time", "workload": name, "iterations": iterations[name]})
                answer = side.receive()
                if "absent" in answer:
                    found.absent.setdefault(name, {})[side.role] = answer["absent"]
                elif answer["seconds"] is not None:  # else the clock jumped back
                    row[side.role] = answer["seconds"] / iterations[name]
            if all(role in row for role in ROLES):
                found.rows.append(row)


def _built(sides: Sequence[Side], name: str, found: Measurement) -> int | None:
    """Build a workload in every process, side by side; iterations of a sample, if all can."""
    for side in sides:
        side.send({"do": "build", "workload": name})
    answers = {side.role: side.receive() for side in sides}
    reasons = {role: a["absent"] for role, a in answers.items() if "absent" in a}
    if reasons:
        found.absent[name] = reasons
        return None
    fastest = min(float(answer["seconds"]) for answer in answers.values())
    return max(1, math.ceil(SAMPLE / fastest))
