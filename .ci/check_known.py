"""Do the known results come out? Tolerance: 3 sqrt(sd_published^2 + sd_measured^2 / n)."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from statistics import mean, stdev

import pandas as pd


def main(results: Path) -> None:
    """Print published against measured, and fail when one leaves its tolerance."""
    outside = []
    for file in sorted(results.glob("*/study.json")):
        study = json.loads(file.read_text())
        trials = pd.read_csv(file.with_name("trials.csv"), dtype={"activation": str, "depth": str})
        for known in study["published"]:
            chosen = trials[trials["stage"] == "final"]
            for factor, level in known["cell"].items():
                chosen = chosen[chosen[factor].astype(str) == str(level)]
            measured = chosen[known["response"]]
            spread = measured.std()
            # a publication of one run borrows our spread
            published = known["values"]
            own = max(stdev(published), spread) if len(published) > 1 else spread
            tolerance = 3 * math.sqrt(own**2 + spread**2 / len(measured))
            off = measured.mean() - mean(published)
            verdict = "within" if abs(off) <= tolerance else "OUTSIDE"
            print(
                f"{known['id']:4} {known['response']:15} published {mean(published):.4f}, measured "
                f"{measured.mean():.4f} +- {spread:.4f} (n = {len(measured)}), "
                f"tolerance {tolerance:.4f}: {verdict}"
            )
            if verdict == "OUTSIDE":
                outside.append(known["id"])
        if study["name"] == "mnist-mlp":
            accuracy = trials[trials["depth"] == "1"]["test_accuracy"].mean()
            print(f"MNIST, one hidden layer of 128: test accuracy {accuracy:.4f}")
            if accuracy <= 0.96:
                outside.append("mnist-mlp")
    if outside:
        sys.exit(f"outside tolerance: {', '.join(outside)}")


main(Path(sys.argv[1]))
