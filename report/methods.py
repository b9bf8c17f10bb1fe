"""How the numbers were made, and from what: short, honest and by name of the source."""

from report.document import Section, Table, Text
from report.numbers import counted, listed
from report.sequential_words import sequential_methods
from report.tables import Results

SOURCES = """\
Seeds. A trial is one cell trained once from one seed. A seed changes the data, their split, the \
initial weights and the order of examples together (Bouthillier et al. 2021), and never depends \
on the treatment: cells compared with each other saw the same data. Initial weights are shared \
only where shapes agree.
Learning rates. Where a study tunes, every cell tries the same number of rates and takes the one \
with the best mean validation loss over the tuning seeds, a diverged trial being worst; the \
comparison is then made on fresh seeds only. A best rate at the edge of the grid is flagged. \
(Choi et al. 2019: a ranking of optimizers is one of tuning protocols.)
What tuning bought is the expected best of b rates drawn with replacement, the sum over i of \
v_(i) [(i/B)^b − ((i−1)/B)^b] (Dodge et al. 2019). An optimizer that contains another (momentum \
and Nesterov contain SGD, Adam contains momentum, AdamW Adam) and yet is worse beyond its \
interval is named: its settings were measured, not its rule.
Test data are read once, at the last step, or with early stopping at the best validation step.
Intervals of means and of paired differences are Student t over seeds; a percentile bootstrap of \
five seeds would cover 82 to 85% where it says 95%.
Words. "Raises", "lowers", "above" and "below" need a Holm-adjusted paired t p of at most .05 \
within the family (one study, one task, one response) and an interval at 1 − .05/m that does not \
reach zero. Everything else is reported as not distinguishable, with the smallest difference that \
this many seeds finds with power .8; where that exceeds what matters (the margin of the study's \
claim, or else 2 percentage points of accuracy or 0.05 of R²) the sentence says underpowered. The \
lead over the runner-up is exploratory, Bonferroni over all rivals.
Sign-flip p values are exact over all 2ⁿ flips up to 16 seeds; n = 5 cannot reach .05. A \
difference that is the same on every seed has no spread, so no t interval and no t test: it is \
shown without an interval, its p is the sign flips' floor 2/2ⁿ, and no direction is claimed.
Claims have a margin of their own, which stands in the study, and the same care: an \
advantage is a paired difference, its interval at 1 − .05/m over the study's claims on one task \
and response. The same on every seed, it has no interval and counts only where 2/2ⁿ is at most \
.05/m.
Diverged trials are data: each counts as the worse of the constant predictor and the worst \
finished trial of its task; a cell of which every trial diverged is never called the best. Failed \
and missing trials are counted, never imputed; a grid with \
such holes gets no analysis of variance.
Crossed studies are decomposed with the seed as block; shares of variance are corrected for noise, \
(SS − df MS error) / total, and reported for factors, not as contrasts of a hundred cells. A grid \
that allows no such decomposition is reported cell by cell; of more than 30 contrasts those that \
depart from the baseline in one factor are shown, and the best cell, all of them being one family.
Across tasks, scores are normalised, (y − chance) / (reference − chance), with an accuracy or an \
R² of 1 as the reference, whatever was reached; the interquartile mean of at least 30 of them \
has a bootstrap interval, seeds resampled within each task (Agarwal et al. 2021). Ranks over \
tasks, their agreement (Friedman in the form of Iman and Davenport) and Nemenyi's critical \
difference are shown and decide nothing: their n is the number of tasks, which a study chooses. \
In a race to a target a trial that never arrives has taken infinitely long, and beyond four \
times the fastest nothing counts (AlgoPerf).
A claim about cost is judged by the median ratio of seconds in the same round and its interval, \
and only beyond what the machine differs from itself.
Times are medians with order-statistic intervals; ratios are medians over samples paired by \
round. An A/A pair, the same workload timed twice, gives the noise floor of the machine.
"""


def methods_section(results: Results) -> Section:
    """The rules that the words and intervals of this report follow."""
    rules = (*SOURCES.splitlines(), *mixed_methods(results), *sequential_methods(results))
    return Section(anchor="methods", title="Methods", blocks=(Text(paragraphs=rules),))


def mixed_methods(results: Results) -> tuple[str, ...]:
    """Which studies were not computed in float32 throughout."""
    names = [str(s.study["name"]) for s in results.studies if s.study.get("dtype") == "bfloat16"]
    if not names:
        return ()
    return (
        f"Mixed precision. In the training steps of {listed(names)}, matrix products and "
        "convolutions take and give bfloat16 numbers, as under torch's autocast; parameters, "
        "gradients, losses and evaluations are float32.",
    )


def provenance_section(results: Results) -> Section:
    """Machine, software, command and files."""
    machine = results.machine
    rows = [
        (str(key), _value(machine[key]))
        for key in sorted(machine)
        if key not in ("studies", "schema") and machine[key] not in (None, {}, [])
    ]
    studies = tuple(
        (
            str(s.study["name"]),
            str(s.study["design"]),
            listed([str(task["name"]) for task in s.study["tasks"]]),
            str(len([c for c in s.study["cells"] if not c.get("same_as")])),
            f"{len(s.study['trials']):,}",
            str(s.study.get("seeds", "")),
            _seconds(machine, str(s.study["name"])),
        )
        for s in results.studies
    )
    header = ("study", "design", "tasks", "cells", "trials", "seeds", "seconds")
    return Section(
        anchor="provenance",
        title="Provenance",
        blocks=(
            Text(
                paragraphs=(
                    "Every number here is computed from the CSV files and study.json of the "
                    "results folder, which hold raw values only: trials.csv one row per trial, "
                    "curves.csv one row per trial and evaluation, timings.csv one row per sample. "
                    f"This report covers {counted(len(results.studies), 'study', 'studies')}.",
                )
            ),
            Table(
                caption="Studies",
                header=header,
                rows=studies,
                numeric=frozenset(header[3:]),
            ),
            Table(caption="Machine and software", header=("what", "value"), rows=tuple(rows)),
        ),
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _seconds(machine: dict[str, object], study: str) -> str:
    known = machine.get("studies")
    entry = known.get(study) if isinstance(known, dict) else None
    seconds = entry.get("seconds") if isinstance(entry, dict) else None
    return f"{seconds:.0f}" if isinstance(seconds, int | float) else ""
