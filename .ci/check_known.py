"""Do the known results come out? Those of REQUIRED must be within their tolerance."""

from __future__ import annotations

import sys
from pathlib import Path

from report.published import OUTSIDE, WITHIN, known_results
from report.tables import read_results

REQUIRED = {"R1", "R2", "R4", "R5", "R10", "R11"}  # at the quick profile, too


def main(folder: Path) -> None:
    """Print published against measured, and fail when one leaves its tolerance."""
    studies = read_results(folder).studies
    known = [each for study in studies for each in known_results(study)]
    for each in known:
        name = f"{each.entry.get('id', ''):4} {each.response:15} published {each.values}"
        if each.measured is None or each.verdict not in (WITHIN, OUTSIDE):
            print(f"{name}: {each.verdict}, {each.reason}")
            continue
        print(
            f"{name}, measured {each.measured.value:.4f} +- {each.spread:.4f} "
            f"(n = {each.measured.n}), tolerance {each.tolerance:.4f}: {each.verdict}"
        )
    within = {str(each.entry.get("id")) for each in known if each.verdict == WITHIN}
    outside = {str(each.entry.get("id")) for each in known if each.verdict == OUTSIDE}
    if lost := sorted((REQUIRED - within) | outside):
        sys.exit(f"outside tolerance, or not measured: {', '.join(lost)}")
    for study in studies:
        if study.study["name"] == "mnist-mlp":
            accuracy = study.trials[study.trials["depth"] == "1"]["test_accuracy"].mean()
            print(f"MNIST, one hidden layer of 128: test accuracy {accuracy:.4f}")
            if not accuracy > 0.96:
                sys.exit("a hidden layer of 128 should reach 0.96 on MNIST")


main(Path(sys.argv[1]))
