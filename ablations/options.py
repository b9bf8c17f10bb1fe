"""Options that the commands of `ablations` and `benchmarks` share, and what they stand for."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ablations.design import DesignError, Study
from ablations.sizes import known_sizes
from ablations.studyfile import PROFILES, check_cells, find_studies, load_study

OK, INCOMPLETE, USAGE, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """Answers bad usage with one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line that says what to do."""
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """What to run, how much of it, on what, and where to."""
    add = parser.add_argument
    add("--study", default="core", help="a study, a study file or a group (default: core)")
    add("--profile", default="standard", choices=PROFILES, help="how much (default: standard)")
    add("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    add("--results", type=Path, help="where results go (default: results/<profile>)")


def whole_number(value: str) -> int:
    """Read a count from 0 to 999."""
    if not re.fullmatch(r"\d{1,3}", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"needs a whole number from 0 to 999, got {value!r}")
    return int(value)


def positive(value: str) -> float:
    """Read a number above zero."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"needs a number above 0, got {value!r}")
    return number


def duration(value: str) -> float:
    """Read 90s, 10m or 1h as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value)
    if not match:
        raise argparse.ArgumentTypeError(f"needs a time such as 90s, 10m or 1h, got {value!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def limit(value: str) -> float:
    """Read a duration above zero: no time at all is no limit that a stack could keep."""
    seconds = duration(value)
    if not seconds:
        raise argparse.ArgumentTypeError(
            f"needs a time above 0, got {value!r}; without it a stack may take 20 times as long as "
            "predicted, and at least 5 minutes"
        )
    return seconds


def chosen_studies(options: argparse.Namespace) -> list[Study]:
    """The studies asked for, with those their learning rates come from."""
    files = find_studies(options.study)
    loaded = [_load(file, options.profile) for file in files]
    _refuse_colliding([study.name for study in loaded])
    studies = {study.name: study for study in loaded}
    for study in list(studies.values()):
        source = study.rates.source
        if source is not None and source not in studies:
            studies[source] = _load(find_studies(source)[0], options.profile)
    _refuse_colliding(list(studies))
    return [s for s in studies.values() if s.rates.source is None] + [
        s for s in studies.values() if s.rates.source is not None
    ]


def _load(path: Path, profile: str) -> Study:
    """A study whose cells fit their data, also where these have to be read to know."""
    study = load_study(path, profile)
    for task in study.tasks:
        if known_sizes(task) is None:
            from ablations.tasks import part_sizes  # noqa: PLC0415, other tasks need no torch yet

            sizes = part_sizes(task)
            try:
                check_cells(study, task, sizes)
            except DesignError as error:
                raise DesignError(f"{path}: {error}") from None
    return study


def _refuse_colliding(names: list[str]) -> None:
    folded: dict[str, str] = {}
    for name in names:
        if name.casefold() in folded:
            other = folded[name.casefold()]
            how = "differ only in case" if other != name else "have the same name"
            raise DesignError(f"studies {other!r} and {name!r} {how}; rename one")
        folded[name.casefold()] = name


def chosen_device(options: argparse.Namespace) -> str:
    """The device asked for; `auto` is an accelerator if there is one."""
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


def results_folder(options: argparse.Namespace, device: str) -> Path:
    """Where results go: one folder per profile and kind of device, so that runs never mix."""
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


def worker_count(options: argparse.Namespace, device: str) -> int:
    """Processes that train, as many as asked for."""
    return usual_workers(device) if options.workers is None else int(options.workers)


def usual_workers(device: str) -> int:
    """As many as a CPU has cores, one on an accelerator."""
    if device != "cpu":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """A signal handler: end as Ctrl-C does."""
    raise KeyboardInterrupt
