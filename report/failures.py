"""Trials that did not end by themselves: how many, why, and what cannot start because of them."""

from collections import Counter
from collections.abc import Sequence

from report.document import Table
from report.frames import records
from report.numbers import counted
from report.schema import FAILED
from report.tables import StudyResults

MOST_ROWS = 12  # of the table of reasons
UNKNOWN = "no reason is recorded in this folder"


def failure_table(results: StudyResults) -> Table | None:
    """Failed trials by status and reason, the commonest first, each with one trial by name."""
    failed = records(results.trials[results.trials["status"].isin(FAILED)])
    if not failed:
        return None
    kinds = [(row["status"], results.reasons.get(row["trial"], UNKNOWN)) for row in failed]
    first = {kind: row["trial"] for kind, row in zip(kinds[::-1], failed[::-1], strict=True)}
    common = Counter(kinds).most_common()
    rows = tuple(
        (status.replace("_", " "), str(count), reason, str(first[status, reason]))
        for (status, reason), count in common[:MOST_ROWS]
    )
    rest = len(common) - len(rows)
    header = ("status", "trials", "reason", "first of them")
    return Table(
        caption=f"Trials of {results.study['name']} that did not end by themselves",
        header=header,
        rows=rows,
        numeric=frozenset({"trials"}),
        note=f"And {counted(rest, 'reason')} more; trials.csv has every trial." if rest else "",
    )


def waiting(studies: Sequence[StudyResults]) -> int:
    """Final trials that cannot start: a tuning trial that would choose their rate has failed."""
    return sum(_waiting(results, studies) for results in studies)


def _waiting(results: StudyResults, studies: Sequence[StudyResults]) -> int:
    study = results.study
    rates = study.get("learning_rates") or {}
    source, by = results, [str(factor["name"]) for factor in study["factors"]]
    if rates.get("source"):
        source = next((s for s in studies if s.study["name"] == rates["source"]), results)
        by = [str(rates.get("by") or "optimizer")]
    tried = source.trials[(source.trials["stage"] == "tuning")]
    blocked = {
        (row["task"], *(row[factor] for factor in by))
        for row in records(tried[tried["status"].isin(FAILED)])
    }
    there = set(results.trials["trial"])
    levels = {**study["baseline"]}
    return sum(
        (trial["task"], *({**levels, **trial}.get(factor) for factor in by)) in blocked
        for trial in study["trials"]
        if trial["stage"] == "final" and trial["trial"] not in there
    )
