"""Time the workloads of some studies: `python -m benchmarks --help`.

Every level of the studies' factors is timed on plain modules, one training step and one
inference, on the CPU and on every accelerator; raw samples go to RESULTS/timings.csv.

Other commands: `compare BASE [HEAD]` times two commits against each other, `speedup` the
stacks against what one would otherwise do; `agreement` holds this clock against others, and
`coverage` measures how often its intervals are right, and `layouts` how stacks are best cut.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ablations.design import DesignError
from ablations.levels import LevelError
from ablations.options import (
    INCOMPLETE,
    INTERRUPTED,
    OK,
    USAGE,
    Parser,
    add_shared_options,
    chosen_device,
    chosen_studies,
    duration,
    raise_interrupt,
    results_folder,
    whole_number,
)
from ablations.records import RecordError
from ablations.tasks import TaskError
from benchmarks import agreement, compare, coverage, layouts, speedup
from benchmarks.budgeting import Settings, plan_timings
from benchmarks.fresh import TimingError
from benchmarks.reliability import median_over_processes, ratio_interval
from benchmarks.sampling import EFFORTS
from benchmarks.series import Series, flags_of, series_of
from benchmarks.show import show_interval, show_ratio, table_text
from benchmarks.timing_files import Timings
from benchmarks.timings import time_missing
from benchmarks.workloads import AGAIN, Plan

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "agreement": agreement.main,
    "compare": compare.main,
    "coverage": coverage.main,
    "layouts": layouts.main,
    "speedup": speedup.main,
}


MOST_NAMED = 3  # workloads in a line


def main(arguments: Sequence[str] | None = None) -> int:
    """Time what is missing, print the base workloads; 0, 1 (some failed), 2 or 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        return COMMANDS[given[0]](given[1:])
    options = parser().parse_args(given)
    try:
        return time_command(options, ["python", "-m", "benchmarks", *given])
    except (DesignError, LevelError, RecordError, TaskError) as error:
        return _say(f"benchmarks: {' '.join(str(error).splitlines())}", USAGE)
    except TimingError as error:
        return _say(f"benchmarks: {error}", INCOMPLETE)
    except KeyboardInterrupt:
        line = shlex.join(["python", "-m", "benchmarks", *given])
        return _say(f"\ninterrupted; finished processes are kept. To go on: {line}", INTERRUPTED)


