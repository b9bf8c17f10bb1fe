"""Names for files and for what links point at: plain letters, never two alike."""

import re
from collections.abc import Iterable, Sequence

from report.tables import StudyResults

RESERVED = (
    *("findings", "claims", "known", "run", "throughput", "methods", "provenance", "coverage"),
    *("playground", "explore", "table", "fig"),
)


def slugs(names: Iterable[str], *, longest: int = 40) -> list[str]:
    """A name for files and anchors for each name: plain letters, never two alike."""
    taken: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", str(name).lower())[:longest].strip("-") or "unnamed"
        slug, count = plain, 2
        while slug in taken:
            slug, count = f"{plain}-{count}", count + 1
        taken.append(slug)
    return taken


def study_slugs(studies: Sequence[StudyResults]) -> list[str]:
    """The anchor of every study, apart from those of the report's own sections."""
    names = slugs(results.study["name"] for results in studies)
    return [f"study-{name}" if name.startswith(RESERVED) else name for name in names]


def contrasts_picture(results: StudyResults, slug: str, task: str, response: str) -> str:
    """The name of the figure, drawn or not, of the contrasts in one response; "" for no such."""
    tasks = results.study["tasks"]
    places = zip(tasks, slugs(entry["name"] for entry in tasks), strict=True)
    drawn = {(entry["name"], entry["response"]): place for entry, place in places}
    place = drawn.get((task, response))
    return f"{slug}-{place}-contrasts" if place else ""
