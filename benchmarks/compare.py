"""`python -m benchmarks compare BASE [HEAD]`: has a change made the code slower?

Both commits (without HEAD the working tree) are timed in one job: sets of three fresh
processes, base, head, and base again, take turns in random order. Exit code 1 only for a
slowdown whose interval lies above 1.25 in two measurements one after the other.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ablations.design import DesignError
from ablations.options import (
    INTERRUPTED,
    OK,
    USAGE,
    Parser,
    chosen_device,
    duration,
    raise_interrupt,
    whole_number,
)
from benchmarks.comparison import as_json, compare, render
from benchmarks.driver import RECIPES
from benchmarks.gate import QUIET, SHARED
from benchmarks.sides import Plan, SideError
from benchmarks.timings import wait_for_quiet
from benchmarks.trees import TreeError, has_changes, load_trees

SLOWER = 1  # exit code of a slowdown that two measurements confirm


def parser() -> argparse.ArgumentParser:
    """The options of `compare`."""
    top = Parser(
        prog="benchmarks compare",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = top.add_argument
    add("base", metavar="BASE", help="a commit: hash, branch or tag")
    add("head", metavar="HEAD", nargs="?", help="another (default: the working tree)")
    add("--workloads", default="*", metavar="NAMES", help="only these: 'stack*', 'plain*step'")
    add("--budget", type=duration, default=120.0, metavar="TIME",
        help="of a measurement, of which there are at most two (default: 120s)")  # fmt: skip
    add("--device", default="cpu", help="cpu or cuda (default: cpu)")
    add("--threads", type=whole_number, default=1, help="of each process (default: 1)")
    add("--quiet-machine", action="store_true",
        help=f"call a ratio within {QUIET:.0%}% the same, not {SHARED:.0%}%")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write the numbers to a file, too")
    return top


def main(arguments: Sequence[str]) -> int:
    """Compare, print the table; 0, 1 (slower, confirmed), 2 (cannot be compared) or 130."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        with TemporaryDirectory(prefix="compared-") as folder:
            plan = plan_of(options, Path(folder))
            wait_for_quiet(Path("results"), _tell)
            delta = QUIET if options.quiet_machine else SHARED
            outcome = compare(plan, delta, rng=np.random.default_rng(), tell=_tell)
            text = as_json(outcome, plan)
        print(render(outcome, plan))
        if options.json is not None:
            options.json.write_text(text + "\n", encoding="utf-8")
    except (DesignError, OSError, SideError, TreeError) as error:
        print(f"benchmarks compare: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is kept", file=sys.stderr)
        return INTERRUPTED
    return SLOWER if outcome.failures else OK


def plan_of(options: argparse.Namespace, folder: Path) -> Plan:
    """Both trees unpacked, and what is to be timed."""
    chosen = tuple(name for name in RECIPES if fnmatchcase(name, options.workloads))
    if not chosen:
        raise TreeError(
            f"no workload is named {options.workloads!r}; there is {', '.join(RECIPES)}"
        )
    if options.threads < 1:
        raise TreeError("--threads got 0; give at least 1")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise TreeError(f"--json got {options.json}, which lies in no folder; make it first")
    here = Path.cwd()
    device = chosen_device(options)
    base, head = load_trees(options.base, options.head, folder, here=here)
    if options.head is not None and has_changes(here):
        _tell("uncommitted changes are not part of it; leave HEAD out to compare them")
    return Plan(base, head, chosen, device, options.threads, options.budget)


def _tell(line: str) -> None:
    print(f"benchmarks compare: {line}", file=sys.stderr)
