"""What a reader must know of a study whose seeds were added look by look."""

from collections.abc import Sequence
from typing import Any

from report.effects import EQUAL, LOWERS, RAISES, SAME, UNRESOLVED, UNTESTED
from report.numbers import counted, listed
from report.schema import is_number
from report.sequential import equal_within_of, rule_of
from report.tables import Results, StudyResults
from report.views import TaskView

METHODS = """\
Sequential seeds. A study that adds seeds until every contrast is resolved shares its error of 5% \
out among its looks beforehand: by a look with n of at most N seeds (n/N)² of it is spent (Kim and \
DeMets 1987), and the shares of all looks are added up (Bonferroni). A look has intervals at \
1 − .05 share/m, divides its adjusted p values by the share, and holds wherever the study ended \
(Jennison and Turnbull 1989). Intervals of single means, and of what a pair of levels adds to both \
main effects, are at the level they name. Where the study stated a margin, "practically equal" is \
said of an interval that lies inside it."""


def sequential_note(results: StudyResults, views: Sequence[TaskView]) -> str:
    """How many looks were taken, at which level this one speaks, and what it left open."""
    rule = rule_of(results)
    if not rule:
        return ""
    looks, seeds = rule.get("looks"), results.study.get("seeds")
    at = isinstance(looks, list) and seeds in looks
    look = f"look {looks.index(seeds) + 1} of {len(looks)}, " if at and looks else ""
    most = rule["max"] if is_number(rule.get("max")) else "?"
    margin = equal_within_of(results)
    told = "; ".join(f"on {view.name} {_standing(view, margin)}" for view in views)
    return (
        f"Seeds are added look by look until every contrast is resolved ({look}{seeds} of at most "
        f"{most} seeds). At this look, {told}. Looking early is paid for: this look may "
        f"spend {rule['share']:.2g} of the error of 5%, in every interval of a difference from the "
        "baseline, every adjusted p and every claim."
    )


def _standing(view: TaskView, margin: float) -> str:
    """`2 are apart from the baseline and 1 is open, of 3 contrasts`: how they were resolved."""
    words = view.contrasts["word"].tolist()
    counts = {
        "apart from the baseline": words.count(RAISES) + words.count(LOWERS),
        f"practically equal to it (within ±{margin:g})": words.count(EQUAL),
        "the same on every seed": words.count(SAME),
        "open": words.count(UNRESOLVED) + words.count(UNTESTED),
    }
    parts = [f"{n} {'is' if n == 1 else 'are'} {what}" for what, n in counts.items() if n]
    return f"{listed(parts)}, of {counted(len(words), 'contrast')}"


def sequential_methods(results: Results) -> tuple[str, ...]:
    """How sequential seeds were paid for, if any study has them."""
    entries: list[dict[str, Any]] = [rule_of(study) for study in results.studies]
    return (METHODS,) if any(entries) else ()
