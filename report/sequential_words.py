"""What a reader must know of a study whose seeds were added look by look."""

from collections.abc import Sequence
from typing import Any

from report.effects import SAME
from report.numbers import counted, listed
from report.schema import is_number
from report.sequential import rule_of
from report.tables import Results, StudyResults
from report.views import TaskView

METHODS = """\
Sequential seeds. A study that adds seeds until every contrast is resolved shares its error of 5% \
out among its looks beforehand: by a look with n of at most N seeds (n/N)² of it is spent (Kim and \
DeMets 1987), and the shares of all looks are added up (Bonferroni). A look has intervals at \
1 − .05 share/m, divides its adjusted p values by the share, and holds wherever the study ended \
(Jennison and Turnbull 1989). Intervals of single means are at the level they name."""


def sequential_note(results: StudyResults, views: Sequence[TaskView]) -> str:
    """How many looks were taken, at which level this one speaks, and what it left open."""
    rule = rule_of(results)
    if not rule:
        return ""
    looks, seeds = rule.get("looks"), results.study.get("seeds")
    at = isinstance(looks, list) and seeds in looks
    look = f"look {looks.index(seeds) + 1} of {len(looks)}, " if at and looks else ""
    most = rule["max"] if is_number(rule.get("max")) else "?"
    margin = float(rule["equal_within"]) if is_number(rule.get("equal_within")) else 0.0
    told = "; ".join(f"{view.name}: {_standing(view, margin)}" for view in views)
    return (
        f"Seeds were added look by look until every contrast is resolved ({look}{seeds} of at most "
        f"{most} seeds). They are, on {told}. Looking early is paid for: this look may "
        f"spend {rule['share']:.2g} of the error of 5%, in every interval of a difference from the "
        "baseline, every adjusted p and every claim."
    )


def _standing(view: TaskView, margin: float) -> str:
    """`2 apart from the baseline and 1 open, of 3`: how the contrasts of a task were resolved."""
    contrasts, within = view.contrasts, margin * view.scale.factor
    apart = contrasts["resolved"]
    alike = ~apart & (contrasts["low"] > -within) & (contrasts["high"] < within)
    same = ~apart & ~alike & (contrasts["word"] == SAME)
    counts = {
        "apart from the baseline": int(apart.sum()),
        f"within ±{margin:g} of it": int(alike.sum()),
        "the same on every seed": int(same.sum()),
        "open": int((~apart & ~alike & ~same).sum()),
    }
    parts = [f"{count} {words}" for words, count in counts.items() if count]
    return f"{listed(parts)}, of {counted(len(contrasts), 'contrast')}"


def sequential_methods(results: Results) -> tuple[str, ...]:
    """How sequential seeds were paid for, if any study has them."""
    entries: list[dict[str, Any]] = [rule_of(study) for study in results.studies]
    return (METHODS,) if any(entries) else ()
