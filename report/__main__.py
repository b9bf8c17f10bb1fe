"""Write the report of a results folder: `python -m report --help`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from report.against_section import write_against
from report.claim_words import numbers_of
from report.claims import judge
from report.contents import build_report
from report.copies import write_copies
from report.drawing import house_style
from report.escaping import visible
from report.exports import write_tables
from report.index import write_index
from report.page import write_report
from report.schema import TableError
from report.summary import render_summary
from report.tables import Results, StudyResults, read_results
from report.tiles import PictureError
from report.verdicts import UNTESTED

PROFILES = ("quick", "standard", "full")


class UsageError(ValueError):
    """Something was asked for that is not there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, build, write; 0, 1 when --check finds a broken claim, 2 with what to do instead."""
    options = _parser().parse_args(arguments)
    try:
        if options.index is not None and options.check:
            raise UsageError("--check reads the claims of one results folder; leave out --index")
        if options.index is not None:
            print(*write_index(options.index), sep="\n")
            return 0
        folder = options.results or default_folder(options.profile, options.device)
        results = chosen(read_results(folder), options.study)
        if options.summary:
            print(render_summary(results, folder / "report"), end="")
        elif options.against is not None:
            print(*write_against(results, _other(options), folder / "report"), sep="\n")
        else:
            print(*_write(results, options.export), sep="\n")
    except (TableError, UsageError, PictureError) as error:
        return _refuse(str(error))
    except OSError as error:
        where = error.filename or options.results or "results"
        return _refuse(
            f"{where}: the report cannot be written ({error.strerror}); make the folder writable, "
            "or copy the results to one that is and name it with --results"
        )
    return check(results.studies) if options.check else 0


def _write(results: Results, export: str | None) -> Iterator[Path]:
    """Write the report and, where asked for, every figure and table; the paths to look at."""
    folder = results.folder / "report"
    with house_style():
        report = build_report(results, 1 if export is not None else cores())
    yield from write_report(report, folder)
    write_tables(results, folder)
    if export is not None:
        yield write_copies(report, Path(export) if export else folder / "export")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _other(options: argparse.Namespace) -> Results:
    """The results that a report is held against, of the same studies."""
    try:
        return chosen(read_results(options.against), options.study)
    except TableError as error:
        raise UsageError(f"--against: {error}") from error


def check(studies: Sequence[StudyResults]) -> int:
    """1 when a claim that a study expects to be supported is contradicted, each on a line.

    One that could not be tested is named too, so that nobody takes silence for support.
    """
    judged = [judgement for results in studies for judgement in judge(results)]
    broken = [judgement for judgement in judged if judgement.is_broken]
    untested = [j for j in judged if j.claim.get("expected") and j.verdict == UNTESTED]
    for judgement in untested:
        print(
            f"not tested: {visible(judgement.study)}: “{visible(judgement.statement)}” "
            f"{visible(numbers_of(judgement))}",
            file=sys.stderr,
        )
    for judgement in broken:
        print(
            f"contradicted: {visible(judgement.study)}: “{visible(judgement.statement)}” "
            f"{visible(numbers_of(judgement))}",
            file=sys.stderr,
        )
    return 1 if broken else 0


def default_folder(profile: str, device: str) -> Path:
    """`results/standard`, and `results/standard-cuda` for a GPU."""
    return Path("results") / (f"{profile}-cuda" if device == "cuda" else profile)


def chosen(results: Results, wanted: str | None) -> Results:
    """The results of this study or group alone; all of them when none is named."""
    return replace(results, studies=chosen_studies(results, wanted))


def chosen_studies(results: Results, wanted: str | None) -> tuple[StudyResults, ...]:
    """The studies of this name or group; all of them when none is named."""
    if wanted is None:
        return results.studies
    chosen = tuple(s for s in results.studies if wanted in (s.study["name"], s.study.get("group")))
    if not chosen:
        names = list(
            dict.fromkeys(
                str(name)
                for s in results.studies
                for name in (s.study["name"], s.study.get("group"))
                if name
            )
        )
        close = get_close_matches(wanted, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
        raise UsageError(f"--study: no results of {wanted!r} in {results.folder}; {hint}")
    return chosen


def _refuse(line: str) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument("--results", type=Path, metavar="PATH", help="the results folder")
    parser.add_argument("--profile", choices=PROFILES, default="standard")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--study", metavar="NAME", help="a study or group; default: all there are")
    parser.add_argument(
        "--check",
        action="store_true",
        help='exit with 1 when a claim marked expected = "supported" is contradicted',
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--summary",
        action="store_true",
        help="print at most 60 lines of Markdown instead, for a job's summary or a pull request",
    )
    instead.add_argument(
        "--export",
        nargs="?",
        const="",
        metavar="DIR",
        help="also write every figure as SVG, PNG and PDF, every table as CSV, Markdown and LaTeX; "
        "default: export/ beside the report",
    )
    instead.add_argument(
        "--against",
        type=Path,
        metavar="OTHER",
        help="compare with another results folder instead: against.html and against.md",
    )
    instead.add_argument(
        "--index",
        type=Path,
        nargs="?",
        const=Path("results"),
        metavar="FOLDER",
        help="list the results folders below FOLDER instead (default: results)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
