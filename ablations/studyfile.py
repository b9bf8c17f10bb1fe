"""Reading a study file: every mistake is answered with one line that says what to do."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any, cast

from ablations.columns import CURVES, DERIVED, MEASURES, RESPONSES
from ablations.design import (
    DESIGNS,
    DTYPES,
    FIRST_TUNING_SEED,
    Cell,
    DesignError,
    Factor,
    Rates,
    Study,
    TaskSpec,
    baseline_cell,
    canonical,
    cells_of,
    objection,
    trained_cells,
)
from ablations.levels import (
    FACTORS,
    LevelError,
    Scalar,
    TaskKind,
    Value,
    suggest,
    task_kind,
    text,
)
from ablations.looks import read_rule
from ablations.sizes import Split, known_sizes, misfit, split_objection
from ablations.sources import with_sources

STUDIES = Path(__file__).parent / "studies"
PROFILES = ("quick", "standard", "full")
TRIAL_LIMIT = 100_000
MOST_EVALUATIONS = 10_000
SECTIONS = ("study", "task", "factors", "nuisance", "fixed", "profile", "claims", "published")
STUDY_KEYS = {
    "name": str,
    "question": str,
    "design": str,
    "tasks": list,
    "seeds": int,
    "tuning_seeds": int,
    "seed": int,
    "response": dict,
}
RECIPE = ("steps", "epochs", "evaluations", "running_loss", "dtype")  # under [fixed], no factors
CLAIM_KEYS = (
    "statement", "task", "response", "better", "worse", "by", "equal_within", "because",
    "expected", "table", "trend", "refuted_by", "id",
)  # fmt: skip
PUBLISHED_KEYS = (
    "id", "cell", "task", "response", "values", "source", "step", "last", "best_of", "note",
)  # fmt: skip
READINGS = ("step", "last", "best_of")  # off the learning curves
CLAIM_TEXTS = ("statement", "task", "response", "because", "table", "id")
CLAIM_NUMBERS = ("by", "equal_within")
NAME = re.compile(r"\w[\w .+-]*")
BARE_KEY = re.compile(r"[\w-]+", re.ASCII)  # what TOML takes without quotes
NAME_LETTERS = 100
NAME_BYTES = 200  # file systems allow 255, of which temporary files need some
SHARES = (0.6, 0.2, 0.2)  # of training, validation and test
SHARE_ROUNDING = 1e-5  # by which a sum of shares may miss 1: a third is written 0.333333
SAME_ARM = 1e-3  # turns between two arms of a spiral that count as one
TAKEN_NAMES = ("report", "timings.csv", "machine.json")  # what else lies in a results folder


def find_studies(asked: str) -> list[Path]:
    """Files of a study: a path, the name of a study that comes with the suite, or a group."""
    if not asked:
        raise DesignError("the study is empty; name a study, a study file or a group")
    path = Path(asked)
    try:
        if path.is_dir() and any(path.glob("*.toml")):
            return sorted(path.glob("*.toml"))
        if path.suffix == ".toml" or path.exists():
            return [path]
    except OSError as error:  # a name too long for a path, a folder that may not be read
        raise DesignError(
            f"study {asked!r}: {error.strerror}; `ablations list` shows the studies"
        ) from None
    groups = study_groups()
    if asked in groups:
        return groups[asked]
    named = {file.stem: file for files in groups.values() for file in files}
    if asked in named:
        return [named[asked]]
    raise DesignError(f"unknown study {asked!r}; {suggest(asked, {**groups, **named})}")


def study_groups() -> dict[str, list[Path]]:
    """The studies that come with the suite, by group."""
    folders = sorted(path for path in STUDIES.iterdir() if path.is_dir())
    groups = {folder.name: sorted(folder.glob("*.toml")) for folder in folders}
    return {name: files for name, files in groups.items() if files}


def load_study(path: Path, profile: str = "standard") -> Study:
    """Read a study file, with the settings of one profile.

    Raises:
        DesignError: the file cannot be run; one line with the file, the key, the value,
            the reason and the remedy.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.loads(file.read().decode("utf-8-sig"))  # some editors add a BOM
    except FileNotFoundError:
        raise DesignError(
            f"{path}: no such study file; `ablations list` shows the studies"
        ) from None
    except IsADirectoryError:
        raise DesignError(f"{path}: is a folder without studies; give a .toml file") from None
    except OSError as error:
        raise DesignError(f"{path}: cannot be read; {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also bad UTF-8, NUL in the path, huge numbers
        raise DesignError(f"{path}: is not valid TOML; {error}") from None
    try:
        _check_values(content, "")
        return with_sources(_read_profiles(content, path.parent.name, profile), path.parent)
    except (DesignError, LevelError) as error:
        raise DesignError(f"{path}: {error}") from None


def _read_profiles(content: dict[str, Any], group: str, asked: str) -> Study:
    """The study with the profile asked for; a mistake in another profile is refused as well."""
    given = _typed(content.get("profile", {}), dict, "[profile]")
    known_keys(given, PROFILES, "profile")
    others = [name for name in PROFILES if name in given]
    studies = {name: _read(content, group, name) for name in dict.fromkeys((asked, *others))}
    plain = {key: value for key, value in content.items() if key != "profile"}
    for name, study in studies.items():
        if isinstance(study, str):
            own = name in given and "[profile." not in study and study != _read(plain, group, name)
            raise DesignError(f"[profile.{name}]: {study}" if own else study)
    return cast(Study, studies[asked])


def _read(content: dict[str, Any], group: str, profile: str) -> Study | str:
    """A study under one profile, or what is wrong with it."""
    try:
        return _Reader(content, group, profile).study()
    except (DesignError, LevelError) as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class _Reader:
    """One study file being read; each method reads one section."""

    content: dict[str, Any]
    group: str
    profile: str

    def study(self) -> Study:
        known_keys(self.content, SECTIONS, "section")
        header, fixed, overrides = self._header(), self._table("fixed"), self._profile()
        header |= {key: overrides.pop(key) for key in list(overrides) if key in STUDY_KEYS}
        factors = self._factors(self._table("factors") | overrides.pop("factors", {}))
        task_settings = _merge(self._table("task"), overrides.pop("task", {}))
        overrides.pop("learning_rate", None)  # read with [nuisance]
        fixed |= overrides
        recipe = {key: fixed.pop(key) for key in RECIPE if key in fixed}
        steps, epochs = self._length(recipe)
        levels = self._fixed(fixed, factors)
        tasks = self._tasks(header["tasks"], task_settings, factors)
        rates = self._rates(factors, dict(levels))
        seeds = header.get("seeds")
        rule = read_rule(seeds, "[study] seeds") if isinstance(seeds, dict) else None
        study = Study(
            name=self._name(header),
            group=self.group,
            question=_require(header, "question", str, "study"),
            design=self._design(header),
            profile=self.profile,
            tasks=tasks,
            factors=factors,
            rates=rates,
            fixed=levels,
            steps=steps,
            epochs=epochs,
            evaluations=_count(recipe, "evaluations", 20, "fixed", high=MOST_EVALUATIONS),
            seeds=rule.minimum
            if rule
            else _count(header, "seeds", 10, "study", high=FIRST_TUNING_SEED),
            tuning_seeds=_count(header, "tuning_seeds", 2, "study", high=FIRST_TUNING_SEED),
            seed=_count(header, "seed", 0, "study", low=0),
            claims=self._claims(),
            published=self._published(tasks, factors),
            responses=self._responses(header, tasks),
            running_loss=_typed(recipe.get("running_loss", False), bool, "[fixed] running_loss"),
            dtype=_dtype(recipe.get("dtype", DTYPES[0])),
            rule=rule,
        )
        self._check_cells(study)
        self._check_claims(study)
        return study

    def _header(self) -> dict[str, Any]:
        header = self._table("study")
        known_keys(header, tuple(STUDY_KEYS), "[study] key")
        for key, value in header.items():
            if not _is_rule(key, value):
                _typed(value, STUDY_KEYS[key], f"[study] {key}")
        _require(header, "tasks", list, "study")
        return header

    def _name(self, header: Mapping[str, Any]) -> str:
        name: str = _require(header, "name", str, "study")
        if len(name) > NAME_LETTERS or len(name.encode()) > NAME_BYTES:
            raise DesignError(f"[study] name {name!r} is too long to name a folder; shorten it")
        if not NAME.fullmatch(name) or name.endswith((" ", ".")) or name.casefold() in TAKEN_NAMES:
            raise DesignError(
                f"[study] name {name!r} cannot name a folder; "
                "use letters, digits, spaces and . _ + -"
            )
        return name

    def _design(self, header: Mapping[str, Any]) -> Any:
        design = header.get("design", "full-factorial")
        if design not in DESIGNS:
            raise DesignError(
                f"unknown design {design!r}; choose 'full-factorial' or 'leave-one-out'"
            )
        return design

    def _profile(self) -> dict[str, Any]:
        profiles = self._table("profile")
        overrides = dict(_typed(profiles.get(self.profile, {}), dict, f"[profile.{self.profile}]"))
        known = (*STUDY_KEYS, *FACTORS, *RECIPE, "factors", "task", "learning_rate")
        known_keys(overrides, known, f"[profile.{self.profile}] key")
        for key in ("name", "question", "design"):
            if key in overrides:
                raise DesignError(f"[profile.{self.profile}] cannot change the study's {key}")
        kinds = {**STUDY_KEYS, "factors": dict, "task": dict}
        for key in overrides.keys() & kinds.keys():
            if not _is_rule(key, overrides[key]):
                _typed(overrides[key], kinds[key], f"[profile.{self.profile}] {key}")
        return overrides

    def _length(self, recipe: Mapping[str, Any]) -> tuple[int | None, int | None]:
        if "steps" in recipe and "epochs" in recipe:
            raise DesignError("[fixed] sets both steps and epochs; leave one of them out")
        if "epochs" in recipe:
            return None, _count(recipe, "epochs", 1, "fixed")
        return _count(recipe, "steps", 400, "fixed"), None

    def _factors(self, table: Mapping[str, Any]) -> tuple[Factor, ...]:
        if not table:
            raise DesignError("[factors] is empty; name at least one factor with two levels")
        return tuple(_factor(name, levels) for name, levels in table.items())

    def _fixed(
        self, table: Mapping[str, Any], factors: tuple[Factor, ...]
    ) -> tuple[tuple[str, Value], ...]:
        known_keys(table, (*FACTORS, *RECIPE), "[fixed] key")
        for factor in factors:
            if factor.name in table:
                raise DesignError(
                    f"{factor.name!r} is a factor and under [fixed]; leave one of them out"
                )
        return tuple((name, FACTORS[name].parse(name, value)) for name, value in table.items())

    def _tasks(
        self, names: list[Any], table: Mapping[str, Any], factors: tuple[Factor, ...]
    ) -> tuple[TaskSpec, ...]:
        if not names:
            raise DesignError("[study] tasks is empty; name at least one task")
        _distinct([str(name) for name in names], "[study] tasks")
        for name in names:
            task_kind(_typed(name, str, "[study] tasks entry"))
        known_keys(table, tuple(names), "[task] of the study")
        return tuple(_task(name, table.get(name, {}), factors) for name in names)

    def _rates(self, factors: tuple[Factor, ...], fixed: Mapping[str, Value]) -> Rates:
        nuisance = self._table("nuisance")
        overrides = self._table("profile").get(self.profile, {})
        if "learning_rate" in overrides:
            nuisance |= {"learning_rate": overrides["learning_rate"]}
        for name in nuisance:
            if name in {factor.name for factor in factors}:
                raise DesignError(
                    f"{name!r} is a nuisance and a factor; a factor is interpreted, a nuisance "
                    "is tuned away: leave one of them out"
                )
        known_keys(nuisance, ("learning_rate",), "[nuisance] key")
        if "learning_rate" not in nuisance:
            raise DesignError("[nuisance] needs learning_rate; give a list such as [0.001, 0.01]")
        return _rates(nuisance["learning_rate"], factors, fixed)

    def _responses(
        self, header: Mapping[str, Any], tasks: tuple[TaskSpec, ...]
    ) -> tuple[tuple[str, str], ...]:
        responses = header.get("response", {})
        known_keys(responses, tuple(task.name for task in tasks), "[study] response of task")
        for task in tasks:
            if task.name in responses:
                _check_response(responses[task.name], task, "[study] response")
        return tuple(responses.items())

    def _claims(self) -> tuple[dict[str, Any], ...]:
        claims = _list_of_tables(self.content, "claims")
        for claim in claims:
            known_keys(claim, CLAIM_KEYS, "[[claims]] key")
            _require(claim, "statement", str, "[claims]")
            for key in CLAIM_TEXTS:
                _typed(claim.get(key, ""), str, f"claim {claim['statement']!r}: {key}")
            for key in CLAIM_NUMBERS:
                _typed(claim.get(key, 0), float, f"claim {claim['statement']!r}: {key}")
        _distinct([claim["id"] for claim in claims if "id" in claim], "[[claims]] id")
        return tuple(claims)

    def _published(
        self, tasks: tuple[TaskSpec, ...], factors: tuple[Factor, ...]
    ) -> tuple[dict[str, Any], ...]:
        """Published results: numbers of one response, in one cell of the study."""
        entries = _list_of_tables(self.content, "published")
        levels = {factor.name: {text(level) for level in factor.levels} for factor in factors}
        for n, entry in enumerate(entries, 1):
            what = f"[[published]] {entry.get('id', n)!r}"
            known_keys(entry, PUBLISHED_KEYS, f"{what} key")
            names = tuple(task.name for task in tasks)
            if entry.get("task", names[0]) not in names:
                raise DesignError(
                    f"{what}: unknown task {entry['task']!r}; {suggest(entry['task'], names)}"
                )
            values = _typed(entry.get("values", []), list, f"{what} values")
            if not values or not all(map(_is_number, values)):
                raise DesignError(f"{what} values got {values!r}; give the published numbers")
            along = any(key in entry for key in READINGS)
            columns = CURVES[3:] if along else (*RESPONSES, *MEASURES, "sparsity")
            response = _typed(entry.get("response", columns[0]), str, f"{what} response")
            if response not in columns:
                raise DesignError(
                    f"{what}: unknown response {response!r}; {suggest(response, tuple(columns))}"
                )
            for key in READINGS:
                _count(entry, key, 1, f"{what}")
            for name, level in _typed(entry.get("cell", {}), dict, f"{what} cell").items():
                _check_level(name, level, levels, what)
        return tuple(entries)

    def _check_claims(self, study: Study) -> None:
        tasks = {task.name: task for task in study.tasks}
        levels = {factor.name: {text(level) for level in factor.levels} for factor in study.factors}
        for claim in study.claims:
            what = f"claim {claim['statement']!r}"
            if "task" in claim and claim["task"] not in tasks:
                raise DesignError(
                    f"{what}: unknown task {claim['task']!r}; {suggest(claim['task'], tasks)}"
                )
            if "response" in claim and claim.get("table") != "timings":
                about = [tasks[claim["task"]]] if "task" in claim else study.tasks
                for task in about:
                    _check_response(claim["response"], task, f"{what}: response")
            trend = _typed(claim.get("trend", {}), dict, f"{what}: trend")
            if trend and trend.get("factor") not in levels:
                name = trend.get("factor")
                raise DesignError(f"{what}: unknown factor {name!r}; {suggest(name, levels)}")
            for side in ("better", "worse"):
                for name, level in _typed(claim.get(side, {}), dict, f"{what}: {side}").items():
                    _check_level(name, level, levels, what)
            _check_form(claim, what)
            if "trend" in claim:
                _check_trend(trend, levels, what)
            else:
                _check_sides(study, claim, what)

    def _check_cells(self, study: Study) -> None:
        trials = 0
        combinations = prod(len(factor.levels) for factor in study.factors)
        if study.design == "full-factorial" and combinations > TRIAL_LIMIT:
            raise _too_large(f"{combinations:,} cells")
        for task in study.tasks:
            check_cells(study, task, known_sizes(task))
            cells = cells_of(study, task)
            if len({canonical(cell) for cell in cells}) < 2:
                raise DesignError(
                    f"task {task.name!r}: all {len(cells)} cells describe the same network; "
                    "there is nothing to compare"
                )
            for cell in trained_cells(study, task):
                tuned = study.rates.tunes(cell) and len(study.rates.of(cell))
                if tuned and isinstance(task.split, str):
                    raise DesignError(
                        f"task {task.name!r}: split = {task.split!r} leaves no validation data to "
                        "tune the learning rate on; give one rate"
                    )
                trials += study.most_seeds + tuned * study.tuning_seeds
        if trials > TRIAL_LIMIT:
            raise _too_large(f"{trials:,} trials")

    def _table(self, name: str) -> dict[str, Any]:
        return dict(_typed(self.content.get(name, {}), dict, f"[{name}]"))


def check_cells(study: Study, task: TaskSpec, sizes: tuple[int, int, int] | None) -> None:
    """Refuse the first cell that cannot be trained on its task.

    Args:
        sizes: examples of the three parts; None while they are not known.
    """
    for n, cell in enumerate(cells_of(study, task)):
        reason = (
            objection(cell)
            or _no_validation(cell, task)
            or misfit(cell, task, None if sizes is None else sizes[0])
        )
        if reason is None:
            continue
        has_remedy = ";" in reason
        if n:
            key = task.name if BARE_KEY.fullmatch(task.name) else f'"{task.name}"'
            remedy = f"skip the level with [task.{key}] skip = {{ factor = [...] }}"
        else:  # the baseline, which no task can skip
            remedy = "leave the task out" if has_remedy else "change it or leave the task out"
        raise DesignError(f"task {task.name!r}: {reason}{', or' if has_remedy else ';'} {remedy}")


def _too_large(grid: str) -> DesignError:
    return DesignError(
        f"the grid has {grid}, more than the limit of {TRIAL_LIMIT:,}; "
        "take fewer levels or seeds, or design = 'leave-one-out'"
    )


def _no_validation(cell: Cell, task: TaskSpec) -> str | None:
    if isinstance(task.split, str) and cell.regularisation.name == "early_stopping":
        return (
            "regularisation 'early_stopping' needs validation data, and "
            f"split = {task.split!r} has none"
        )
    return None


def _check_response(column: str, task: TaskSpec, what: str) -> None:
    """Refuse a column that does not exist, or that the task leaves empty."""
    if column in (*MEASURES, *DERIVED, "sparsity"):
        return
    if column not in RESPONSES:
        known = (*RESPONSES, *MEASURES, *DERIVED, "sparsity")
        raise DesignError(f"{what}: unknown response {column!r}; {suggest(column, known)}")
    measure = "accuracy" if task.kind.kind == "classification" else "r2"
    parts = ("train",) if task.split == "none" else ("train", "val", "test")
    filled = tuple(f"{part}_{name}" for name in ("loss", measure) for part in parts)
    if column not in filled:
        raise DesignError(
            f"{what}: {column!r} is empty on task {task.name!r}; choose from {', '.join(filled)}"
        )


def _check_form(claim: Mapping[str, Any], what: str) -> None:
    """A claim has exactly one contrast or one trend."""
    forms = [form for form in ("better", "worse", "trend") if form in claim]
    if forms not in (["better", "worse"], ["trend"]):
        raise DesignError(
            f"{what} has {' and '.join(forms) or 'neither a contrast nor a trend'}; "
            "give better and worse, or trend"
        )
    if claim.get("expected", "supported") not in ("supported", "contradicted", "unresolved"):
        raise DesignError(
            f"{what}: expected got {claim['expected']!r}; "
            "choose 'supported', 'contradicted' or 'unresolved'"
        )
    if claim.get("table", "trials") not in ("trials", "timings"):
        raise DesignError(
            f"{what}: table got {claim['table']!r}; choose 'trials', the default, or 'timings'"
        )
    if claim.get("table") == "timings" and "trend" in claim:
        raise DesignError(f"{what}: a claim on the timings has no trend; give better and worse")
    _check_margin(claim, what)


def _check_margin(claim: Mapping[str, Any], what: str) -> None:
    """A claim has at most one margin; an advantage of less than nothing is the other side's."""
    if "equal_within" in claim and ("by" in claim or "trend" in claim):
        other = "by" if "by" in claim else "trend"
        raise DesignError(f"{what} has {other} and equal_within; leave one of them out")
    if claim.get("by", 0) < 0:
        raise DesignError(f"{what}: by got {claim['by']!r}; give 0 or more, or swap the sides")
    if claim.get("table") == "timings" and claim.get("by", 0) >= 1:
        raise DesignError(
            f"{what}: by got {claim['by']!r}; on the timings it is the share of time saved, such "
            "as 0.1"
        )
    if claim.get("equal_within", 1) <= 0:
        raise DesignError(
            f"{what}: equal_within got {claim['equal_within']!r}; give a number above 0"
        )


def _check_trend(trend: Mapping[str, Any], levels: Mapping[str, set[str]], what: str) -> None:
    """A trend rises or falls over a factor whose levels are numbers."""
    known_keys(trend, ("factor", "direction"), f"{what}: trend key")
    direction = trend.get("direction")
    if direction not in ("rises", "falls"):
        raise DesignError(
            f"{what}: trend direction got {direction!r}; choose 'rises' or 'falls'"
            if "direction" in trend
            else f"{what}: trend needs direction; add direction = 'rises' or 'falls'"
        )
    words = sorted(level for level in levels[trend["factor"]] if not level.isdecimal())
    if words:
        raise DesignError(
            f"{what}: {words[0]!r} of {trend['factor']} is not a number, so its levels have no "
            "order; give better and worse"
        )


def _check_sides(study: Study, claim: Mapping[str, Any], what: str) -> None:
    """The two sides are different networks, and both are trained, on one of the tasks at least."""
    tasks = [study.task(claim["task"])] if "task" in claim else study.tasks
    trained = [{canonical(cell) for cell in cells_of(study, task)} for task in tasks]
    sides = {
        side: [canonical(_cell_of(study, task, claim[side])) for task in tasks]
        for side in ("better", "worse")
    }
    for side, cells in sides.items():
        if not any(cell in known for cell, known in zip(cells, trained, strict=True)):
            raise DesignError(
                f"{what}: no task of the study trains the cell that is {side}; name one that the "
                "design has"
            )
    if sides["better"] == sides["worse"]:
        raise DesignError(
            f"{what}: better and worse are the same network; name two that are different"
        )


def _cell_of(study: Study, task: TaskSpec, named: Mapping[str, Any]) -> Cell:
    """The baseline with some levels replaced, each by its text or its bare name."""
    values = dict(study.fixed) | {factor.name: factor.baseline for factor in study.factors}
    for factor in study.factors:
        if factor.name in named:
            asked = text(named[factor.name])
            values[factor.name] = next(
                level for level in factor.levels if asked in {text(level), bare(text(level))}
            )
    return baseline_cell(task.name, values)


def _check_level(name: str, level: Any, levels: Mapping[str, set[str]], what: str) -> None:
    """A level of a factor of the study; its bare name will do where only one level has it."""
    if name not in levels:
        raise DesignError(f"{what}: unknown factor {name!r}; {suggest(name, levels)}")
    meant = [shown for shown in levels[name] if text(level) in {shown, bare(shown)}]
    if len(meant) != 1:
        fault = "is more than one level" if meant else "is not a level"
        choices = tuple(sorted(meant or levels[name]))
        raise DesignError(f"{what}: {text(level)!r} {fault} of {name}; {suggest(level, choices)}")


def _factor(name: str, levels: Any) -> Factor:
    if name not in FACTORS:
        raise DesignError(f"unknown factor {name!r}; {suggest(name, FACTORS)}")
    if not isinstance(levels, list):
        raise DesignError(f"factor {name!r} needs a list of levels, got {levels!r}")
    parsed = tuple(FACTORS[name].parse(name, level) for level in levels)
    if "default" in map(text, parsed):
        raise DesignError(
            f"factor {name!r} lists 'default', which stands for different levels in different "
            "cells; name the level that is meant"
        )
    _distinct([text(level) for level in parsed], f"factor {name!r}")
    if len(parsed) < 2:
        raise DesignError(
            f"factor {name!r} needs two distinct levels, got {levels!r}; "
            "a value that never changes belongs under [fixed]"
        )
    return Factor(name, parsed)


def _task(name: str, table: Any, factors: tuple[Factor, ...]) -> TaskSpec:
    kind = task_kind(name)
    given = dict(_typed(table, dict, f"[task.{name}]"))
    split, skip = given.pop("split", None), given.pop("skip", {})
    known = {**kind.settings, **kind.common}
    known_keys(given, (*known, "split", "skip"), f"[task.{name}] key")
    settings: list[tuple[str, Scalar]] = [
        (key, setting.check(f"task {name!r}", key, given.get(key, setting.default)))
        for key, setting in known.items()
    ]
    reason = _nothing_to_learn(name, dict(settings))
    if reason is not None:
        raise DesignError(f"task {name!r} {reason}")
    return TaskSpec(name, tuple(settings), _split(name, split), _skip(name, skip, factors))


def _split(name: str, given: Any) -> Split:
    kind = task_kind(name)
    asked = list(SHARES) if given is None else given
    split: Split
    if asked in ("none", "test"):
        split = asked
    elif given is None:
        split = SHARES
    else:
        _check_shares(name, asked, kind)
        split = float(asked[0]), float(asked[1]), float(asked[2])
    examples = (0, 0) if kind.generated and split == "test" else kind.examples
    reason = split_objection(*examples, split) if examples and split != "none" else None
    if reason is not None:
        raise DesignError(f"task {name!r}: {reason}")
    if isinstance(split, str):
        return split
    total = sum(split)
    return split[0] / total, split[1] / total, split[2] / total


def _check_shares(name: str, split: Any, kind: TaskKind) -> None:
    if kind.generated:
        raise DesignError(
            f"task {name!r} split got {split!r}, but its parts are drawn apart; set points, "
            "validation_points and test_points, or split = 'none'"
        )
    shares = split if isinstance(split, list) else []
    if len(shares) != 3 or not all(_is_number(share) and share > 0 for share in shares):
        raise DesignError(
            f"task {name!r} split got {split!r}; give shares of training, validation and test "
            "such as [0.6, 0.2, 0.2], or 'none'"
        )
    if abs(sum(shares) - 1) > SHARE_ROUNDING:
        raise DesignError(
            f"task {name!r} split got {split!r}, whose sum is {sum(shares):g}; give shares that "
            "sum to 1 such as [0.6, 0.2, 0.2]"
        )


def _nothing_to_learn(name: str, settings: Mapping[str, Scalar]) -> str | None:
    """Why settings that are each sound make data from which nothing can be learned."""
    if name == "spiral":
        arms, spacing = int(settings["arms"]), float(settings["spacing"])
        for n in range(1, arms if spacing else 1):
            if abs(n * spacing - round(n * spacing)) < SAME_ARM:
                return (
                    f"spacing got {spacing!r}, which puts arm {n + 1} of {arms} on the first; "
                    "give 0 to space the arms evenly"
                )
    if name == "line" and settings["slope"] == settings["noise"] == 0:
        return (
            "slope and noise are both 0, so every target is the same; "
            "give one of them another value"
        )
    return None


def _skip(name: str, table: Any, factors: tuple[Factor, ...]) -> tuple[tuple[str, str], ...]:
    levels = {factor.name: [text(level) for level in factor.levels] for factor in factors}
    skipped: list[tuple[str, str]] = []
    for factor, names in _typed(table, dict, f"[task.{name}] skip").items():
        if factor not in levels:
            raise DesignError(
                f"[task.{name}] skip: unknown factor {factor!r}; {suggest(factor, levels)}"
            )
        for level in _typed(names, list, f"[task.{name}] skip {factor}"):
            meant = [shown for shown in levels[factor] if text(level) in {shown, bare(shown)}]
            if not meant:
                raise DesignError(
                    f"[task.{name}] skip: {level!r} is not a level of {factor}; "
                    f"{suggest(level, tuple(levels[factor]))}"
                )
            if meant[0] == text(next(f for f in factors if f.name == factor).baseline):
                raise DesignError(
                    f"[task.{name}] skip: {level!r} is the baseline of {factor}, which every task "
                    "needs; make another level the first"
                )
            skipped += [(factor, shown) for shown in meant]
    return tuple(skipped)


def bare(level: str) -> str:
    """The name of a level shown with settings: `dropout` of `dropout(rate=0.3)`."""
    return level.partition("(")[0]


def _rates(value: Any, factors: tuple[Factor, ...], fixed: Mapping[str, Value]) -> Rates:
    if isinstance(value, list):
        return Rates((("", _rate_list(value)),))
    if not isinstance(value, dict):
        raise DesignError(
            f"[nuisance] learning_rate got {value!r}; give a list such as [0.001, 0.01]"
        )
    table = value
    if "from" in table:
        known_keys(table, ("from", "by"), "[nuisance] learning_rate key")
        by = _typed(table.get("by", "optimizer"), str, "[nuisance] learning_rate by")
        if by not in FACTORS:
            raise DesignError(
                f"[nuisance] learning_rate by: unknown factor {by!r}; {suggest(by, FACTORS)}"
            )
        return Rates((), by=by, source=_typed(table["from"], str, "[nuisance] learning_rate from"))
    for factor in factors:
        names = {
            level.name if hasattr(level, "name") else text(level): level for level in factor.levels
        }
        names |= {text(level): level for level in factor.levels}
        if table.keys() <= names.keys():
            values = {text(names[key]): _rate_list(rates) for key, rates in table.items()}
            missing = [text(level) for level in factor.levels if text(level) not in values]
            if missing:
                raise DesignError(
                    f"[nuisance] learning_rate has no list for {factor.name} {missing[0]!r}"
                )
            if len({len(rates) for rates in values.values()}) > 1:
                counts = ", ".join(f"{level}: {len(rates)}" for level, rates in values.items())
                raise DesignError(
                    f"[nuisance] learning_rate gives unequal budgets ({counts}); a fair comparison "
                    "tries the same number of rates for every level"
                )
            return Rates(tuple(values.items()), by=factor.name)
    raise DesignError(
        f"[nuisance] learning_rate lists {', '.join(map(repr, table))}, which are not the levels "
        "of one factor of the study"
    )


def _rate_list(values: Any) -> tuple[float, ...]:
    rates = _typed(values, list, "[nuisance] learning_rate")
    if not rates:
        raise DesignError("[nuisance] learning_rate is empty; give at least one rate")
    for rate in rates:
        if not _is_number(rate):
            raise DesignError(f"[nuisance] learning_rate needs numbers, got {rate!r}")
        if rate <= 0:
            raise DesignError(f"[nuisance] learning_rate got {rate!r}; give a rate above 0")
    _distinct([repr(float(rate)) for rate in rates], "[nuisance] learning_rate")
    return tuple(sorted(float(rate) for rate in rates))


def known_keys(table: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    """Refuse the first key that is not known, with the one that was probably meant."""
    for key in table:
        if key not in known:
            raise DesignError(f"unknown {what} {key!r}; {suggest(key, known)}")


def _distinct(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DesignError(f"{what} lists {name!r} twice; each must differ from the others")
        seen.add(name)


def _check_values(value: Any, path: str) -> None:
    """Refuse what TOML can say but no study, and no JSON, can hold."""
    if isinstance(value, dict):
        for key, each in value.items():
            _check_values(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for each in value:
            _check_values(each, path)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise DesignError(f"{path!r} holds a number that is too large; give one of 64 bits")
    elif isinstance(value, float) and not isfinite(value):
        raise DesignError(f"{path!r} got {value!r}; give a finite number")
    elif not isinstance(value, str | int | float):
        raise DesignError(f"{path!r} got the date or time {value}; write it in quotes")


def _is_rule(key: str, value: object) -> bool:
    """Whether this is a number of seeds to be found while running, read by `read_rule`."""
    return key == "seeds" and isinstance(value, dict)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KIND_NAMES = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _dtype(name: Any) -> str:
    if name not in DTYPES:
        raise DesignError(f"[fixed] dtype is {name!r}; choose {' or '.join(map(repr, DTYPES))}")
    return str(name)


def _typed(value: Any, kind: type, what: str) -> Any:
    fits = _is_number(value) if kind is float else isinstance(value, kind)
    if not fits or (kind is int and isinstance(value, bool)):
        raise DesignError(f"{what} needs {KIND_NAMES[kind]}, got {value!r}")
    return value


def _require(table: Mapping[str, Any], key: str, kind: type, section: str) -> Any:
    if key not in table:
        raise DesignError(f"[{section}] needs {key}; add {key} = {EXAMPLES.get(key, '...')}")
    return _typed(table[key], kind, f"[{section}] {key}")


EXAMPLES = {
    "name": '"my-study"',
    "question": '"Which ... learns best?"',
    "tasks": '["spiral"]',
    "statement": '"..."',
}


def _count(
    table: Mapping[str, Any],
    key: str,
    default: int,
    section: str,
    *,
    low: int = 1,
    high: int = 10**9,
) -> int:
    value = _typed(table.get(key, default), int, f"[{section}] {key}")
    if not low <= value <= high:
        bound = f"at least {low}" if value < low else f"at most {high}"
        raise DesignError(f"[{section}] {key} must be {bound}, got {value}")
    return cast(int, value)


def _list_of_tables(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    tables = _typed(content.get(name, []), list, f"[[{name}]]")
    return [_typed(table, dict, f"[[{name}]] entry") for table in tables]


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of tasks, those of a profile over those of the study."""
    merged = dict(base)
    for name, table in over.items():
        what = f"[task.{name}]"
        merged[name] = {**_typed(base.get(name, {}), dict, what), **_typed(table, dict, what)}
    return merged
