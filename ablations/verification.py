"""Are the results what the code computes? Re-train a sample, and compare folders."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ablations.design import DesignError, Study
from ablations.records import canonical_json, collect, is_done
from ablations.running import at_their_looks, decided_stacks, find, render_outdated
from ablations.training import train


def verify(studies: Sequence[Study], results: Path, device: str, sample: int) -> list[str]:
    """Problems found: CSV files that are not what the records say, records that do not repeat."""
    found = find(studies, results, device)
    problems = []
    for study in at_their_looks(found, studies):
        each = found[study.name]
        pairs = [(stack, each.read(stack)) for stack in decided_stacks(found, study)]
        done = [(stack, payload) for stack, payload in pairs if payload is not None]
        if not done:
            problems += render_outdated(found, [study]) or [
                f"{study.name}: no records in {each.folder}; run it first"
            ]
            continue
        with tempfile.TemporaryDirectory() as scratch:
            collect(Path(scratch), [(s, each.key(s), p) for s, p in done])
            problems += [
                f"{file}: differs from the records; delete it and run again"
                for fresh in sorted(Path(scratch).glob("*.csv"))
                if not (file := each.folder / fresh.name).exists()
                or file.read_bytes() != fresh.read_bytes()
            ]
        whole = [(stack, payload) for stack, payload in done if is_done(payload)]
        for stack, payload in random.Random(0).sample(whole, min(sample, len(whole))):
            again = train(stack, device=device).sealed()
            if canonical_json(again) != canonical_json(payload["outcome"]):
                problems.append(f"{stack.members[0].name} and its stack do not repeat on {device}")
        problems += each.damaged
    return problems


def differences(a: Path, b: Path) -> list[str]:
    """One line per trial or number that differs between two results folders."""
    lines = []
    studies_a, studies_b = _studies(a), _studies(b)
    for name in sorted(studies_a | studies_b):
        if name not in studies_a & studies_b:
            lines.append(f"{name}: only in {a if name in studies_a else b}")
            continue
        left, right = (_trials(folder / name) for folder in (a, b))
        for trial in left.index.symmetric_difference(right.index):
            lines.append(f"{name}: {trial} only in {a if trial in left.index else b}")
        both = left.index.intersection(right.index)
        for column in left.columns.intersection(right.columns).difference(["stack"]):
            x, y = left.loc[both, column], right.loc[both, column]
            for trial in both[((x != y) & ~(x.isna() & y.isna())).to_numpy()]:
                lines.append(f"{name}: {trial} {column}: {x[trial]} and {y[trial]}")
    return lines


def _studies(folder: Path) -> set[str]:
    names = {path.parent.name for path in folder.glob("*/trials.csv")}
    if not names:
        raise DesignError(f"{folder} holds no results; give a folder such as results/standard")
    return names


def _trials(folder: Path) -> pd.DataFrame:
    path = folder / "trials.csv"
    try:
        frame: pd.DataFrame = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise DesignError(f"{path}: is damaged ({error}); delete it and run again") from None
    if "trial" not in frame or frame["trial"].duplicated().any():
        raise DesignError(f"{path}: does not name each trial once; delete it and run again")
    return frame.set_index("trial")
