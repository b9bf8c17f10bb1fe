"""A comparison of two states of the code, from the measurement to what is printed of it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ablations.provenance import machine
from benchmarks.gate import FAIL, WARN, Compared, compared
from benchmarks.neighbours import activity, cores_of_others
from benchmarks.passes import Tell
from benchmarks.series import BUSY
from benchmarks.show import show_ratio, show_seconds, table_text
from benchmarks.sides import Measurement, Plan, SideError, measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison has found."""

    delta: float
    compared: tuple[Compared, ...]
    confirmed: tuple[Compared, ...] = ()  # the second look at those slow enough to fail
    absent: dict[str, dict[str, str]] = field(default_factory=dict)
    others: float = 0.0  # cores that others kept busy

    @property
    def failures(self) -> list[str]:
        """Workloads that are slower by both measurements (T19)."""
        return [each.workload for each in self.confirmed if each.is_suspect]

    @property
    def warnings(self) -> list[Compared]:
        """Workloads that are slower beyond doubt, whether or not by enough to fail."""
        return [each for each in self.compared if each.ratio.low > WARN]

    @property
    def noisiest(self) -> Compared:
        """The workload whose base differs most from itself: the noise floor (T15)."""
        return max(self.compared, key=lambda each: each.control.reach)


def compare(plan: Plan, delta: float, *, rng: np.random.Generator, tell: Tell) -> Outcome:
    """Measure, and measure what is slow enough to fail once more in fresh processes.

    Raises:
        SideError: a process died, or no workload runs on both sides.
    """
    before = activity()
    first = measure(plan, rng=rng, tell=tell)
    if not first.rows:
        reasons = [f"{role}: {why}" for each in first.absent.values() for role, why in each.items()]
        raise SideError(f"no workload runs on both sides ({(reasons or ['no time'])[0]})")
    results = judged(first, delta)
    suspects = tuple(each.workload for each in results if each.is_suspect)
    confirmed: tuple[Compared, ...] = ()
    if suspects:
        tell(f"slower: {', '.join(suspects)}; measuring again to confirm")
        confirmed = judged(measure(replace(plan, workloads=suspects), rng=rng, tell=tell), delta)
    others = cores_of_others(before, activity())
    return Outcome(delta, results, confirmed, first.absent, others)


def judged(found: Measurement, delta: float) -> tuple[Compared, ...]:
    """Every workload that has samples on both sides."""
    return tuple(compared(name, found.pairs(name), delta) for name in found.workloads())


def render(outcome: Outcome, plan: Plan) -> str:
    """The table, the A/A row, and what else is to be known."""
    rows = [("workload", "base", "head", "head / base", "verdict")]
    for each in outcome.compared:
        seconds = show_seconds(each.base_seconds), show_seconds(each.head_seconds)
        rows.append((each.workload, *seconds, show_ratio(each.ratio), each.verdict))
    noisy = outcome.noisiest
    seconds = show_seconds(noisy.base_seconds), show_seconds(noisy.base_seconds)
    rows.append((f"A/A {noisy.workload}", *seconds, show_ratio(noisy.control), "noise floor"))
    lines = [table_text(rows), *_notes(outcome, plan)]
    lines += [f"not compared: {name} ({_why(why)})" for name, why in outcome.absent.items()]
    lines += [_warning(each, outcome) for each in outcome.warnings]
    return "\n".join(lines)


def _notes(outcome: Outcome, plan: Plan) -> list[str]:
    one = outcome.compared[0]
    notes = [
        f"95% Student t intervals over pairs of processes, {one.ratio.n} pairs of samples, "
        f"{plan.threads} thread{'s' * (plan.threads != 1)} on {plan.device}; same: within "
        f"{outcome.delta:.0%}; the widest of {len(outcome.compared)} A/A intervals reaches "
        f"{outcome.noisiest.control.reach:.1%}"
    ]
    if outcome.others >= BUSY:
        notes.append(f"busy: others kept {outcome.others:.1f} cores busy meanwhile")
    return notes


def _why(reasons: dict[str, str]) -> str:
    sides = {"again": "base"}
    told = {
        f"{sides.get(role, role)}: {' '.join(why.split())}": None for role, why in reasons.items()
    }
    return "; ".join(told)


def _warning(each: Compared, outcome: Outcome) -> str:
    """One line on a workload that is slower by more than a tenth."""
    how = f"{each.workload} takes {show_ratio(each.ratio)} times as long"
    if each.workload in outcome.failures:
        return f"slower, confirmed: {how}, and again {show_ratio(_second(each, outcome).ratio)}"
    if each.is_suspect:
        return f"warning: {how}; a second measurement does not confirm it beyond {FAIL:g}"
    return f"warning: {how}"


def _second(each: Compared, outcome: Outcome) -> Compared:
    return next(again for again in outcome.confirmed if again.workload == each.workload)


def as_json(outcome: Outcome, plan: Plan) -> str:
    """Everything in the table, and where it was measured."""
    content: dict[str, Any] = {
        "schema": 1,
        "base": {"name": plan.base.name, "commit": plan.base.commit},
        "head": {"name": plan.head.name, "commit": plan.head.commit},
        "device": plan.device,
        "threads": plan.threads,
        "interval": "95% Student t over pairs of processes",
        "delta": outcome.delta,
        "compared": [asdict(each) for each in outcome.compared],
        "confirmed": [asdict(each) for each in outcome.confirmed],
        "absent": outcome.absent,
        "failures": outcome.failures,
        "warnings": [each.workload for each in outcome.warnings],
        "others": outcome.others,
        "machine": machine(plan.device, plan.threads),
    }
    return json.dumps(_without_nan(content), indent=1, allow_nan=False)


def _without_nan(value: Any) -> Any:
    """The same with null where a number is not finite, which JSON has no word for."""
    match value:
        case dict():
            return {key: _without_nan(each) for key, each in value.items()}
        case list() | tuple():
            return [_without_nan(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value
