"""The report as Markdown that GitHub shows well; text from files is escaped on its way in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tabulate import tabulate

from report.document import (
    Answer,
    Ballot,
    Block,
    Details,
    Figures,
    Picture,
    Report,
    Section,
    Table,
    Text,
    Trial,
    numbers_of,
)
from report.escaping import LONGEST_CELL, html_attribute, markdown

WIDE, HALF = 860, 470  # pixels
_RULE = re.compile(r"-{3,}")
_WIDE_CELL = re.compile(r" {2,}\||\| {2,}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure stands."""

    number: int  # in reading order
    path: str  # of its file, from the Markdown's folder


Places = Mapping[str, Place]  # by the names of the figures


def render_markdown(report: Report, *, figures: str = "figures") -> str:
    """The whole report; its figures are files in a folder beside it."""
    places = {
        name: Place(number, f"{figures}/{name}.png") for name, number in numbers_of(report).items()
    }
    parts = [f"> **{markdown(notice)}**" for notice in report.notices]
    parts += [f"# {markdown(report.title)}", markdown(report.subtitle)]
    parts += ["## Findings", _findings(report, places)]
    parts += ["## What was run", _facts(report)]
    for section in report.sections:
        parts += _section(section, places, level=2)
    return "\n\n".join(part for part in parts if part) + "\n"


def _findings(report: Report, places: Places) -> str:
    lines = []
    for number, finding in enumerate(report.findings, 1):
        link = _link(places.get(finding.figure))
        said = "<br>".join(markdown(line) for line in finding.lines)
        lines.append(f"{number}. **{markdown(finding.topic, LONGEST_CELL)}** – {said}{link}")
    return "\n".join(lines)


def _link(place: Place | None) -> str:
    return f" [Figure {place.number}]({place.path})" if place else ""


def _facts(report: Report) -> str:
    rows = [[markdown(name), markdown(value)] for name, value in report.facts]
    return _tight(tabulate(rows, ["", ""], tablefmt="pipe", disable_numparse=True))


def _section(section: Section, places: Places, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} {markdown(section.title, LONGEST_CELL)}"
    if section.question:
        yield f"*{markdown(section.question)}*"
    for block in section.blocks:
        yield from _block(block, places)
    for topic in section.topics:
        yield from _section(topic, places, level=level + 1)


def _block(block: Block, places: Places) -> Iterator[str]:
    match block:
        case Text(paragraphs=paragraphs):
            yield from map(markdown, paragraphs)
        case Answer(sentences=sentences):
            yield "\n".join(f"- {markdown(sentence)}" for sentence in sentences)
        case Table():
            yield from (f"**{markdown(block.caption)}**", render_table(block), markdown(block.note))
        case Ballot():
            yield from (f"**{markdown(block.caption)}**", _ballot(block, places))
        case Trial():
            pass  # a row of its ballot; the page has all of it
        case Figures(pictures=pictures):
            for picture in pictures:
                yield from _picture(picture, places)
        case Details(summary=summary, blocks=blocks):
            yield f"<details><summary>{html_attribute(summary)}</summary>"
            for inner in blocks:
                yield from _block(inner, places)
            yield "</details>"


def _ballot(ballot: Ballot, places: Places) -> str:
    """A row for every ruling, each trial with a link to where the page has all of it."""
    rows = []
    for trial in (trial for group in ballot.groups for trial in group.trials):
        name = markdown(trial.label or trial.anchor, LONGEST_CELL)
        facts = dict(trial.facts)
        against = markdown(facts.get("Contradicted by", ""))
        because = markdown(facts.get("Because", ""))
        sentence = markdown(trial.statement) + (f" – because {because}" if because else "")
        for ruling in trial.rulings:
            word = f"{ruling.sign} {markdown(ruling.word)}".strip()
            numbers = f"{markdown(ruling.text)}{_link(places.get(ruling.figure))}"
            link = f"[{name}](index.html#{trial.anchor})"
            study = markdown(facts.get("Study", ""), LONGEST_CELL)
            rows.append([link, word, sentence, numbers, against, study])
    header = ["claim", "verdict", "sentence", "measured", "contradicted by", "study"]
    return _tight(tabulate(rows, header, tablefmt="pipe", disable_numparse=True))


def _picture(picture: Picture, places: Places) -> Iterator[str]:
    width = WIDE if picture.wide else HALF
    alt = html_attribute(picture.alt)
    place = places[picture.name]
    yield f'<img src="{place.path}" alt="{alt}" width="{width}">'
    title, caption = markdown(picture.title), markdown(picture.caption)
    yield f"**Figure {place.number}. {title}.** {caption}"


def render_table(table: Table) -> str:
    """A GitHub table through tabulate, every cell escaped, the baseline in bold."""
    rows = [[markdown(cell, LONGEST_CELL) for cell in row] for row in table.rows]
    strong = [[f"**{c}**" if i in table.strong and c else c for c in r] for i, r in enumerate(rows)]
    sides = ["right" if table.is_numeric(i) else "left" for i in range(len(table.header))]
    header = [markdown(name) for name in table.header]
    aligned = tabulate(strong, header, tablefmt="pipe", colalign=sides, disable_numparse=True)
    return _tight(aligned)


def _tight(aligned: str) -> str:
    """The table without what aligns its columns, a quarter of the file; GitHub shows the same."""
    header, rule, *rows = aligned.splitlines()
    kept = [header, _RULE.sub("--", rule), *rows]
    return "\n".join(_WIDE_CELL.sub(_narrow, line) for line in kept)


def _narrow(match: re.Match[str]) -> str:
    return " |" if match[0].endswith("|") else "| "
