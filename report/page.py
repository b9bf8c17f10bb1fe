"""The report as one HTML page that loads nothing, and the one write of everything."""

import os
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from report.anchors import slugs
from report.document import Picture, Report, Table, numbers_of, pictures_of
from report.escaping import visible
from report.interactive import packed
from report.markdown import render_markdown
from report.palette import THEME
from report.scripts import chart_script, own_script, policy
from report.vectors import compact


def render_html(report: Report) -> str:
    """The whole page: one file, under a policy that lets it load nothing and run our scripts."""
    style = themed(_template("style.css"))
    data, numbers = _data_of(report), numbers_of(report)
    scripts = [chart_script()] if "explore" in data else []
    scripts.append(own_script())
    return filled(
        "index.html",
        report=report,
        title=report.title,
        numbers=numbers,
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        policy=policy([style], scripts),
        data={name: Markup(text) for name, text in data.items()},
        svg=_svg(numbers),
        inline=Markup,
        table_id=_table_ids(),
    )


def filled(template: str, **values: object) -> str:
    """A template of the report with these values, every text escaped and made visible."""
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        finalize=_visible_or_markup,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _data_of(report: Report) -> dict[str, str]:
    """The packed data of each interactive part that the page has."""
    parts: dict[str, str] = {}
    if report.interactive and report.interactive.playground.get("walls"):
        parts["playground"] = packed(report.interactive.playground)
    if report.interactive and report.interactive.explore.get("studies") and chart_script():
        parts["explore"] = packed(report.interactive.explore)
    return parts


def _table_ids() -> Callable[[Table], str]:
    """What links to a table point at, in the order in which they are asked for: `table-...`."""
    captions: list[str] = []

    def table_id(table: Table) -> str:
        captions.append(table.caption)
        return f"table-{slugs(captions)[-1]}"

    return table_id


def _svg(numbers: Mapping[str, int]) -> Callable[[Picture], Markup]:
    """A drawing as it stands in the page; its text was escaped when the SVG was written."""
    return lambda picture: Markup(compact(picture.drawing.svg, f"v{numbers[picture.name]}"))


def _visible_or_markup(value: object) -> object:
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def themed(style: str) -> str:
    """A stylesheet with the palette's variables for a light and for a dark page."""
    light = " ".join(f"--{name}: {colour};" for colour, (name, _) in THEME.items())
    dark = " ".join(f"--{name}: {colour};" for name, colour in THEME.values())
    return style.replace("/* light */", light).replace("/* dark */", dark)


def _template(name: str) -> str:
    return (files("report") / "templates" / name).read_text(encoding="utf-8")


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write figures, Markdown and page into `folder`, each whole or not at all.

    Figures of an earlier report that this one no longer has are removed.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    pictures = [p for section in report.sections for p in pictures_of(section)]
    for picture in pictures:
        write_whole(figures / f"{picture.name}.png", picture.drawing.png)
    text, page = folder / "report.md", folder / "index.html"
    write_whole(text, render_markdown(report).encode())
    write_whole(page, render_html(report).encode())
    for stale in set(figures.glob("*.png")) - {figures / f"{p.name}.png" for p in pictures}:
        stale.unlink(missing_ok=True)
    return page, text


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a mixture."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
