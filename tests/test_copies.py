"""Figures and tables as files: every form opens, numbers are the table's, no cell can act."""

import csv
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from simulated_results import plans, rename, write_results
from test_document import NASTY

from report.__main__ import main
from report.copies import NamedTable, named_tables, render_cells, table_files
from report.document import Details, Section, Table, Text
from report.index import entries_below, write_index
from report.latex import latex, render_latex

SPECIAL = re.compile(r"(?<!\\)[&%$#_{}~^\\]")
COMMANDS = re.compile(
    r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|"
    r"textasciigrave|dag|ldots)\{\}|\\textsuperscript\{[23n]\}|\$(-|\\(times|pm|leq|geq|surd|mu|"
    r"cdot))\$|\{(''|\[|\]|\*|-)\}|\\[&%$#_{}]"
)


def table(rows, **more):
    return Table(caption="Cells of x on y", header=("cell", "mean, %"), rows=rows, **more)


def rows_of(text):
    return list(csv.reader(io.StringIO(text)))


# Tables


@given(st.text(max_size=60) | st.sampled_from(NASTY))
def test_no_text_is_more_than_text_to_latex(text):
    """What is left once every escape is taken out has no character that LaTeX acts on."""
    rest = COMMANDS.sub("", latex(text))
    assert not SPECIAL.search(rest), rest
    assert rest.replace("\xa0", " ").isprintable()
    assert all(ord(letter) <= 0xFF for letter in rest)


def test_latex_says_what_the_text_said():
    assert latex("batch_norm & 50%") == r"batch\_norm \& 50\%"
    assert latex("−1.5 × R²") == r"$-$1.5 $\times$ R\textsuperscript{2}"
    assert latex("--x") == "{-}{-}x"
    assert latex(r"\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
    assert latex("中") == "U+4E2D"
    # Of Latin-1 these are what pdfLaTeX stops at in its default encoding, tried letter by letter.
    assert [latex(x) for x in "«»ÐÞðþé"] == [
        *(f"U+00{x}" for x in ["AB", "BB", "D0", "DE", "F0", "FE"]),
        "é",
    ]


def test_a_latex_table_has_its_rows_rules_and_bold_baseline():
    text = render_latex(
        table((("a", "1"), ("[b]", "2")), strong=frozenset({0}), numeric=frozenset({"mean, %"})),
        "name",
    )
    assert r"\begin{tabular}{lr}" in text
    assert r"\textbf{a} & \textbf{1} \\" in text
    assert r"{[}b{]} & 2 \\" in text
    assert text.count(r"\\") == 3
    assert text.index(r"\resizebox{\ifdim\width>\linewidth") < text.index(r"\begin{tabular}")
    assert [text.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]


@given(st.sampled_from(NASTY) | st.text("=+-@\t\r1,.x", max_size=12))
def test_no_cell_of_a_csv_file_is_a_formula(text):
    ((_, _), (name, number)) = rows_of(
        render_cells(table(((text, text),), numeric=frozenset({"mean, %"})))
    )
    assert not name.startswith(("=", "+", "-", "@"))
    assert not number.startswith(("=", "+", "@"))
    assert re.fullmatch(r"-?[\d.]+", number) or not number.startswith("-")


def test_numbers_of_a_csv_file_are_what_programs_read():
    cells = (("1,2", "−1,234.5"), ("x", "+0.07"), ("y", "–"), ("+1", "3"))
    text = render_cells(table(cells, numeric=frozenset({"mean, %"})))
    assert rows_of(text)[1:] == [["1,2", "-1234.5"], ["x", "0.07"], ["y", "–"], ["'+1", "3"]]


def test_every_table_has_a_name_of_its_own_that_begins_with_its_section():
    inner = Section(
        anchor="a-spiral",
        title="",
        blocks=(
            table(()),
            Details(
                summary="",
                blocks=(
                    Text(paragraphs=()),
                    table(()),
                ),
            ),
        ),
    )
    names = [t.name for t in named_tables([Section(anchor="a", title="", topics=(inner,))])]
    assert names == ["a-spiral-cells-x-y", "a-spiral-cells-x-y-2"]


@pytest.mark.parametrize("name", NASTY)
def test_hostile_names_stay_inert_in_every_form(name):
    files = table_files(NamedTable("n", "s", table(((name, name),))))
    assert not SPECIAL.search(COMMANDS.sub("", latex(name)))
    cell = rows_of(files["csv"])[1][0]
    assert not cell.startswith(("=", "+", "-", "@"))
    assert "<" not in files["md"].replace("&lt;", "")
    assert not re.search(r"(?<!\\)\]\(", files["md"])


# The whole export and the index


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    (plan,) = (p for p in plans() if p.name == "activation")
    levels = {"activation": ("relu", "identity")}
    write_results(folder, studies=[replace(plan, factors=levels, tasks=("spiral",), seeds=3)])
    (folder / "timings.csv").unlink()
    assert main(["--results", str(folder), "--export"]) == 0
    return folder


@pytest.mark.slow
def test_every_figure_and_table_is_there_in_every_form_and_in_the_index(exported):
    folder = exported / "report" / "export"
    index = (folder / "index.md").read_text()
    links = set(re.findall(r"\]\(([^)]+)\)", index))
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"index.md"}
    assert links == files
    drawn = {p.stem for p in (exported / "report" / "figures").glob("*.png")}
    for ending in ("svg", "png", "pdf"):
        assert {p.stem for p in folder.glob(f"figures/*.{ending}")} == drawn
    for ending in ("csv", "md", "tex"):
        assert len(list(folder.glob(f"tables/*.{ending}"))) == len(files) // 3 - len(drawn)


