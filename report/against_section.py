"""Two results folders side by side, as a report of its own: what changed beyond noise, first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from report.against import Against, StudyPair, against
from report.against_studies import study_part
from report.against_times import time_part
from report.anchors import study_slugs
from report.document import Block, Finding, Report, Section, Table, Text, pictures_of
from report.drawing import house_style
from report.markdown import render_markdown
from report.numbers import counted, listed
from report.page import render_html, write_whole
from report.tables import Results

NAME: Final = "against"  # of the files, beside the report
MOST_ROWS: Final = 60  # of the table of settings
HOW: Final = (
    "Here is the folder of this report, there the one it is held against. A difference is here "
    "minus there, paired by seed: trials of one cell and one seed drew the same data, split, "
    "order and initial weights in both. One task of a study is one family: intervals at 1 − .05/m, "
    "and higher or lower is said only where the Holm-adjusted paired t p is at most .05 and the "
    "interval is clear of zero. Identical: every seed has the same score in both.",
    "Rounds of two timings have nothing in common, so their times are not paired: ratios of "
    "medians have 95% bootstrap intervals over processes, then samples. Slower and faster are said "
    "of an interval wholly beyond both folders' noise floors and beyond 5% where both machines "
    "were quiet, 10% elsewhere; same of one inside that share; all else is ambiguous.",
)


def write_against(here: Results, there: Results, folder: Path) -> tuple[Path, Path]:
    """Write against.html and against.md into `folder`, with figures in `against/`."""
    with house_style():
        report = against_report(against(here, there))
    figures = folder / NAME
    figures.mkdir(parents=True, exist_ok=True)
    pictures = [p for section in report.sections for p in pictures_of(section)]
    for picture in pictures:
        write_whole(figures / f"{picture.name}.png", picture.drawing.png)
    for stale in set(figures.glob("*.png")) - {figures / f"{p.name}.png" for p in pictures}:
        stale.unlink(missing_ok=True)
    page, text = folder / f"{NAME}.html", folder / f"{NAME}.md"
    write_whole(text, render_markdown(report, figures=NAME).encode())
    write_whole(page, render_html(report).encode())
    return page, text


def against_report(found: Against) -> Report:
    """The whole comparison; a sentence at its top says what changed beyond noise."""
    names = study_slugs([pair.here for pair in found.studies])
    parts = [study_part(pair, name) for pair, name in zip(found.studies, names, strict=True)]
    times, time_words = time_part(found)
    changed = [*(sentence for part in parts for sentence in part.changed), *time_words]
    turned = [sentence for part in parts for sentence in part.verdicts]
    sections = [_setup_section(found), *(part.section for part in parts)]
    sections += [times] if times else []
    how = Section(anchor="how", title="How folders are compared", blocks=(Text(paragraphs=HOW),))
    return Report(
        title="What differs between two folders of results",
        notices=(),
        subtitle=f"{_where(found.here)} held against {_where(found.there)}",
        facts=_facts(found),
        findings=(Finding(topic="in short", lines=in_short(found, changed, turned)),),
        sections=(*sections, how),
    )


def in_short(found: Against, changed: Sequence[str], turned: Sequence[str]) -> tuple[str, ...]:
    """What changed beyond noise, or that nothing did."""
    exact = [pair.name for pair in found.studies if not pair.other_bytes]
    if not found.studies and found.here.timings.empty:
        return ("The two folders have no study in common.",)
    if found.identical:
        files = sum(len(pair.same_bytes) for pair in found.studies)
        studies = counted(len(found.studies), "study", "studies")
        return (
            f"Nothing differs: {counted(files, 'file')} of {studies} and the timings are the same "
            "to the byte.",
        )
    told = [f"The results of {listed(exact)} are the same to the byte."] if exact else []
    unshared = [f"Only here: {listed(found.only_here)}."] if found.only_here else []
    unshared += [f"Only there: {listed(found.only_there)}."] if found.only_there else []
    start = "Nothing differs beyond noise."
    if changed:
        start = f"Beyond noise, {counted(len(changed), 'thing differs', 'things differ')}."
    verdicts = counted(len(turned), "verdict on a claim", "verdicts on claims")
    more = f" {verdicts} changed." if turned else ""
    return (start + more, *changed, *turned, *told, *unshared)


def _where(results: Results) -> str:
    """A folder by name, with where its numbers were made."""
    machine = results.machine
    device = machine.get("gpu") or machine.get("cpu")
    told = [str(device or ""), f"torch {machine['torch']}" if machine.get("torch") else ""]
    known = [text for text in (*told, str(machine.get("created", ""))[:10]) if text]
    return f"{results.folder}{f' ({chr(59).join(known)})' if known else ''}".replace(";", "; ")


def _facts(found: Against) -> tuple[tuple[str, str], ...]:
    named = {
        "Here": _where(found.here),
        "There": _where(found.there),
        "In both": listed([pair.name for pair in found.studies]),
        "Only here": listed(found.only_here),
        "Only there": listed(found.only_there),
    }
    return tuple((name, value) for name, value in named.items() if value)


def _setup_section(found: Against) -> Section:
    """What was set up differently: machine, software and the settings of each study."""
    rows = [("machine", *each) for each in found.machine]
    rows += [(pair.name, *each) for pair in found.studies for each in pair.settings]
    blocks: list[Block] = []
    if rows:
        left = len(rows) - MOST_ROWS
        table = Table(
            caption="What was set up differently",
            header=("of", "what", "here", "there"),
            rows=tuple(rows[:MOST_ROWS]),
            note=f"And {counted(left, 'difference')} more." if left > 0 else "",
        )
        blocks.append(table)
    else:
        blocks.append(Text(paragraphs=("Machine, software and settings are the same.",)))
    blocks += [_trials_table(found.studies)] if found.studies else []
    return Section(
        anchor="setup", title="Set-up", question="What was done differently?", blocks=tuple(blocks)
    )


def _trials_table(pairs: Sequence[StudyPair]) -> Table:
    header = ("study", "trials here", "trials there", "in both", "the same row", "files")
    rows = tuple(
        (
            pair.name,
            *(f"{pair.trials[key]:,}" for key in ("here", "there", "both", "alike")),
            f"differ: {listed(pair.other_bytes)}" if pair.other_bytes else "the same to the byte",
        )
        for pair in pairs
    )
    return Table(
        caption="Trials that both folders have",
        header=header,
        rows=rows,
        numeric=frozenset(header[1:5]),
        note="The same row: every column of trials.csv is the same, the learning rate included.",
    )
