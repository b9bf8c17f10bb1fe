"""Every figure as SVG, PNG and PDF, every table as CSV, Markdown and LaTeX, and an index of them.

For papers, slides and other programs. Figures are drawn once more from the same matplotlib
figures, on white; tables hold what the report shows, to the digits it shows.
"""

import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl

from report.anchors import slugs
from report.document import Picture, Report, Section, Table, pictures_of, tables_of
from report.drawing import Drawing, house_style
from report.escaping import FORMULA, LONGEST_CELL, markdown, visible
from report.latex import render_latex
from report.markdown import render_table
from report.page import write_whole

FINE: Final = 300  # dots per inch of a PNG
NAME_WORDS: Final = 5  # of a table's caption that go into its file name
_UNSAID: Final = frozenset({"a", "an", "and", "by", "for", "in", "of", "on", "the", "to", "with"})
_METADATA: Final = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table of the report, its section and the name of its files."""

    name: str
    section: str
    table: Table


def write_copies(report: Report, folder: Path) -> Path:
    """Write every figure and table below `folder`, each whole or not at all; the index's path."""
    figures, tables = folder / "figures", folder / "tables"
    for place in (figures, tables):
        place.mkdir(parents=True, exist_ok=True)
    pictures = [p for section in report.sections for p in pictures_of(section)]
    for picture in pictures:
        for ending, content in figure_files(picture.drawing).items():
            write_whole(figures / f"{picture.name}.{ending}", content)
    named = named_tables(report.sections)
    for each in named:
        for ending, text in table_files(each).items():
            write_whole(tables / f"{each.name}.{ending}", text.encode())
    index = folder / "index.md"
    write_whole(index, render_index(report, pictures, named).encode())
    return index


# Figures


def figure_files(drawing: Drawing) -> dict[str, bytes]:
    """A drawing as files that stand alone, by their ending: text stays text, paper is white."""
    found = {}
    assert drawing.figure is not None, "drawn in another process; an export is made by one"
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcParams.update({"pdf.fonttype": 42})
        for ending, metadata in _METADATA.items():
            stream = io.BytesIO()
            drawing.figure.savefig(stream, format=ending, metadata=metadata, dpi=FINE)
            found[ending] = stream.getvalue()
    return found


# Tables


def named_tables(sections: Iterable[Section]) -> list[NamedTable]:
    """Every table in reading order; its name begins with the anchor of its section."""
    found = [(anchor, table) for s in sections for anchor, table in tables_of(s)]
    names = slugs(
        (f"{anchor}-{_words(table.caption, anchor)}" for anchor, table in found), longest=100
    )
    return [
        NamedTable(name, anchor, table) for name, (anchor, table) in zip(names, found, strict=True)
    ]


def _words(caption: str, anchor: str) -> str:
    """The first words of a caption that its section's anchor does not say already."""
    known = _UNSAID | set(anchor.split("-"))
    words = [word for word in re.split(r"[^a-z0-9]+", caption.lower()) if word]
    return "-".join([word for word in words if word not in known][:NAME_WORDS])


def table_files(named: NamedTable) -> dict[str, str]:
    """A table as text, by the ending of its file."""
    return {
        "csv": render_cells(named.table),
        "md": f"**{markdown(named.table.caption)}**\n\n{render_table(named.table)}\n\n"
        f"{markdown(named.table.note)}\n",
        "tex": render_latex(named.table, named.name),
    }


def render_cells(table: Table) -> str:
    """A table as CSV: numbers with a plain minus, text that no spreadsheet computes."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_text(name) for name in table.header])
    writer.writerows(
        [_number(cell) if table.is_numeric(i) else _text(cell) for i, cell in enumerate(row)]
        for row in table.rows
    )
    return stream.getvalue()


def _number(cell: str) -> str:
    """A number as programs read it, without plus and separators; else text."""
    plain = cell.replace("−", "-").removeprefix("+").replace(",", "")
    if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", plain):
        return plain
    return _text(cell)


def _text(cell: str) -> str:
    """Text that no spreadsheet computes: with an apostrophe where it could be a formula."""
    text = visible(cell, LONGEST_CELL)
    return f"'{text}" if text.startswith(FORMULA) else text


# The index


def render_index(report: Report, pictures: Iterable[Picture], tables: Iterable[NamedTable]) -> str:
    """Everything that was written, with what it shows and a link to each of its forms."""
    return (
        "\n".join(
            [
                f"# {markdown(report.title)}: figures and tables",
                "",
                *_intro(),
                "",
                "## Figures",
                "",
                "| figure | files | shows |",
                "|:--|:--|:--|",
                *_figure_rows(pictures),
                "",
                "## Tables",
                "",
                "| table | files | in the section |",
                "|:--|:--|:--|",
                *_table_rows(tables),
            ]
        )
        + "\n"
    )


def _intro() -> Iterator[str]:
    yield (
        "Figures have a white background and carry their text as text in SVG and PDF. Tables hold "
        "the digits that the report shows; `claims.csv`, `effects.csv` and `times.csv` beside the "
        "report hold all digits. LaTeX tables need the packages `booktabs` and `graphicx`."
    )


def _figure_rows(pictures: Iterable[Picture]) -> Iterator[str]:
    for picture in pictures:
        links = " ".join(f"[{e.upper()}](figures/{picture.name}.{e})" for e in _METADATA)
        yield f"| {picture.name} | {links} | {markdown(picture.title, LONGEST_CELL)} |"


def _table_rows(tables: Iterable[NamedTable]) -> Iterator[str]:
    for each in tables:
        links = " ".join(
            f"[{said}](tables/{each.name}.{ending})"
            for ending, said in (("csv", "CSV"), ("md", "Markdown"), ("tex", "LaTeX"))
        )
        yield f"| {markdown(each.table.caption, LONGEST_CELL)} | {links} | {each.section} |"