@pytest.mark.slow
def test_every_exported_figure_opens_and_says_the_same_text(exported):
    for path in (exported / "report" / "export" / "figures").glob("*.svg"):
        root = ET.parse(path).getroot()
        text = "".join(root.itertext())
        assert "relu" in text or "spiral" in text or "training step" in text
        assert not re.search(r"https?://(?!www\.w3\.org|purl|creativecommons)", path.read_text())
        with Image.open(path.with_suffix(".png")) as picture:
            assert picture.width > 1000
            assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        pdf = path.with_suffix(".pdf").read_bytes()
        assert pdf.startswith(b"%PDF-")
        assert pdf.rstrip().endswith(b"%%EOF")
        assert b"/JavaScript" not in pdf


@pytest.mark.slow
def test_an_export_is_made_twice_with_the_same_bytes(exported, tmp_path):
    assert main(["--results", str(exported), "--export", str(tmp_path)]) == 0
    folder = exported / "report" / "export"
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_the_index_lists_folders_with_their_state_and_links(tmp_path, capsys):
    (plan,) = (p for p in plans() if p.name == "activation")
    small = replace(plan, tasks=("spiral",), seeds=3)
    for name, spoiled in (("standard", ()), ("reference/cuda", ("activation",))):
        write_results(tmp_path / name, studies=[small], spoiled=spoiled)
    (tmp_path / "standard" / "report").mkdir()
    (tmp_path / "standard" / "report" / "index.html").touch()
    (tmp_path / "broken" / "activation").mkdir(parents=True)
    (tmp_path / "broken" / "activation" / "study.json").write_text("{")
    assert main(["--index", str(tmp_path)]) == 0
    page, text = capsys.readouterr().out.split()
    entries = {entry.path: entry for entry in entries_below(tmp_path)}
    assert list(entries) == ["reference/cuda", "standard", "broken"]
    assert entries["standard"].links == (("standard/report/index.html", "page"),)
    assert entries["standard"].cells[-1].startswith("Complete: ")
    assert entries["reference/cuda"].cells[-1].startswith("Incomplete: ")
    assert entries["broken"].cells[-1] == "cannot be read"
    for path in (page, text):
        content = Path(path).read_text()
        assert "standard/report/index.html" in content
        assert "is not JSON" in content
        assert "activation: On spiral, " in content.replace("** – activation", "activation")


def test_an_index_of_nothing_is_refused_in_one_line(tmp_path, capsys):
    assert main(["--index", str(tmp_path)]) == 2
    assert "there are no results folders below it" in capsys.readouterr().err


def test_hostile_names_stay_inert_in_the_index(tmp_path):
    (plan,) = (p for p in plans() if p.name == "activation")
    odd = rename(replace(plan, tasks=("spiral",), seeds=2), lambda name: f"<b>{name}|`[x](y)")
    write_results(tmp_path / "a b(c)", studies=[odd])
    page, text = (path.read_text() for path in write_index(tmp_path))
    assert "<b>" not in page
    assert "<b>" not in text
    assert "[x](y)" not in text
    assert "default-src 'none'" in unescape(page)
