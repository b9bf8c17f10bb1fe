"""The results folders below one folder: what each holds, how far it is, what it found first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from report.contents import all_findings, nothing_found, profiles, ranked
from report.coverage import coverage_sentence
from report.escaping import LONGEST_CELL, markdown
from report.files import existing
from report.numbers import counted, listed
from report.page import filled, themed, write_whole
from report.schema import TableError
from report.scripts import policy
from report.tables import Results, read_results

DEPTH: Final = 2  # folders below the one that is listed
REPORTS: Final = (("report/index.html", "page"), ("report/report.md", "Markdown"))
COMPARED: Final = (("report/against.html", "compared"),)
COLUMNS: Final = ("folder", "profile", "device", "machine", "date", "studies", "state")


@dataclass(frozen=True, slots=True)
class Entry:
    """One results folder as the index tells it."""

    path: str  # from the folder that is listed, with slashes
    cells: tuple[str, ...]  # of COLUMNS, less the first
    finding: str
    links: tuple[tuple[str, str], ...]  # address and word of what is there to read


def write_index(root: Path) -> tuple[Path, Path]:
    """Write index.html and index.md into a folder of results folders.

    Errors:
        TableError: there is no results folder below it.
    """
    entries = entries_below(root)
    if not entries:
        raise TableError(f"{root}: there are no results folders below it; run `make ablations`")
    page, text = root / "index.html", root / "index.md"
    write_whole(text, render_text(entries).encode())
    write_whole(page, render_page(entries).encode())
    return page, text


def entries_below(root: Path) -> list[Entry]:
    """Every results folder at most DEPTH levels below `root`, the newest first."""
    found = [(_date(entry), entry) for entry in (_entry(path, root) for path in _folders(root))]
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0], reverse=True)]


def _date(entry: Entry) -> str:
    return entry.cells[COLUMNS.index("date") - 1]


def _folders(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    if not root.is_dir():
        return
    for path in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if existing(path / "timings.csv") or next(path.glob("*/study.json"), None):
            yield path
        elif depth > 1:
            yield from _folders(path, depth - 1)


def _entry(path: Path, root: Path) -> Entry:
    name = path.relative_to(root).as_posix()
    links = tuple(
        (quote(f"{name}/{file}"), word)
        for file, word in (*REPORTS, *COMPARED)
        if (path / file).exists()
    )
    try:
        results = read_results(path)
        return Entry(name, _cells(results), _first_finding(results), links)
    except TableError as error:
        return Entry(name, (*[""] * (len(COLUMNS) - 2), "cannot be read"), str(error), links)


def _cells(results: Results) -> tuple[str, ...]:
    machine = results.machine
    devices = list(dict.fromkeys(str(s.study.get("device", "")) for s in results.studies))
    timed = (
        []
        if results.timings.empty
        else [counted(results.timings["workload"].nunique(), "workload")]
    )
    return (
        listed(profiles(results)),
        listed(devices),
        str(machine.get("gpu") or machine.get("cpu") or ""),
        str(machine.get("created", ""))[:16].replace("T", " "),
        ", ".join([*(str(s.study["name"]) for s in results.studies), *timed]),
        coverage_sentence(results.studies) if results.studies else "timings only",
    )


def _first_finding(results: Results) -> str:
    top = (ranked(all_findings(results)) or [nothing_found(results)])[0]
    return f"{top.topic}: {top.lines[0]}"


def render_text(entries: Sequence[Entry]) -> str:
    """The index as Markdown: a table, and under it what each folder found first."""
    rows = [
        " | ".join(
            ["", _linked(e), *(markdown(cell, LONGEST_CELL) for cell in e.cells), ""]
        ).strip()
        for e in entries
    ]
    said = [f"- **{markdown(e.path, LONGEST_CELL)}** – {markdown(e.finding)}" for e in entries]
    head = f"| {' | '.join(COLUMNS)} |"
    rule = f"|{':--|' * len(COLUMNS)}"
    lines = ["# Results", "", head, rule, *rows, "", "What each found first:", "", *said]
    return "\n".join(lines) + "\n"


def _linked(entry: Entry) -> str:
    links = " ".join(f"[{word}]({address})" for address, word in entry.links)
    return f"{markdown(entry.path, LONGEST_CELL)} {links}".strip()


def render_page(entries: Sequence[Entry]) -> str:
    """The index as one HTML page that loads nothing and runs nothing."""
    style = themed(_STYLE)
    return filled(
        "folders.html",
        title="Results",
        entries=entries,
        columns=COLUMNS,
        style=Markup(style),
        policy=policy([style], []),
    )


_STYLE: Final = """\
:root { color-scheme: light dark; /* light */ }
@media (prefers-color-scheme: dark) { :root { /* dark */ } }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; background: var(--paper); \
color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
article { border-top: 1px solid var(--edge); padding: 0.8rem 0; }
main { overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin: 0.2rem 0; }
dl { display: flex; flex-wrap: wrap; gap: 0.2rem 1.4rem; margin: 0.3rem 0; }
dl div { display: flex; gap: 0.4rem; }
dt { color: var(--muted); flex: none; }
dd { margin: 0; min-width: 0; }
a { color: var(--series-1); margin-right: 0.8rem; }
p { margin: 0.3rem 0; }
"""
