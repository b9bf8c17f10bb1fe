"""The whole standard profile: its stacks as `run` trains them, against a notebook's loop.

Training all of it in a notebook takes most of an hour, so stacks are sampled: from every study,
task and stage of the core group at least two, at random. Each sampled stack is trained whole, by
the pool and the jobs of `run`, and two of its trials by the loop, scaled to all of its trials.
The totals weight each stratum by the number of its stacks.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablations.design import Study, trained_cells
from ablations.stacking import Stack, final_stacks, tuning_stack
from ablations.studyfile import find_studies, load_study
from ablations.workers import Job, Processes
from benchmarks.gate import T_975
from benchmarks.recipes import Recipe, recipe_losses, recipe_of

NAME = "standard profile"
BUDGET = 170.0  # seconds of this contest
LEAST = 2  # stacks of a stratum: one has no spread
TRIALS = 2  # of each sampled stack in the notebook
LIMIT = 3600.0
LOSS_TOLERANCE = 0.05  # relative, of a trial's final loss
DISAGREEING = 0.1  # share of the repeatable stacks that may exceed it: steep minima part early


def strata_of(studies: Sequence[Study]) -> dict[str, list[Stack]]:
    """Every stack of some studies by study, task and stage; final rates are middle ones."""
    named = {study.name: study for study in studies}
    strata: dict[str, list[Stack]] = {}
    for study in studies:
        for task in study.tasks:
            for cell in trained_cells(study, task):
                rates = (named[study.rates.source] if study.rates.source else study).rates.of(cell)
                stacks = [*final_stacks(study, task, cell, sorted(rates)[len(rates) // 2])]
                tuning = tuning_stack(study, task, cell)
                stacks += [tuning] if tuning is not None else []
                for stack in stacks:
                    strata.setdefault(f"{study.name}, {task.name}, {stack.stage}", []).append(stack)
    return strata


@dataclass(frozen=True, slots=True)
class Sampled:
    """A stack drawn from its stratum."""

    stratum: str
    stack: Stack


def drawn(strata: Mapping[str, Sequence[Stack]], rng: random.Random) -> Iterator[list[Sampled]]:
    """Rounds of samples without replacement, one of each stratum while it lasts."""
    orders = {name: rng.sample(list(stacks), len(stacks)) for name, stacks in strata.items()}
    for k in range(max(map(len, orders.values()))):
        found = [Sampled(name, order[k]) for name, order in orders.items() if k < len(order)]
        rng.shuffle(found)
        yield found


def profile_rows(
    pool: Processes, cores: int, stop: float, studies: Sequence[Study] | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Samples of both ways until `stop` on the monotonic clock, at least LEAST of each stratum.

    Returns:
        Rows of speedup.csv, whose round is the number of the stack, and the note on them.
    """
    if studies is None:
        studies = [load_study(path) for path in find_studies("core")]
    strata = strata_of(studies)
    _warm_up(strata, pool, cores)
    rows: list[dict[str, Any]] = []
    sampled: list[str] = []
    for number, samples in enumerate(drawn(strata, random.Random(NAME))):
        for start in range(0, len(samples), cores):
            if number >= LEAST and time.monotonic() > stop:
                break
            together = samples[start : start + cores]
            both = _side_by_side([each.stack for each in together], pool, len(sampled))
            rows += both
            sampled += [each.stratum for each in together]
    note = {
        "strata": {
            name: {"stacks": len(stacks), "trials": sum(len(s.members) for s in stacks)}
            for name, stacks in strata.items()
        },
        "sampled": sampled,
        "cores": cores,
    }
    return rows, note


def _warm_up(strata: Mapping[str, Sequence[Stack]], pool: Processes, cores: int) -> None:
    """Each task once on every worker, so that imports and reading data are not timed."""
    first = {stacks[0].task: replace(stacks[0], steps=5) for stacks in strata.values()}
    for stack in first.values():
        _stacked([stack] * cores, pool)


def _side_by_side(stacks: Sequence[Stack], pool: Processes, first: int) -> list[dict[str, Any]]:
    """Some stacks in the pool, one on each core, then trials of them in a notebook's loop."""
    seconds, losses = _stacked(stacks, pool)
    rows = []
    for k, stack in enumerate(stacks):
        recipe = recipe_of(stack, TRIALS)
        start = time.perf_counter()
        ends = recipe_losses(recipe)
        taken = time.perf_counter() - start
        shown = {"round": first + k, "steps": recipe.case.steps, "compile_seconds": 0.0}
        known = {"seconds": seconds[k], "trials": len(stack.members), "loss": losses[k]}
        rows.append(_row("stacked", 0, shown | known))
        known = {"seconds": taken, "trials": len(ends), "loss": _loss(recipe, ends)}
        rows.append(_row("notebook", 1, shown | known))
    return rows


