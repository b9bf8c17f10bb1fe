"""One study with few factors: its question, the short answer, and per task table and figures."""

from collections.abc import Mapping, Sequence

from report.across_section import across_topic
from report.anchors import slugs
from report.axes import HALF, WIDE
from report.cautions import edges, rates_caution
from report.cell_tables import cell_table, contrast_table, pair_table
from report.contrast_pictures import forest, forest_height
from report.document import Answer, Block, Details, Figures, Finding, Picture, Section, Text
from report.factor_tables import factor_details
from report.failures import failure_table
from report.grid_pictures import heat_map
from report.leads import ranking_of
from report.learning_tables import learning_details
from report.rankings import ranking_sentence
from report.sequential_words import sequential_note
from report.study_findings import study_findings
from report.tables import StudyResults
from report.training_pictures import learning_curves, rate_sensitivity
from report.tuning_section import tuning_topic
from report.views import TaskView, study_colours, view_of
from report.wall_pictures import wall


def study_section(results: StudyResults, slug: str) -> tuple[Section, list[Finding]]:
    """The section of one study, and what it offers to the findings."""
    views = views_of(results, slug)
    colours = study_colours(views)
    rankings = [ranking for view in views if (ranking := ranking_of(view)) is not None]
    section = Section(
        anchor=slug,
        title=str(results.study["name"]),
        question=str(results.study["question"]),
        blocks=study_blocks(results, views, [ranking_sentence(r) for r in rankings]),
        topics=(*(topic(view, colours) for view in views), *study_topics(views, colours, slug)),
    )
    return section, study_findings(results, views, rankings)


def study_topics(
    views: Sequence[TaskView], colours: Mapping[str, str], slug: str
) -> tuple[Section, ...]:
    """What stands after the tasks: what they say together, and what tuning bought."""
    found = (across_topic(views, colours, slug), tuning_topic(views, colours, slug))
    return tuple(section for section in found if section is not None)


def views_of(results: StudyResults, slug: str) -> list[TaskView]:
    """A view for each of the study's tasks."""
    names = slugs(task["name"] for task in results.study["tasks"])
    return [
        view_of(results, task, f"{slug}-{name}")
        for task, name in zip(results.study["tasks"], names, strict=True)
    ]


def study_blocks(
    results: StudyResults, views: Sequence[TaskView], sentences: Sequence[str]
) -> tuple[Block, ...]:
    """The short answer and, where a reader would be misled without them, warnings."""
    said = [*sentences] or ["No final trial has a response yet, so there is no answer."]
    cautions = (rates_caution(results), sequential_note(results, views), edges(views))
    warned = tuple(text for text in cautions if text)
    failed = failure_table(results)
    return (
        Answer(sentences=tuple(said)),
        *([Text(paragraphs=warned)] if warned else []),
        *([failed] if failed else []),
    )


def topic(view: TaskView, colours: Mapping[str, str], *, first: str = "") -> Section:
    """One task cell by cell: tables, contrasts and every figure; `first` is said before them."""
    blocks: list[Block] = [Text(paragraphs=(first,))] if first else []
    blocks.append(cell_table(view))
    if len(view.contrasts):
        blocks.append(Details(summary="Contrasts in numbers", blocks=(contrast_table(view),)))
    if (pairs := pair_table(view)) is not None:
        blocks.append(Details(summary="All pairs, exploratory", blocks=(pairs,)))
    blocks += detail_blocks(view)
    blocks.append(Figures(pictures=task_pictures(view, colours)))
    return Section(anchor=view.slug, title=task_title(view), blocks=tuple(blocks))


def detail_blocks(view: TaskView) -> list[Block]:
    """Tables that open on request: effects of factors, and how cells learned."""
    learned = learning_details(view)
    return [*factor_details(view), *([learned] if learned else [])]


def task_title(view: TaskView) -> str:
    """`spiral`, said to be incomplete where trials failed or are missing."""
    return view.name if view.complete else f"{view.name} (incomplete)"


def task_pictures(view: TaskView, colours: Mapping[str, str]) -> tuple[Picture, ...]:
    """Every figure of one task's cells."""
    height = forest_height(view)
    grid = heat_map(view, height)
    drawn = (
        grid,
        forest(view, height),
        learning_curves(view, colours, (WIDE, 3.3) if grid else (HALF, height)),
        rate_sensitivity(view, colours),
        wall(view, "region"),
        wall(view, "curve"),
        wall(view, "confusion"),
    )
    return tuple(picture for picture in drawn if picture is not None)