def _say(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """The options, those of `ablations run` where they mean the same."""
    top = Parser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = top.add_argument
    add_shared_options(top)  # device auto: the CPU and every accelerator
    add("--threads", type=whole_number, default=1, help="threads of each process (default: 1)")
    add("--budget", type=duration, metavar="TIME", help="of the whole run: 90s, 10m")
    add("--quiet", action="store_true", help="no progress")
    return top


def time_command(options: argparse.Namespace, commandline: Sequence[str]) -> int:
    """Plan, time what is missing, print what the base workloads took."""
    if options.threads < 1:
        raise DesignError("--threads got 0; give at least 1")
    studies = chosen_studies(options)
    device = chosen_device(options)
    effort = EFFORTS[options.profile]
    if options.budget is not None:
        effort = replace(effort, budget=options.budget)
    settings = Settings(
        results=results_folder(options, device),
        devices=devices_of(options.device, device),
        profile=options.profile,
        effort=effort,
        threads=options.threads,
    )
    signal.signal(signal.SIGTERM, raise_interrupt)
    plan = plan_timings(studies, settings)
    progress = Progress(plan, settings, quiet=options.quiet)
    try:
        timings = time_missing(plan, settings, tell=progress.tell, commandline=commandline)
    finally:
        progress.close()
    if not progress.has_timed:
        print(f"nothing to time; remove {settings.results / 'timings.csv'} to time again")
    print(render(timings, plan, settings))
    return INCOMPLETE if failures(timings) else OK


def devices_of(asked: str, resolved: str) -> tuple[str, ...]:
    """The devices to time on: with `auto` the CPU and every accelerator."""
    if asked != "auto":
        return (resolved,)
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or not torch.accelerator.is_available():
        return ("cpu",)
    count = torch.accelerator.device_count()
    names = [accelerator.type] if count == 1 else [f"{accelerator.type}:{i}" for i in range(count)]
    return ("cpu", *names)


class Progress:
    """One bar of the time that is planned; plain lines without a terminal."""

    def __init__(self, plan: Plan, settings: Settings, *, quiet: bool) -> None:
        self.plan, self.settings, self.quiet = plan, settings, quiet
        self.start = time.monotonic()
        self.bar: tqdm[Any] | None = None
        self.has_timed = False

    def tell(self, line: str) -> None:
        """Say what is being done; a line about a process or a wait stays on the screen."""
        if line.startswith("process"):
            self.has_timed = True
        if self.quiet:
            return
        if not line.startswith(("warm-up", "round")):
            workloads = f", {len(self.plan.workloads)} workloads" if self.has_timed else ""
            tqdm.write(f"benchmarks: {line}{workloads}", file=sys.stderr)
        elif sys.stderr.isatty():
            self._advance(line)

    def _advance(self, line: str) -> None:
        if self.bar is None:
            layout = "{desc}: {percentage:3.0f}% |{bar}| at most {total:.0f} s"
            self.bar = tqdm(total=self.settings.effort.budget, bar_format=layout, leave=False)
        self.bar.set_description_str(line, refresh=False)
        self.bar.n = min(time.monotonic() - self.start, self.settings.effort.budget)
        self.bar.refresh()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.close()


def render(timings: Timings, plan: Plan, settings: Settings) -> str:
    """The base workloads with their medians and A/A ratios, and what else is to be known."""
    series = series_of(timings.rows)
    flagged = {
        (f["device"], f["mode"], f["workload"]): f["flags"]
        for f in flags_of(timings.rows, timings.passes)
    }
    table = [("device", "mode", "workload", "median", "95% interval", "again / first", "flags")]
    for key in _bases(series):
        device, mode, name = key
        median = median_over_processes(series[key], rng=np.random.default_rng(0))
        twin = series.get((device, mode, name + AGAIN))
        ratio = "" if twin is None else show_ratio(ratio_interval(twin, series[key]))
        marks = ", ".join(flagged.get(key, []))
        table.append((device, mode, name, *show_interval(median), ratio, marks))
    return "\n".join([table_text(table), *_last_words(timings, plan, settings)])


def _bases(series: Series) -> list[tuple[str, str, str]]:
    return [key for key in series if f"{key[2]}{AGAIN}" in {k[2] for k in series}]


def _last_words(timings: Timings, plan: Plan, settings: Settings) -> list[str]:
    series = series_of(timings.rows)
    reach: dict[tuple[str, str], float] = {}
    for device, mode, name in _bases(series):
        twin = series.get((device, mode, name + AGAIN))
        if twin is not None:
            ratio = ratio_interval(twin, series[device, mode, name])
            reach[device, mode] = max(reach.get((device, mode), 0.0), ratio.reach)
    floors = ", ".join(f"{100 * r:.1f}% ({mode}, {device})" for (device, mode), r in reach.items())
    counts: dict[str, int] = {}
    for entry in flags_of(timings.rows, timings.passes):
        for flag in entry["flags"]:
            counts[flag] = counts.get(flag, 0) + 1
    lines = [f"noise floor, the widest A/A interval: {floors}"] if floors else []
    told = ", ".join(f"{flag} {count}" for flag, count in counts.items()) or "none"
    lines.append(f"flags over {len(series)} workloads: {told}")
    cut = sum("budget" in left.reason for left in plan.left_out)
    lines.append(
        f"left out: {cut} by the budget, {len(plan.left_out) - cut} that cannot be timed here, "
        f"{len(plan.same_as)} that compute the same as another "
        f"(see {settings.results / 'timings.json'})"
    )
    late = {(name, mode) for p in timings.passes for name, mode in p["unreached"]}
    if late:
        named = ", ".join(f"{name} ({mode})" for name, mode in sorted(late)[:MOST_NAMED])
        more = f" and {len(late) - MOST_NAMED} more" if len(late) > MOST_NAMED else ""
        lines.append(
            f"not reached by every process, the machine being slower than planned: {named}{more}; "
            "a larger --budget gives them time"
        )
    return lines + [
        f"failed on {p['device']}: {f['workload']} ({f['mode']}): {f['reason']}"
        for p, f in failures(timings)
    ]


def failures(timings: Timings) -> list[tuple[dict[str, object], dict[str, str]]]:
    """What each pass could not time."""
    return [(p, f) for p in timings.passes for f in p["failed"]]


if __name__ == "__main__":
    sys.exit(main())
