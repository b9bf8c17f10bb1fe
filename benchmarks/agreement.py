"""`python -m benchmarks agreement`: our clock against those of others, on the same calls.

Ten workloads are sampled in turns, in random order, by `clock.time_block`, by
`torch.utils.benchmark.Timer` and, where it is installed, by pyperf's worker: the same call,
the same number of iterations, the same process. The ratio of their times to ours should be
one, and by the same rule our intervals should be no wider.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch.utils.benchmark import Timer

from ablations.options import OK, Parser, whole_number
from ablations.processor import settle_process
from ablations.streams import Streams
from ablations.studyfile import find_studies, load_study
from ablations.tasks import load_task
from benchmarks.catalogue import workloads_of
from benchmarks.clock import Clock, Step, clock_for, time_block, warm_up
from benchmarks.reliability import Floats, Interval, median_interval
from benchmarks.show import show_interval, show_ratio, table_text
from benchmarks.steps import prepare
from benchmarks.ways import PLAIN
from benchmarks.workloads import AGAIN, Workload

OURS, TORCH, PYPERF = "ours", "torch", "pyperf"
SAMPLE = 3e-3  # seconds of one sample at least, as in the profile standard
WORKLOADS = 10
LOW, HIGH, LEAST_AGREEING = 0.95, 1.05, 8  # what counts as agreement

Sampler = Callable[[Step, int], float]  # seconds of one iteration


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """One workload by every clock: seconds of one iteration, (rounds,) each."""

    workload: str
    seconds: dict[str, Floats]

    def ratio(self, other: str) -> Interval:
        """Median ratio of another clock's times to ours over the rounds, with its interval."""
        logs = median_interval(np.log(self.seconds[other] / self.seconds[OURS]))
        return Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n)

    def width(self, other: str) -> float:
        """Half-width of the other's median interval over that of ours, by the same rule."""
        mine, theirs = (median_interval(self.seconds[name]).half_width for name in (OURS, other))
        return theirs / mine


def ten_workloads() -> list[Workload]:
    """Base networks in both modes, an update, and activations of two sizes."""
    studies = [load_study(path) for path in find_studies("core")]
    plain = [w for w in workloads_of(studies).workloads if w.way == PLAIN]
    bases = [w for w in plain if w.is_base and not w.name.endswith(AGAIN)]
    modes = ("training step", "inference", "optimizer step", "forward+backward")
    return [w for w in bases if w.mode in modes][:WORKLOADS]


def build(workload: Workload, device: str) -> Step:
    """The call of a workload, with its data."""
    streams = Streams(workload.study_seed, workload.task.name)
    return prepare(workload, load_task(workload.task, [0], streams=streams, device=device))


def samplers(clock: Clock) -> dict[str, Sampler]:
    """Every clock that is installed."""
    found: dict[str, Sampler] = {OURS: partial(_by_us, clock), TORCH: by_torch}
    return found | ({PYPERF: pyperf().sample} if find_spec("pyperf") else {})


def _by_us(clock: Clock, step: Step, iterations: int) -> float:
    return time_block(clock, step, iterations).seconds / iterations


def by_torch(step: Step, iterations: int) -> float:
    """One measurement of torch's own timer."""
    return float(Timer("step()", globals={"step": step}).timeit(iterations).mean)


class Pyperf:
    """pyperf's worker in this process, so that its samples can take turns with others.

    Each value follows one that is not counted, as pyperf's workers have it.
    """

    def __init__(self) -> None:
        self.runner: Any = importlib.import_module(PYPERF).Runner()
        self.runner.parse_args(["--worker", "--loops=1", "--warmups=1", "--values=1"])
        self.count = 0

    def sample(self, step: Step, iterations: int) -> float:
        """One value of a benchmark of its own name."""
        self.count += 1
        self.runner.args.loops = iterations
        with contextlib.redirect_stdout(io.StringIO()):
            bench = self.runner.bench_func(f"benchmark {self.count}", step)
        return float(bench.get_values()[-1])


