"""Known results: published values beside those measured here."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from report.document import Answer, Finding, Section, Table
from report.numbers import NOTHING, counted, decimals, listed, margin, number, scale_of
from report.orders import order_sentence
from report.published import OUTSIDE, UNTESTED, WITHIN, Known, known_results, runs_of
from report.tables import StudyResults

HEADER = (
    "result",
    "verdict",
    "response",
    "read",
    "published",
    "measured",
    "spread",
    "n",
    "tolerance",
    "source",
)
NOTE = (
    "Measured: the mean over n seeds; spread: standard deviation over seeds. A result is within "
    "when the two means differ by at most the tolerance, 3 √(sd published² + sd measured²/n), or "
    "on a test set by at most the standard error of one accuracy where that is more. One or two "
    "published runs are taken to vary at least as much as ours. Read: at which step, or over how "
    "many of the last evaluations the mean of a trial is taken. Where the best of several runs was "
    "published, n counts groups of as many seeds, and the best of each group is what was measured."
)


def published_section(studies: Sequence[StudyResults]) -> tuple[Section | None, list[Finding]]:
    """The table of known results, and what disagrees among the findings; nothing without any."""
    known = [each for results in studies for each in known_results(results)]
    orders = [line for results in studies for line in _orders(results)]
    if not known and not orders:
        return None, []
    if not known:
        return _section(orders, ()), []
    lines = [tally(known), *(_told(k) for k in known if k.verdict != WITHIN)]
    table = Table(
        caption="Published and measured",
        header=HEADER,
        rows=tuple(_row(each, _sources(known)) for each in known),
        numeric=frozenset(HEADER[4:-1]),
        strong=frozenset(i for i, each in enumerate(known) if each.verdict == OUTSIDE),
        note=NOTE,
    )
    finding = Finding(topic="known results", lines=tuple(lines), is_answer=True, of_all=True)
    return _section([*lines, *orders], (table,)), [finding]


def _section(sentences: Sequence[str], tables: tuple[Table, ...]) -> Section:
    return Section(
        anchor="known",
        title="Known results",
        question="Does what is known come out here too?",
        blocks=(Answer(sentences=tuple(sentences)), *tables),
    )


def _orders(results: StudyResults) -> list[str]:
    """The order of the cells where a known study published no number."""
    if results.study.get("group") != "known" or results.study["published"]:
        return []
    told = [order_sentence(results, task) for task in results.study["tasks"]]
    name = results.study["name"]
    return [f"{name} has no published number to compare with. {text}" for text in told if text]


def tally(known: Sequence[Known]) -> str:
    """How many published values came out within their tolerance."""
    words = {WITHIN: "within tolerance", OUTSIDE: "outside", UNTESTED: "not tested"}
    counts = [(sum(k.verdict == verdict for k in known), said) for verdict, said in words.items()]
    told = listed([f"{count} {said}" for count, said in counts if count])
    return f"Of {counted(len(known), 'published value')}, {told}."


def _told(known: Known) -> str:
    """One value outside its tolerance, with its numbers, or why it was not tested."""
    if known.verdict == UNTESTED:
        return f"{_name(known)} on {known.task}, not tested: {known.reason}."
    scale = scale_of(known.response)
    where, _, _, read, published, measured, spread, _, allowed, _ = _row(known, {})
    runs = runs_of(known.entry, known.measured.n if known.measured else 0)
    lost = f", {known.diverged} diverged" if known.diverged else ""
    apart = f"{allowed} {scale.difference}".strip()
    above = known.measured is not None and known.measured.value > mean(known.values)
    side = "above" if above else "below"
    note = f" {known.entry['note']}" if known.entry.get("note") else ""
    return (
        f"{where}: {scale.name}, read {read}, is {measured}{scale.unit} here (spread {spread}, "
        f"n = {runs}{lost}) where {published}{scale.unit} was published: {side} it by more than "
        f"the {apart} allowed.{note}"
    )


def _row(known: Known, sources: Mapping[str, str]) -> tuple[str, ...]:
    scale = scale_of(known.response)
    response = f"{scale.name}{', %' if scale.unit else ''}"
    published = ", ".join(f"{scale.factor * value:.6g}" for value in known.values)
    where = f"{_name(known)}, {known.cell or known.study} on {known.task}"
    read, source = reading(known.entry), sources.get(_name(known), NOTHING)
    if known.measured is None:
        return (where, known.verdict, response, read, published, *[NOTHING] * 4, source)
    digits = decimals([scale.factor * margin(known.measured)], scale.most_decimals)
    lost = f" ({known.diverged} diverged)" if known.diverged else ""
    return (
        where,
        known.verdict,
        response,
        read,
        published,
        number(scale.factor * known.measured.value, digits),
        number(scale.factor * known.spread, digits + 1),
        f"{known.measured.n}{lost}",
        number(scale.factor * known.tolerance, digits + 1),
        source,
    )


def _name(known: Known) -> str:
    return str(known.entry.get("id") or known.study)


def _sources(known: Sequence[Known]) -> dict[str, str]:
    """Where each result was published, which one of its values says for all."""
    return {_name(k): str(k.entry["source"]) for k in known if k.entry.get("source")}


def reading(entry: Mapping[str, Any]) -> str:
    """When a response was read: at a step, over the last evaluations, or at the end."""
    if "step" in entry:
        return f"at step {entry['step']}"
    if "last" in entry:
        many = entry["last"]
        return "at the last evaluation" if many == 1 else f"mean of the last {many} evaluations"
    if "best_of" in entry:
        runs = entry["best_of"]
        return "at its best evaluation" + ("" if runs == 1 else f", the best of {runs} runs")
    return "at the end"
