"""Studies whose seeds were added until every contrast was resolved: at which level they speak.

Who looks repeatedly finds differences that are not there, so such a study shares the error of 5%
out among its looks before the first run, and the look it ended with may spend its own share only:
intervals are at 1 - alpha share / m, and p values are held against alpha share. The shares of all
looks add up to 1, so whatever a look says is wrong in at most 5% of studies, whatever made the
study end there (Boole; the shares: Kim and DeMets 1987).
"""

from typing import Any

import numpy as np

from report.estimates import Floats
from report.schema import TableError, is_number
from report.tables import StudyResults


def rule_of(results: StudyResults) -> dict[str, Any]:
    """The rule by which seeds were added; empty where their number was fixed.

    Errors:
        TableError: study.json does not say what share of the error this look may spend.
    """
    rule = results.study.get("sequential")
    if rule is None:
        return {}
    share = rule.get("share") if isinstance(rule, dict) else None
    if not is_number(share) or not 0 < share <= 1:
        raise TableError(
            f"{results.study['name']}: 'sequential' of study.json needs a share of the error above "
            f"0 and at most 1, got {share!r:.40}; run `python -m ablations run` again to write it"
        )
    return dict(rule)


def share_of(results: StudyResults) -> float:
    """The share of the error that this look may spend; 1 where seeds are fixed."""
    return float(rule_of(results).get("share", 1.0))


def equal_within_of(results: StudyResults) -> float:
    """The margin inside which the rule calls a contrast resolved as equal; NaN for none.

    In the unit of the response.
    """
    margin = rule_of(results).get("equal_within")
    return float(margin) if is_number(margin) and margin > 0 else float("nan")


def at_share(p: Floats, share: float) -> Floats:
    """P values as they are held against alpha: at a share of the error each counts for more."""
    return np.minimum(np.asarray(p, float) / share, 1.0)
