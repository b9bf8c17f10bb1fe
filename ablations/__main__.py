"""The command line: `python -m ablations run | plan | list | status | verify | diff`."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ablations.design import DesignError
from ablations.levels import FACTORS, TASKS, LevelError, Named, text
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
    limit,
    positive,
    raise_interrupt,
    results_folder,
    whole_number,
    worker_count,
)
from ablations.studyfile import SHARES, load_study, study_groups


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


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = Parser(
        prog="ablations", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    common = _common_options()
    run = commands.add_parser("run", parents=[common], help="train what is missing")
    run.add_argument("--budget", type=duration, metavar="TIME", help="start nothing after 90s, 10m")
    run.add_argument("--timeout", type=limit, metavar="TIME", help="limit of one stack")
    run.add_argument("--quiet", action="store_true", help="no progress")
    run.set_defaults(command=run_command)

    plan = commands.add_parser("plan", parents=[common], help="what would run, and how long")
    plan.add_argument("--json", action="store_true", help="for programs")
    _add_power_options(plan)
    plan.set_defaults(command=plan_command)

    status = commands.add_parser("status", parents=[common], help="where it stands")
    status.set_defaults(command=status_command)

    lists = commands.add_parser("list", help="tasks, factors with their levels, studies")
    lists.set_defaults(command=list_command)

    verify = commands.add_parser("verify", parents=[common], help="re-train a sample and compare")
    verify.add_argument(
        "--sample", type=whole_number, default=3, help="stacks per study (default: 3)"
    )
    verify.set_defaults(command=verify_command)

    export = commands.add_parser(
        "export", parents=[common], help="train one trial again and save its network"
    )
    export.add_argument("trial", help="its name in trials.csv")
    export.add_argument("file", type=Path, help="where to, such as network.safetensors")
    export.set_defaults(command=export_command)

    diff = commands.add_parser("diff", help="compare the trials of two results folders")
    diff.add_argument("a", type=Path)
    diff.add_argument("b", type=Path)
    diff.set_defaults(command=diff_command)

    costs = commands.add_parser(
        "costs",
        parents=[_common_options()],  # of its own: defaults are shared with a parent's options
        help="measure the table that plan predicts from: 4 minutes",
    )
    costs.set_defaults(command=costs_command, study="costs")
    return top


def _add_power_options(plan: argparse.ArgumentParser) -> None:
    add = plan.add_argument_group("instead, what the seeds can resolve").add_argument
    add("--power", action="store_true", help="the smallest effect found with power .8")
    add("--effect", type=positive, metavar="X", help="and the seeds that this effect needs")
    add("--deviation", type=positive, metavar="X", help="of paired differences; or take them from")
    add("--pilot", type=Path, metavar="PATH", help="a results folder (default: --results)")


def _common_options() -> Parser:
    common = Parser(add_help=False)
    add_shared_options(common)
    add = common.add_argument
    add("--workers", type=whole_number, help="processes (default: the cores; 0: this process)")
    return common


def run_command(options: argparse.Namespace) -> int:
    """Train what is missing, write the CSV files, say how it ended."""
    studies = chosen_studies(options)
    from ablations.processor import settle_process  # noqa: PLC0415

    settle_process()
    device = chosen_device(options)
    from ablations.running import Settings, at_their_looks, find, run  # noqa: PLC0415
    from ablations.standing import render_standing  # noqa: PLC0415

    settings = Settings(
        results=results_folder(options, device),
        device=device,
        workers=worker_count(options, device),
        budget=options.budget if options.budget is not None else float("inf"),
        limit=options.timeout,
        quiet=options.quiet,
    )
    signal.signal(signal.SIGTERM, raise_interrupt)
    tally = run(studies, settings)
    print(f"{tally} in {settings.results}")
    if tally.complete:
        return OK
    found = find(studies, settings.results, device)
    lines = render_standing(found, at_their_looks(found, studies))
    print("".join(f"{line}\n" for line in lines), end="")
    return INCOMPLETE


def plan_command(options: argparse.Namespace) -> int:
    """Say what would run."""
    if options.power:
        return _power_command(options)
    for name in ("effect", "deviation", "pilot"):
        if getattr(options, name) is not None:
            raise DesignError(f"--{name} says nothing without --power; add it")
    from ablations.planning import plan, render_json, render_text  # noqa: PLC0415

    studies, device = chosen_studies(options), chosen_device(options)
    found = plan(studies, results_folder(options, device), device)
    workers = max(worker_count(options, device), 1)
    print(render_json(found, workers) if options.json else render_text(found, workers))
    return OK


def _power_command(options: argparse.Namespace) -> int:
    """Say what the seeds of the studies can resolve."""
    from ablations.resolution import render_json, render_text, resolutions  # noqa: PLC0415

    deviation, effect = options.deviation, options.effect
    if deviation is not None and options.pilot is not None:
        raise DesignError("--deviation and --pilot both say how far seeds vary; give one of them")
    studies = chosen_studies(options)
    if deviation is None and options.pilot is None:
        pilot = results_folder(options, chosen_device(options))
    else:
        pilot = options.pilot or Path()
    rows = resolutions(studies, deviation=deviation, pilot=pilot, effect=effect)
    source = "as stated" if deviation is not None else f"in {pilot}"
    if options.json:
        print(render_json(rows, deviation=deviation, pilot=pilot, effect=effect))
    else:
        print(render_text(rows, source=source, effect=effect))
    return OK


def status_command(options: argparse.Namespace) -> int:
    """Say how many trials are done, and how they ended."""
    from ablations.running import at_their_looks, find, render_outdated, tally  # noqa: PLC0415
    from ablations.standing import render_looks, render_standing  # noqa: PLC0415

    studies, device = chosen_studies(options), chosen_device(options)
    found = find(studies, results_folder(options, device), device)
    studies = at_their_looks(found, studies)
    for study in studies:
        print(f"{study.name}: {tally(found, [study])}")
        lines = [
            *render_outdated(found, [study]),
            *render_looks(found, [study]),
            *render_standing(found, [study]),
        ]
        print("".join(f"{line}\n" for line in lines), end="")
    return OK if tally(found, studies).complete else INCOMPLETE


def list_command(options: argparse.Namespace) -> int:
    """Print tasks, factors and studies."""
    print("tasks")
    for name, task in TASKS.items():
        print(f"  {name:15} {task.about}")
        shown = ", ".join(f"{key} = {text(s.default)}" for key, s in task.settings.items())
        if shown:
            print(f"  {'':15} {shown}")
    print(f"  {'every task':15} standardise = true; symmetric = false, inputs from -1 to 1;")
    print(f'  {"":15} split = "none" trains on everything,')
    print(f'  {"":15} "test" as well, and watches a test part that comes with the data')
    print(
        f"  {'data sets':15} split = {list(SHARES)}, shares to train on, validate on and test on;"
    )
    print(f"  {'':15} mnist and others with a test part of their own keep it")
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
    print("\nseeds")
    print(f"  {'seeds = 10':15} for every cell; or, until every contrast is resolved,")
    rule = 'seeds = { min = 5, max = 30, stop = "resolved", equal_within = 0.01 }'
    print(f"  {'':15} {rule}; equal_within may be left out")
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

    device = chosen_device(options)
    problems = verify(
        chosen_studies(options), results_folder(options, device), device, options.sample
    )
    for problem in problems:
        print(problem)
    if not problems:
        print("every sampled record and every CSV file agrees")
    return INCOMPLETE if problems else OK


def export_command(options: argparse.Namespace) -> int:
    """Save a trained network, load it again and hold it to its row of trials.csv."""
    studies, device = chosen_studies(options), chosen_device(options)
    from ablations.processor import settle_process  # noqa: PLC0415

    settle_process()
    from ablations.exporting import export  # noqa: PLC0415

    print(export(studies, results_folder(options, device), device, options.trial, options.file))
    return OK


def diff_command(options: argparse.Namespace) -> int:
    """Compare the trials of two folders."""
    from ablations.verification import differences  # noqa: PLC0415

    lines = differences(options.a, options.b)
    print("\n".join(lines) or "the same trials with the same numbers")
    return INCOMPLETE if lines else OK


def costs_command(options: argparse.Namespace) -> int:
    """Train what is missing of some studies as `run` does, then fit the cost table to it."""
    studies = chosen_studies(options)
    from ablations.processor import settle_process  # noqa: PLC0415

    settle_process()
    device = chosen_device(options)
    from ablations.planning import fit_costs, with_data  # noqa: PLC0415
    from ablations.running import Settings, run  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as fresh:
        results = results_folder(options, device) if options.results else Path(fresh)
        settings = Settings(results, device, worker_count(options, device))
        studies = with_data(studies)
        if not studies:
            raise DesignError("no study is left to measure; get the data or name other studies")
        signal.signal(signal.SIGTERM, raise_interrupt)
        run(studies, settings)
        print(fit_costs(studies, results, device))
    return OK


if __name__ == "__main__":
    sys.exit(main())