def _loss(recipe: Recipe, losses: Sequence[float]) -> float | None:
    """What must be the stacks' loss too; none where chance is each way's own, or it diverged."""
    loss = statistics.fmean(losses)
    return loss if recipe.repeatable and math.isfinite(loss) else None


def _row(way: str, order: int, known: Mapping[str, Any]) -> dict[str, Any]:
    return {"case": NAME, "way": way, "order": order, **known}


def _stacked(stacks: Sequence[Stack], pool: Processes) -> tuple[list[float], list[float | None]]:
    """Seconds of each stack on its core, and the mean loss of its first trials."""
    for k, stack in enumerate(stacks):
        pool.submit(Job(f"{NAME} {k}", stack, stack.members, "cpu", LIMIT))
    found = {}
    while pool.busy():
        for result in pool.results(1.0):
            if result.outcome is None:
                raise RuntimeError(f"{result.job.stack.members[0].name}: {result.message}")
            rows = result.outcome.rows[:TRIALS]
            ends = [row.get("train_loss") for row in rows]
            loss = None if None in ends else statistics.fmean(end for end in ends if end)
            found[int(result.job.key.split()[-1])] = result.seconds, loss
    return [found[k][0] for k in range(len(stacks))], [found[k][1] for k in range(len(stacks))]


@dataclass(frozen=True, slots=True)
class Totals:
    """What the whole profile would take, in seconds on the clock, and the ratio's 95% interval."""

    stacked: float
    notebook: float
    low: float
    high: float
    stacks: int
    sampled: int

    @property
    def ratio(self) -> float:
        """How many times faster the stacks are."""
        return self.notebook / self.stacked


def totals(rows: Sequence[Mapping[str, Any]], note: Mapping[str, Any]) -> Totals:
    """Totals over strata, and a combined ratio with its linearised variance.

    Cochran (1977), Sampling Techniques, sections 6.10 and 6.11: with R the ratio of the totals,
    the variance of R is that of the total of notebook - R stacked over the total of stacked.
    """
    pairs = paired_seconds(rows, note)
    sizes = {name: int(each["stacks"]) for name, each in note["strata"].items()}
    ours = sum(sizes[name] * statistics.fmean(a for a, _ in p) for name, p in pairs.items())
    theirs = sum(sizes[name] * statistics.fmean(b for _, b in p) for name, p in pairs.items())
    ratio, variance, degrees = theirs / ours, 0.0, 0
    for name, each in pairs.items():
        n, size = len(each), sizes[name]
        if 1 < n < size:
            spread = statistics.variance([b - ratio * a for a, b in each])
            variance += size**2 * (1 - n / size) * spread / n
        degrees += n - 1
    half = T_975[min(max(degrees, 1), len(T_975)) - 1] * math.sqrt(variance) / ours
    count = sum(map(len, pairs.values()))
    return Totals(ours, theirs, ratio - half, ratio + half, sum(sizes.values()), count)


def paired_seconds(
    rows: Sequence[Mapping[str, Any]], note: Mapping[str, Any]
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each sampled stack, by the stacks on all cores and by the notebook, by stratum."""
    found: dict[int, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(int(row["round"]), {})[str(row["way"])] = row
    pairs: dict[str, list[tuple[float, float]]] = {}
    for number, ways in sorted(found.items()):
        ours, theirs = ways["stacked"], ways["notebook"]
        whole = float(theirs["seconds"]) / int(theirs["trials"]) * int(ours["trials"])
        pair = float(ours["seconds"]) / int(note["cores"]), whole
        pairs.setdefault(note["sampled"][number], []).append(pair)
    return pairs


def render_totals(found: Totals) -> str:
    """One sentence."""
    return (
        f"{NAME}: {found.stacks} stacks take {found.stacked:.0f} s, in a notebook "
        f"{found.notebook:.0f} s: {found.ratio:.1f} times as long (95% interval {found.low:.1f} to "
        f"{found.high:.1f}, {found.sampled} stacks sampled)"
    )


def disagreement(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line if too many sampled stacks end at another loss than the notebook's loop."""
    losses: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["loss"] not in (None, ""):
            losses.setdefault(int(row["round"]), {})[str(row["way"])] = float(row["loss"])
    both = [each for each in losses.values() if len(each) == 2]
    apart = [
        each
        for each in both
        if abs(each["notebook"] - each["stacked"]) > LOSS_TOLERANCE * max(each["stacked"], 1e-3)
    ]
    if len(apart) <= DISAGREEING * len(both):
        return []
    return [f"{NAME}: {len(apart)} of {len(both)} stacks end at another loss than the notebook"]
