"""`python -m benchmarks coverage`: how often a 95% interval of a ratio covers the truth.

The base networks are timed against their own twins, many pairs at once, by the passes that
`python -m benchmarks` runs; and the working tree against itself, by the sets of processes
that `compare` runs. Every true ratio is 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import numpy as np

from ablations.options import OK, Parser, whole_number
from ablations.studyfile import find_studies, load_study
from benchmarks.catalogue import workloads_of
from benchmarks.fresh import in_fresh_process
from benchmarks.gate import ratio_over_processes
from benchmarks.passes import Job, Tell
from benchmarks.reliability import Interval, ratio_interval
from benchmarks.sampling import EFFORTS
from benchmarks.series import series_of
from benchmarks.sides import Plan, measure
from benchmarks.trees import WORKING_TREE, Tree, copy_working_tree, find_root
from benchmarks.workloads import AGAIN, MODES, Workload

LOW, HIGH = 0.90, 0.99  # what a nominal 95% may come to in 100 comparisons
SECONDS = 600.0  # of a pass at most; it ends once every median is known
LEAST_BUDGET = 1.0  # sets of processes until there are 15 pairs, and no more


@dataclass(frozen=True, slots=True)
class Coverage:
    """Comparisons of the same code, and how many of them include that it is the same."""

    what: str
    intervals: tuple[Interval, ...]

    @property
    def share(self) -> float:
        """Of the intervals, those that contain 1."""
        return sum(each.low <= 1 <= each.high for each in self.intervals) / len(self.intervals)

    @property
    def half_width(self) -> float:
        """The median one."""
        return float(np.median([each.half_width for each in self.intervals]))

    @property
    def is_calibrated(self) -> bool:
        """Whether the intervals cover about as often as they say."""
        return LOW <= self.share <= HIGH

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.share:.0%} of {len(self.intervals)} 95% intervals of a ratio of "
            f"the same code contain 1; median half-width {self.half_width:.1%}"
        )


def twins(count: int) -> tuple[Workload, ...]:
    """So many pairs of the same computation, over the base networks in turn."""
    studies = [load_study(path) for path in find_studies("core")]
    bases = [
        w
        for w in workloads_of(studies).workloads
        if w.is_base and w.mode in MODES and not w.name.endswith(AGAIN)
    ]
    first = [
        replace(base, name=f"{base.name} {number}", is_base=False)
        for number, base in enumerate(islice(cycle(bases), count))
    ]
    return tuple(w for each in first for w in (each, replace(each, name=each.name + AGAIN)))


def of_passes(count: int, device: str, tell: Tell) -> Coverage:
    """Pairs timed by the passes of the profile standard."""
    rows = []
    effort = EFFORTS["standard"]
    for process in range(effort.processes):
        tell(f"process {process + 1} of {effort.processes}, {2 * count} workloads")
        job = Job(device, process, twins(count), effort, 1, monotonic() + SECONDS)
        rows += in_fresh_process(job, lambda line: None).rows
    series = series_of(rows)
    pairs = [(key, (*key[:2], key[2] + AGAIN)) for key in series if not key[2].endswith(AGAIN)]
    ratios = tuple(ratio_interval(series[twin], series[key]) for key, twin in pairs)
    return Coverage("passes", ratios)


def of_the_gate(count: int, device: str, tell: Tell) -> Coverage:
    """The working tree against itself until there are so many ratios."""
    ratios: list[Interval] = []
    rng = np.random.default_rng()
    with TemporaryDirectory(prefix="compared-") as folder:
        copied = copy_working_tree(find_root(Path.cwd()), Path(folder))
        tree = Tree(WORKING_TREE, WORKING_TREE, copied)
        while len(ratios) < count:
            tell(f"{len(ratios)} of {count} ratios")
            plan = Plan(tree, tree, device=device, budget=LEAST_BUDGET)
            found = measure(plan, rng=rng, tell=lambda line: None)
            for name in found.workloads():
                pairs = found.pairs(name)
                for other in (pairs.head, pairs.again):
                    ratios.append(ratio_over_processes(other, pairs.base, pairs.process))
    return Coverage("compare", tuple(ratios[:count]))


def main(arguments: Sequence[str]) -> int:
    """Measure and print both; 1 if one lies outside of 90 to 99%."""
    top = Parser(prog="benchmarks coverage", description=__doc__)
    top.add_argument("--comparisons", type=whole_number, default=100, help="(default: 100)")
    top.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    options = top.parse_args(arguments)

    def tell(line: str) -> None:
        print(f"benchmarks coverage: {line}", file=sys.stderr)

    results = [measured(max(options.comparisons, 1), options.device, tell) for measured in WAYS]
    print(*results, sep="\n")
    return OK if all(each.is_calibrated for each in results) else 1


WAYS = (of_passes, of_the_gate)
