"""The report as Markdown that GitHub shows well; text from files is escaped on its way in."""

from collections.abc import Iterator, Mapping

from tabulate import tabulate

from report.document import (
    Answer,
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


def render_markdown(report: Report) -> str:
    """The whole report; figures are files in the folder `figures` beside it."""
    numbers = numbers_of(report)
    parts = [f"> **{markdown(notice)}**" for notice in report.notices]
    parts += [f"# {markdown(report.title)}", markdown(report.subtitle)]
    parts += ["## Findings", _findings(report, numbers)]
    parts += ["## What was run", _facts(report)]
    for section in report.sections:
        parts += _section(section, numbers, level=2)
    return "\n\n".join(part for part in parts if part) + "\n"


def _findings(report: Report, numbers: Mapping[str, int]) -> str:
    lines = []
    for number, finding in enumerate(report.findings, 1):
        figure = numbers.get(finding.figure)
        link = f" [Figure {figure}](figures/{finding.figure}.png)" if figure else ""
        said = "<br>".join(markdown(line) for line in finding.lines)
        lines.append(f"{number}. **{markdown(finding.topic, LONGEST_CELL)}** – {said}{link}")
    return "\n".join(lines)


def _facts(report: Report) -> str:
    rows = [[markdown(name), markdown(value)] for name, value in report.facts]
    return tabulate(rows, ["", ""], tablefmt="pipe", disable_numparse=True)


def _section(section: Section, numbers: Mapping[str, int], *, level: int) -> Iterator[str]:
    yield f"{'#' * level} {markdown(section.title, LONGEST_CELL)}"
    if section.question:
        yield f"*{markdown(section.question)}*"
    for block in section.blocks:
        yield from _block(block, numbers)
    for topic in section.topics:
        yield from _section(topic, numbers, level=level + 1)


def _block(block: Block, numbers: Mapping[str, int]) -> Iterator[str]:
    match block:
        case Text(paragraphs=paragraphs):
            yield from map(markdown, paragraphs)
        case Answer(sentences=sentences):
            yield "\n".join(f"- {markdown(sentence)}" for sentence in sentences)
        case Table():
            yield from (f"**{markdown(block.caption)}**", _table(block), markdown(block.note))
        case Trial():
            yield f"**{markdown(block.statement)}**"
            yield "\n".join(_trial(block, numbers))
        case Figures(pictures=pictures):
            for picture in pictures:
                yield from _picture(picture, numbers)
        case Details(summary=summary, blocks=blocks):
            yield f"<details><summary>{html_attribute(summary)}</summary>"
            for inner in blocks:
                yield from _block(inner, numbers)
            yield "</details>"


def _trial(trial: Trial, numbers: Mapping[str, int]) -> Iterator[str]:
    for ruling in trial.rulings:
        figure = numbers.get(ruling.figure)
        link = f" [Figure {figure}](figures/{ruling.figure}.png)" if figure else ""
        yield f"- **{markdown(ruling.word.capitalize())}.** {markdown(ruling.text)}{link}"
    for name, value in trial.facts:
        yield f"- {markdown(name)}: {markdown(value)}"
    if trial.command:
        yield f"- Repeat with: `{trial.command}`"


def _picture(picture: Picture, numbers: Mapping[str, int]) -> Iterator[str]:
    width = WIDE if picture.wide else HALF
    alt = html_attribute(picture.alt)
    yield f'<img src="figures/{picture.name}.png" alt="{alt}" width="{width}">'
    title, caption = markdown(picture.title), markdown(picture.caption)
    yield f"**Figure {numbers[picture.name]}. {title}.** {caption}"


def _table(table: Table) -> str:
    """A GitHub table through tabulate, every cell escaped, the baseline in bold."""
    rows = [[markdown(cell, LONGEST_CELL) for cell in row] for row in table.rows]
    strong = [[f"**{c}**" if i in table.strong and c else c for c in r] for i, r in enumerate(rows)]
    sides = ["right" if table.is_numeric(i) else "left" for i in range(len(table.header))]
    header = [markdown(name) for name in table.header]
    return tabulate(strong, header, tablefmt="pipe", colalign=sides, disable_numparse=True)
