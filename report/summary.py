"""The report in at most sixty lines of Markdown: for a job's summary or a pull request."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from report.claims import Judgement, judge
from report.claims_section import TONES, tally
from report.contents import TITLE, all_findings, facts, nothing_found, notices, ranked, subtitle
from report.coverage import coverage_sentence, study_sentence
from report.document import Finding
from report.escaping import LONGEST_CELL, markdown, visible
from report.numbers import counted
from report.tables import Results
from report.timing_notes import flags_by_workload

MOST_LINES: Final = 60
MOST_WARNINGS: Final = 8
MOST_CLAIMS: Final = 16
LONGEST_LINE: Final = 1_200  # characters of one line of a finding
DOUBTFUL: Final = ("unusable", "noisy", "drift", "throttled", "no_steady_state")  # METHODS T12
_ORDER = ("no", "open", "yes")  # contradicted first


def render_summary(results: Results, report: Path) -> str:
    """Findings, verdicts, warnings and what was run; no figure is drawn and none is shown.

    Args:
        report: the folder that holds, or will hold, the whole report.
    """
    found = all_findings(results)
    top = ranked(found) or [nothing_found(results)]
    judged = [judgement for study in results.studies for judgement in judge(study)]
    head = [f"> **{markdown(notice)}**\n" for notice in notices(results)]
    head += [f"# {TITLE}", "", markdown(subtitle(results)), "", *_findings(top), ""]
    told = [finding for finding in found if finding.is_warning and finding not in top]
    warned = [f"- {line}" for line in _warnings(results, told)]
    tail = ["", *_run(results), "", _where(results.folder, report)]
    room = MOST_LINES - _lines([*head, *tail])
    claims = _claims(judged, most=max(0, min(MOST_CLAIMS, room - 7)))
    room -= _lines(claims)
    lines = [*head, *claims]
    if warned and room > 2:
        kept = _cut(warned, min(MOST_WARNINGS, room - 2), "warning")
        lines += ["**Warnings**", "", *kept]
    return "\n".join([*lines, *tail]) + "\n"


def _lines(parts: Sequence[str]) -> int:
    return sum(part.count("\n") + 1 for part in parts)


def _cut(lines: Sequence[str], most: int, noun: str) -> list[str]:
    """The first of them; where there are more, the last line says how many."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"- and {counted(len(lines) - most + 1, noun)} more"][:most]


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for number, finding in enumerate(findings, 1):
        said = "<br>".join(markdown(line, LONGEST_LINE) for line in finding.lines)
        yield f"{number}. **{markdown(finding.topic, LONGEST_CELL)}** – {said}"


def _claims(judged: Sequence[Judgement], *, most: int) -> list[str]:
    """Every verdict in a row, contradicted ones first; at most so many."""
    if not judged:
        return []
    ordered = sorted(judged, key=lambda j: _ORDER.index(TONES[j.verdict]))
    rows = [
        f"| {j.verdict} | {markdown(j.statement, LONGEST_CELL)} | {markdown(j.study, 60)} "
        f"| {markdown(j.task, 60)} |"
        for j in ordered
    ]
    if not most:
        return [f"**Claims on trial** {tally(judged)}", ""]
    more = f" The first {most} of them:" if len(rows) > most else ""
    head = ["| verdict | claim | study | task |", "|:--|:--|:--|:--|"]
    return [f"**Claims on trial.** {tally(judged)}{more}", "", *head, *rows[:most], ""]


def _warnings(results: Results, told: Sequence[Finding]) -> Iterator[str]:
    """What a reader would be misled without, as far as the findings do not say it."""
    for study in results.studies:
        sentence = study_sentence(study)
        if sentence:
            yield f"**{markdown(study.study['name'], LONGEST_CELL)}** – {markdown(sentence)}"
    for finding in told:
        said = " ".join(markdown(line, LONGEST_LINE) for line in finding.lines)
        yield f"**{markdown(finding.topic, LONGEST_CELL)}** – {said}"
    flags = flags_by_workload(results.timing_notes)
    doubted = [raised for raised in flags.values() if set(raised) & set(DOUBTFUL)]
    if doubted:
        kinds = [kind for kind in DOUBTFUL if any(kind in raised for raised in doubted)]
        yield (
            f"**timings** – {len(doubted)} of {counted(len(flags), 'workload')} timed carry a flag "
            f"that puts their times in doubt ({', '.join(k.replace('_', ' ') for k in kinds)})."
        )


def _run(results: Results) -> Iterator[str]:
    """What was run, in a line each."""
    if results.studies:
        yield f"**Coverage.** {markdown(coverage_sentence(results.studies))}"
    named = dict(facts(results))
    kept = ("Trials", "Profile", "Device", "Machine", "Software", "Commit")
    yield ""
    told = "; ".join(f"{name.lower()} {named[name]}" for name in kept if name in named)
    yield f"**What was run.** {markdown(told)}"


def _where(folder: Path, report: Path) -> str:
    """Where the whole report is, or what writes it."""
    page = report / "index.html"
    if page.exists():
        return f"The whole report: `{_plain(page)}`, with its figures and tables beside it."
    return f"The whole report: `python -m report --results {_plain(folder)}` writes it."


def _plain(path: Path) -> str:
    """A path that cannot leave the code span it stands in."""
    return visible(path).replace("`", "'")
