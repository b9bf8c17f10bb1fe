"""Known results: published values beside those measured here."""

from collections.abc import Sequence

from report.document import Answer, Finding, Section, Table
from report.numbers import NOTHING, counted, decimals, listed, margin, number, scale_of
from report.published import OUTSIDE, UNTESTED, WITHIN, Known, known_results
from report.tables import StudyResults

HEADER = (
    "result",
    "verdict",
    "response",
    "published",
    "measured",
    "spread",
    "n",
    "tolerance",
)
NOTE = (
    "Measured: the mean over n seeds; spread: standard deviation over seeds. A result is within "
    "when the two means differ by at most the tolerance, 3 √(sd published² + sd measured²/n), or "
    "on a test set by at most the standard error of one accuracy where that is more. One or two "
    "published runs are taken to vary at least as much as ours."
)


def published_section(studies: Sequence[StudyResults]) -> tuple[Section | None, list[Finding]]:
    """The table of known results, and what disagrees among the findings; nothing without any."""
    known = [each for results in studies for each in known_results(results)]
    if not known:
        return None, []
    lines = [tally(known), *(_told(k) for k in known if k.verdict != WITHIN)]
    table = Table(
        caption="Published and measured",
        header=HEADER,
        rows=tuple(map(_row, known)),
        numeric=frozenset(HEADER[3:]),
        strong=frozenset(i for i, each in enumerate(known) if each.verdict == OUTSIDE),
        note=" ".join([NOTE, *_sources(known)]),
    )
    section = Section(
        anchor="known",
        title="Known results",
        question="Does what is known come out here too?",
        blocks=(Answer(sentences=tuple(lines)), table),
    )
    return section, [Finding(topic="known results", lines=tuple(lines), is_answer=True)]


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
    where, _, _, published, measured, spread, n, allowed = _row(known)
    return (
        f"{where}: {scale.name} {published}{scale.unit} published, "
        f"{measured}{scale.unit} measured (spread {spread}, n = {n} seeds), more than {allowed} "
        "apart."
    )


def _row(known: Known) -> tuple[str, ...]:
    scale = scale_of(known.response)
    response = f"{scale.name}{', %' if scale.unit else ''}"
    published = ", ".join(f"{scale.factor * value:.6g}" for value in known.values)
    where = f"{_name(known)}, {known.cell or known.study} on {known.task}"
    if known.measured is None:
        return (where, known.verdict, response, published, *[NOTHING] * 4)
    digits = decimals([scale.factor * margin(known.measured)], scale.most_decimals)
    lost = f" ({known.diverged} diverged)" if known.diverged else ""
    return (
        where,
        known.verdict,
        response,
        published,
        number(scale.factor * known.measured.value, digits),
        number(scale.factor * known.spread, digits + 1),
        f"{known.measured.n}{lost}",
        number(scale.factor * known.tolerance, digits + 1),
    )


def _name(known: Known) -> str:
    return str(known.entry.get("id") or known.study)


def _sources(known: Sequence[Known]) -> list[str]:
    named = {_name(k): str(k.entry["source"]) for k in known if k.entry.get("source")}
    return [f"Sources: {'; '.join(f'{name}, {source}' for name, source in named.items())}."] * bool(
        named
    )
