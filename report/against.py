"""Two results folders: what was set up differently, and what came out differently.

`here` is the folder that the report is about, `there` the one it is held against; differences are
here minus there, ratios here over there. Scores are paired by seed, cell by cell, with the
contrasts of `effects`; nothing here is drawn or worded.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from report import effects
from report.claims import judge
from report.estimates import Floats
from report.files import existing, read_bytes
from report.grids import lower_is_better, task_of
from report.sequential import share_of
from report.tables import Results, StudyResults

FILES: Final = ("trials.csv", "curves.csv", "pictures.csv", "points.csv")  # without the clock
MACHINE: Final = ("gpu", "cpu", "cores", "threads", "torch", "python", "platform", "packages")
OF_STUDY: Final = ("profile", "device", "dtype", "design", "seeds", "tuning_seeds", "baseline")
SETTINGS: Final = (*OF_STUDY, "fixed", "learning_rates", "factors", "tasks", "claims", "published")
TIMED_ALIKE: Final = ("commit", "dirty")  # of machine.json, named with the machine
Difference = tuple[str, str, str]  # what, here, there


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StudyPair:
    """One study that both folders have."""

    here: StudyResults
    there: StudyResults
    same_bytes: tuple[str, ...]  # files that are the same to the byte, of those in either folder
    other_bytes: tuple[str, ...]
    settings: tuple[Difference, ...]
    trials: Mapping[str, int]  # counts: here, there, both, alike (the same row, but for the study)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.here.study["name"])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Against:
    """Everything that two results folders have in common, and what they have not."""

    here: Results
    there: Results
    machine: tuple[Difference, ...]
    studies: tuple[StudyPair, ...]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    same_timings: bool  # timings.csv and speedup.csv are the same to the byte, or in neither

    @property
    def identical(self) -> bool:
        """Whether every file of numbers is the same to the byte, and asked for the same."""
        alike = all(not pair.other_bytes and not pair.settings for pair in self.studies)
        return alike and self.same_timings and not self.only_here and not self.only_there


def against(here: Results, there: Results) -> Against:
    """Two results folders, read, side by side."""
    own = {str(s.study["name"]): s for s in here.studies}
    other = {str(s.study["name"]): s for s in there.studies}
    return Against(
        here=here,
        there=there,
        machine=tuple(_unlike(here.machine, there.machine, (*MACHINE, *TIMED_ALIKE))),
        studies=tuple(_pair(own[name], other[name]) for name in own if name in other),
        only_here=tuple(name for name in own if name not in other),
        only_there=tuple(name for name in other if name not in own),
        same_timings=all(
            _digest(here.folder / name) == _digest(there.folder / name)
            for name in ("timings.csv", "speedup.csv")
        ),
    )


def _pair(here: StudyResults, there: StudyResults) -> StudyPair:
    digests = {name: (_digest(here.folder / name), _digest(there.folder / name)) for name in FILES}
    present = {name: pair for name, pair in digests.items() if any(pair)}
    return StudyPair(
        here=here,
        there=there,
        same_bytes=tuple(name for name, (a, b) in present.items() if a == b),
        other_bytes=tuple(name for name, (a, b) in present.items() if a != b),
        settings=tuple(_unlike(here.study, there.study, SETTINGS)),
        trials=_trial_counts(here.trials, there.trials),
    )


def _digest(path: Path) -> str:
    """What a file holds, or its compressed twin; "" for none."""
    found = existing(path)
    return hashlib.sha256(read_bytes(found)).hexdigest() if found else ""


def _trial_counts(here: pd.DataFrame, there: pd.DataFrame) -> dict[str, int]:
    """How many trials each has a row of, how many both have, and how many of these are alike."""
    own, other = here.set_index("trial"), there.set_index("trial")
    both = own.index.intersection(other.index)
    first, second = own.loc[both], other.loc[both]
    alike = ((first == second) | (first.isna() & second.isna())).all(axis=1)
    return {"here": len(own), "there": len(other), "both": len(both), "alike": int(alike.sum())}


def _unlike(
    here: Mapping[str, Any], there: Mapping[str, Any], keys: tuple[str, ...]
) -> Iterator[Difference]:
    """The entries that differ, each down to the first key that does."""
    for key in keys:
        yield from _differences(key, here.get(key), there.get(key))


def _differences(name: str, here: Any, there: Any) -> Iterator[Difference]:
    if here == there:
        return
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for key in dict.fromkeys([*here, *there]):
            yield from _differences(f"{name}.{key}", here.get(key), there.get(key))
        return
    if _named(here) and _named(there):
        own, other = ({e["name"]: e for e in entries} for entries in (here, there))
        for key in dict.fromkeys([*own, *other]):
            yield from _differences(f"{name}.{key}", own.get(key), other.get(key))
        return
    yield name, _text(here), _text(there)


def _named(value: Any) -> bool:
    """Whether this is a list of entries with names, like tasks and factors."""
    return isinstance(value, list) and all(isinstance(e, Mapping) and "name" in e for e in value)


def _text(value: Any) -> str:
    return "–" if value is None else str(value)


# What came out


def differences(pair: StudyPair, task: str) -> pd.DataFrame:
    """Here minus there in the response of one task, for every cell of both, paired by seed.

    One family: intervals at 1 - .05/m, Holm-adjusted p, and the one word of METHODS S5; where a
    study of the two has sequential seeds, at the lesser share of the error that its look may spend.

    Returns:
        The columns of `effects.contrasts`, and `here`, `there` (means over the common seeds),
        `rank_here`, `rank_there` (1 is the best of the cells in both), `is_alike` (every seed has
        the same score in both) and `diverged_here`, `diverged_there` (counts).
    """
    own, other = (effects.scores(results, task) for results in (pair.here, pair.there))
    tables = [_by_seed(frame, "score") for frame in (own, other)]
    index = tables[0].index.intersection(tables[1].index, sort=False)
    seeds = tables[0].columns.intersection(tables[1].columns)
    first, second = (table.loc[index, seeds].to_numpy(dtype=float) for table in tables)
    common = np.where(np.isnan(first) | np.isnan(second), np.nan, 1.0)
    share = share_of_both(pair)
    frame = effects.contrast_frame(pd.DataFrame({"label": index}), first, second, share=share)
    lower = lower_is_better(str(task_of(pair.here, task)["response"]))
    means = [_means(common * scores) for scores in (first, second)]
    lost = [_by_seed(f.assign(lost=f["status"] == "diverged"), "lost") for f in (own, other)]
    return frame.assign(
        here=means[0],
        there=means[1],
        rank_here=_ranks(means[0], lower=lower),
        rank_there=_ranks(means[1], lower=lower),
        is_alike=((first == second) | np.isnan(common)).all(axis=1) & (common == 1).any(axis=1),
        diverged_here=lost[0].loc[index].sum(axis=1).to_numpy(),
        diverged_there=lost[1].loc[index].sum(axis=1).to_numpy(),
    )


def share_of_both(pair: StudyPair) -> float:
    """The lesser share of the error that either look may spend; 1 where seeds are fixed in both."""
    return min(share_of(pair.here), share_of(pair.there))


def common_tasks(pair: StudyPair) -> list[str]:
    """The tasks of both whose response is the same."""
    other = {str(t["name"]): t["response"] for t in pair.there.study["tasks"]}
    tasks = pair.here.study["tasks"]
    return [str(t["name"]) for t in tasks if other.get(str(t["name"])) == t["response"]]


def _by_seed(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Cells by seeds, in the order of the study."""
    table = scores.drop_duplicates(["label", "seed"]).set_index(["label", "seed"])[column]
    wide = (
        table.astype(float)
        .reset_index()
        .pivot_table(
            index="label", columns="seed", values=column, aggfunc="first", sort=False, dropna=False
        )
    )
    return wide.reindex(list(dict.fromkeys(scores["label"])))


def _means(scores: Floats) -> Floats:
    with np.errstate(all="ignore"):
        known = ~np.isnan(scores)
        return np.asarray(np.where(known, scores, 0).sum(axis=1) / known.sum(axis=1))


def _ranks(means: Floats, *, lower: bool) -> Floats:
    """1 for the best; ties share the best of their ranks."""
    ranked = pd.Series(means).rank(method="min", ascending=lower)
    return np.asarray(ranked, dtype=float)


def verdicts(pair: StudyPair) -> list[tuple[str, str, str, str]]:
    """Statement, task, verdict here and there, for every claim that both judge."""
    own, other = (
        {(j.statement, j.task, j.response): j.verdict for j in judge(results)}
        for results in (pair.here, pair.there)
    )
    return [(*key[:2], own[key], other[key]) for key in own if key in other]