@cache
def pyperf() -> Pyperf:
    """The one worker of this process: pyperf refuses a second."""
    return Pyperf()


def measure(
    steps: dict[str, Step],
    clock: Clock,
    by: dict[str, Sampler],
    *,
    rounds: int,
    rng: np.random.Generator,
) -> list[Agreement]:
    """Sample every call by every clock once a round, each time in a new order.

    Args:
        rng: of the orders.
    """
    iterations = {name: warm_up(clock, step, SAMPLE).iterations for name, step in steps.items()}
    found: dict[str, dict[str, list[float]]] = {n: {c: [] for c in by} for n in steps}
    pairs = [(name, clock_name) for name in steps for clock_name in by]
    for _ in range(rounds):
        for index in rng.permutation(len(pairs)):
            name, clock_name = pairs[index]
            for _ in range(iterations[name]):
                steps[name]()  # clocks are compared, not how warm each finds the caches (T5)
            seconds = by[clock_name](steps[name], iterations[name])
            found[name][clock_name].append(seconds)
    return [
        Agreement(name, {clock_name: np.array(each) for clock_name, each in by_clock.items()})
        for name, by_clock in found.items()
    ]


@dataclass(frozen=True, slots=True)
class Summary:
    """All workloads against one other clock."""

    other: str
    mean_ratio: float  # geometric
    agreeing: int  # intervals of a ratio that contain 1
    mean_width: float  # geometric mean of their half-widths over ours
    workloads: int

    @property
    def agrees(self) -> bool:
        """Whether the two clocks tell the same time."""
        return LOW <= self.mean_ratio <= HIGH and self.agreeing >= LEAST_AGREEING


def summary(found: Sequence[Agreement], other: str) -> Summary:
    """The bars of a clock: mean ratio, intervals that contain 1, width."""
    ratios = [each.ratio(other) for each in found]
    mean = math.exp(float(np.mean([math.log(ratio.value) for ratio in ratios])))
    agreeing = sum(ratio.low <= 1 <= ratio.high for ratio in ratios)
    width = math.exp(float(np.mean([math.log(each.width(other)) for each in found])))
    return Summary(other, mean, agreeing, width, len(found))


def render(found: Sequence[Agreement]) -> str:
    """A row per workload, a line per clock."""
    others = [name for name in found[0].seconds if name != OURS]
    rows = [("workload", "our median", *(f"{name} / ours" for name in others))]
    for each in found:
        median = show_interval(median_interval(each.seconds[OURS]))[0]
        rows.append((each.workload, median, *(show_ratio(each.ratio(name)) for name in others)))
    lines = [table_text(rows)]
    for each_other in (summary(found, name) for name in others):
        lines.append(
            f"{each_other.other}: geometric mean of ratios {each_other.mean_ratio:.3f}, "
            f"{each_other.agreeing} of {each_other.workloads} intervals contain 1, its medians' "
            f"intervals {each_other.mean_width:.2f} times as wide as ours"
        )
    if PYPERF not in others:
        lines.append("pyperf is not installed; it was left out")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 if another clock tells another time."""
    top = Parser(prog="benchmarks agreement", description=__doc__)
    top.add_argument("--rounds", type=whole_number, default=40, help="(default: 40)")
    top.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    options = top.parse_args(arguments)
    settle_process()  # one thread, which is also what torch's timer takes
    clock = clock_for(options.device)
    steps = {f"{w.name}, {w.mode}": build(w, options.device) for w in ten_workloads()}
    rng = np.random.default_rng(0)
    found = measure(steps, clock, samplers(clock), rounds=max(options.rounds, 6), rng=rng)
    print(render(found))
    others = [name for name in found[0].seconds if name != OURS]
    return OK if all(summary(found, name).agrees for name in others) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
