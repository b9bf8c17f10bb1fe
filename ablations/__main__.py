"""The command line: `python -m ablations run | plan | list | status | verify | diff`."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ablations.design import DesignError, Study
from ablations.levels import FACTORS, TASKS, LevelError, Named, text
from ablations.studyfile import PROFILES, find_studies, load_study, study_groups

OK, INCOMPLETE, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of the README."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except (DesignError, LevelError) as error:
        return _fail(str(error))
    except RuntimeError as error:
        if not _is_expected(error):
            raise
        return _fail(str(error))
    except KeyboardInterrupt:
        line = shlex.join(["python", "-m", "ablations", *sys.argv[1:]])
        print(f"\ninterrupted; what is finished is kept. To go on: {line}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def _is_expected(error: RuntimeError) -> bool:
    """Whether data or results cannot be read or written: the message says what to do."""
    from ablations.records import RecordError  # noqa: PLC0415, commands without them need no torch
    from ablations.tasks import TaskError  # noqa: PLC0415

    return isinstance(error, RecordError | TaskError)


def _fail(message: str) -> int:
    print(f"ablations: {' '.join(message.splitlines())}", file=sys.stderr)
    return USAGE


class Parser(argparse.ArgumentParser):
    """Answers bad usage with one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line that says what to do."""
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = Parser(
        prog="ablations", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    common = Parser(add_help=False)
    add = common.add_argument
    add("--study", default="core", help="a study, a study file or a group (default: core)")
    add("--profile", default="standard", choices=PROFILES, help="how much (default: standard)")
    add("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    add("--results", type=Path, help="where results go (default: results/<profile>)")
    add("--workers", type=_count, help="processes (default: the cores; 0: this process)")

    run = commands.add_parser("run", parents=[common], help="train what is missing")
    run.add_argument(
        "--budget", type=_duration, metavar="TIME", help="start nothing after 90s, 10m"
    )
    run.add_argument("--timeout", type=_duration, metavar="TIME", help="limit of one stack")
    run.add_argument("--quiet", action="store_true", help="no progress")
    run.set_defaults(command=run_command)

    plan = commands.add_parser("plan", parents=[common], help="what would run, and how long")
    plan.add_argument("--json", action="store_true", help="for programs")
    plan.set_defaults(command=plan_command)

    status = commands.add_parser("status", parents=[common], help="where it stands")
    status.set_defaults(command=status_command)

    lists = commands.add_parser("list", help="tasks, factors with their levels, studies")
    lists.set_defaults(command=list_command)

    verify = commands.add_parser("verify", parents=[common], help="re-train a sample and compare")
    verify.add_argument("--sample", type=_count, default=3, help="stacks per study (default: 3)")
    verify.set_defaults(command=verify_command)

    diff = commands.add_parser("diff", help="compare the trials of two results folders")
    diff.add_argument("a", type=Path)
    diff.add_argument("b", type=Path)
    diff.set_defaults(command=diff_command)

    costs = commands.add_parser("costs", parents=[common], help="fit the cost table to RESULTS")
    costs.set_defaults(command=costs_command)
    return top


def _count(value: str) -> int:
    if not re.fullmatch(r"\d{1,3}", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"needs a whole number from 0 to 999, got {value!r}")
    return int(value)


def _duration(value: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value)
    if not match:
        raise argparse.ArgumentTypeError(f"needs a time such as 90s, 10m or 1h, got {value!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _studies(options: argparse.Namespace) -> list[Study]:
    """The studies asked for, with those their learning rates come from."""
    files = find_studies(options.study)
    loaded = [load_study(file, options.profile) for file in files]
    _refuse_colliding([study.name for study in loaded])
    studies = {study.name: study for study in loaded}
    for study in list(studies.values()):
        source = study.rates.source
        if source is not None and source not in studies:
            studies[source] = load_study(find_studies(source)[0], options.profile)
    _refuse_colliding(list(studies))
    return [s for s in studies.values() if s.rates.source is None] + [
        s for s in studies.values() if s.rates.source is not None
    ]


def _refuse_colliding(names: list[str]) -> None:
    folded: dict[str, str] = {}
    for name in names:
        if name.casefold() in folded:
            other = folded[name.casefold()]
            how = "differ only in case" if other != name else "have the same name"
            raise DesignError(f"studies {other!r} and {name!r} {how}; rename one")
        folded[name.casefold()] = name


def _device(options: argparse.Namespace) -> str:
    import torch  # noqa: PLC0415, commands that need no torch answer at once

    asked: str = options.device
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.partition(":")[0] not in {"cpu", "cuda"}:
        raise DesignError(f"unknown device {asked!r}; choose auto, cpu or cuda")
    if asked != "cpu" and not torch.cuda.is_available():
        raise DesignError(f"device {asked!r} is not available here; choose cpu or auto")
    index = re.fullmatch(r"cuda(?::(\d{1,3}))?", asked, re.ASCII)
    if asked != "cpu" and (index is None or int(index[1] or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise DesignError(f"device {asked!r} is not one of the {count} here; choose auto or cuda:0")
    return asked


def _results(options: argparse.Namespace, device: str) -> Path:
    suffix = "" if device == "cpu" else "-cuda"
    path: Path = options.results or Path("results") / f"{options.profile}{suffix}"
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:
        raise DesignError(
            f"results folder {path}: {error.strerror}; choose another with --results"
        ) from None
    if is_file:
        raise DesignError(f"results folder {path} is a file; choose another with --results")
    return path


def _workers(options: argparse.Namespace, device: str) -> int:
    if options.workers is not None:
        return int(options.workers)
    if device != "cpu":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_command(options: argparse.Namespace) -> int:
    """Train what is missing, write the CSV files, say how it ended."""
    studies = _studies(options)
    from ablations.processor import settle_process  # noqa: PLC0415

    settle_process()
    device = _device(options)
    from ablations.running import Settings, run  # noqa: PLC0415

    settings = Settings(
        results=_results(options, device),
        device=device,
        workers=_workers(options, device),
        budget=options.budget if options.budget is not None else float("inf"),
        limit=options.timeout,
        quiet=options.quiet,
    )
    signal.signal(signal.SIGTERM, _as_interrupt)
    tally = run(studies, settings)
    print(f"{tally} in {settings.results}")
    return OK if tally.complete else INCOMPLETE


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def plan_command(options: argparse.Namespace) -> int:
    """Say what would run."""
    from ablations.planning import plan, render_json, render_text  # noqa: PLC0415

    studies, device = _studies(options), _device(options)
    rows = plan(studies, _results(options, device), device)
    workers = max(_workers(options, device), 1)
    print(render_json(rows, workers) if options.json else render_text(rows, workers))
    return OK


def status_command(options: argparse.Namespace) -> int:
    """Say how many trials are done, and how they ended."""
    from ablations.running import find, tally  # noqa: PLC0415

    studies, device = _studies(options), _device(options)
    found = find(studies, _results(options, device), device)
    for study in studies:
        print(f"{study.name}: {tally(found, [study])}")
    return OK if tally(found, studies).complete else INCOMPLETE


def list_command(options: argparse.Namespace) -> int:
    """Print tasks, factors and studies."""
    print("tasks")
    for name, task in TASKS.items():
        print(f"  {name:15} {task.about}")
        shown = ", ".join(f"{key} = {text(s.default)}" for key, s in task.settings.items())
        if shown:
            print(f"  {'':15} {shown}")
    print("\nfactors (the default stands first or in brackets)")
    for name, factor in FACTORS.items():
        print(f"  {name:15} {factor.about}")
        if isinstance(factor, Named):
            ordered = [
                factor.default,
                *(level for level in factor.levels if level != factor.default),
            ]
            print(f"  {'':15} {', '.join(_level_help(factor, level) for level in ordered)}")
        else:
            print(f"  {'':15} [{text(factor.default)}]")
    print("\nstudies")
    for group, files in study_groups().items():
        for file in files:
            print(f"  {group + '/' + file.stem:28} {load_study(file).question}")
    return OK


def _level_help(factor: Named, level: str) -> str:
    settings = factor.levels[level]
    if not settings:
        return level
    return f"{level}({', '.join(f'{key}={text(s.default)}' for key, s in settings.items())})"


def verify_command(options: argparse.Namespace) -> int:
    """Re-train a sample of the records and compare."""
    from ablations.processor import settle_process  # noqa: PLC0415

    settle_process()
    from ablations.verification import verify  # noqa: PLC0415

    device = _device(options)
    problems = verify(_studies(options), _results(options, device), device, options.sample)
    for problem in problems:
        print(problem)
    if not problems:
        print("every sampled record and every CSV file agrees")
    return INCOMPLETE if problems else OK


def diff_command(options: argparse.Namespace) -> int:
    """Compare the trials of two folders."""
    from ablations.verification import differences  # noqa: PLC0415

    lines = differences(options.a, options.b)
    print("\n".join(lines) or "the same trials with the same numbers")
    return INCOMPLETE if lines else OK


def costs_command(options: argparse.Namespace) -> int:
    """Fit the cost table."""
    from ablations.planning import fit_costs  # noqa: PLC0415

    device = _device(options)
    print(fit_costs(_studies(options), _results(options, device), device))
    return OK


if __name__ == "__main__":
    sys.exit(main())
