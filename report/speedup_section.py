"""Stacks against a notebook, joblib, vmap and JAX: ratios, and how near to the machine's limit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from report.document import Answer, Block, Finding, Section, Table, Text
from report.escaping import visible
from report.estimates import Estimate
from report.frames import records
from report.numbers import capitalised, counted, number
from report.speedups import profiles, ratios, sampled, shares
from report.time_words import ratio_texts

WAYS = {
    "notebook": "a notebook's loop",
    "joblib": "that loop under joblib, all cores",
    "vmap": "torch.func vmap",
    "jax": "JAX, jit(vmap(scan))",
}
LIMITING = 0.5  # share of the time from which a rate of the machine is what bounds


def speedup_section(
    speedup: pd.DataFrame, notes: Mapping[str, Any]
) -> tuple[Section | None, list[Finding]]:
    """The section where speedup.csv is there, and the smallest lead over the notebook loop."""
    if speedup.empty:
        return None, []
    whole = sampled(speedup, notes)
    speedup = speedup[~speedup["case"].isin(list(profiles(notes)))]
    found = ratios(speedup)
    place = {way: number for number, way in enumerate(WAYS)}
    cases = list(dict.fromkeys(found["case"]))
    order = [
        (cases.index(case), place.get(str(way), len(place)))
        for case, way in zip(found["case"], found["way"], strict=True)
    ]
    found = found.iloc[sorted(range(len(order)), key=order.__getitem__)]
    reached = shares(speedup, notes)
    blocks: list[Block] = []
    if len(reached):
        blocks.append(Answer(sentences=tuple(limit_sentence(row) for row in records(reached))))
    if len(whole):
        lines = tuple(profile_sentence(row) for row in records(whole))
        blocks.append(Answer(sentences=lines))
    if len(found):
        blocks += [Text(paragraphs=(_how(speedup),)), ratio_table(found)]
    missing = left_out(notes)
    blocks += [Text(paragraphs=missing)] if missing else []
    blocks += [share_table(reached)] if len(reached) else []
    section = Section(
        anchor="throughput-speedup",
        title="Stacks against training one by one",
        question="How much faster are many trials trained as one, and what bounds the rest?",
        blocks=tuple(blocks),
    )
    return section, _findings(found)


def _how(speedup: pd.DataFrame) -> str:
    each = speedup.groupby("case", sort=False)["round"].nunique()
    fewest, most = int(each.min()), int(each.max())
    rounds = counted(most, "round") if fewest == most else f"{fewest} to {most} rounds"
    return (
        "The same trials by the function that “make ablations” calls, evaluations and records on, "
        "and as others would train them, from the same weights on the same minibatches; slow ways "
        f"train a few trials and are scaled per trial. {capitalised(rounds)}, interleaved in "
        "random order; ratios are of seconds per trial within a round."
    )


def profile_sentence(row: Mapping[str, Any]) -> str:
    """What a whole profile takes, and would take in a notebook."""
    value, interval = ratio_texts(
        Estimate(row["value"], row["low"], row["high"], int(row["sampled"]), "")
    )
    return (
        f"The {visible(row['case'])} of the core group would take a notebook's loop "
        f"{number(row['notebook'] / 60, 0)} minutes and takes the stacks on "
        f"{counted(int(row['cores']), 'core')} {number(row['stacked'], 0)} s of training, "
        f"{value} times less (95% t interval {interval}; {int(row['sampled'])} of "
        f"{int(row['stacks'])} stacks sampled by study, task and stage, two trials of each in the "
        "loop)."
    )


def left_out(notes: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each way that failed, with its reason."""
    cases = notes.get("cases")
    return tuple(
        f"{visible(case)}: {WAYS.get(way, visible(way))} failed and is left out ({visible(why)})."
        for case, note in (cases if isinstance(cases, dict) else {}).items()
        if isinstance(note, dict)
        for way, why in dict(note.get("left_out", {})).items()
    )


def ratio_table(found: pd.DataFrame) -> Table:
    """Times faster, per case and way."""
    header = (
        *("case", "against", "times faster", "95% interval"),
        *("compiling included", "95% interval ", "rounds", "method"),
    )
    rows = []
    for row in records(found):
        plain = ratio_texts(Estimate(row["value"], row["low"], row["high"], row["n"], ""))
        whole = ("", "")
        if np.isfinite(row["with_value"]):
            bounds = (row["with_value"], row["with_low"], row["with_high"])
            whole = ratio_texts(Estimate(*bounds, row["n"], ""))
        way = WAYS.get(str(row["way"]), str(row["way"]))
        rows.append(
            (str(row["case"]), way, *plain, *whole, str(int(row["n"])), str(row["interval"]))
        )
    return Table(
        caption="How many times faster the stacks train a trial",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[2:7]),
        note=(
            "95% t: geometric mean of the ratios with a Student t interval of their logarithms; "
            "order statistics: their median, from six rounds on. Below 1 the stacks are slower."
        ),
    )


def share_table(reached: pd.DataFrame) -> Table:
    """What the stacks reach of the measured rates."""
    header = (
        *("case", "trials", "seconds", "Gflop/s", "sgemm Gflop/s", "share of sgemm"),
        *("GB/s", "copy GB/s", "share of copy", "evaluations"),
    )
    rows = [
        (
            str(row["case"]),
            str(row["trials"]),
            number(row["seconds"], 2),
            number(row["gflops"], 1),
            f"{number(row['peak'], 0)} ({row['library']})",
            percent(row["arithmetic"]),
            number(row["gigabytes"], 1),
            number(row["bandwidth"], 1),
            percent(row["traffic"]),
            percent(row["evaluation"]),
        )
        for row in records(reached)
    ]
    size, on_cpu = int(reached["size"].iloc[0]), bool((reached["device"] == "cpu").all())
    sgemm, copied = f"{size} × {size} matrices in float32 by torch on the GPU", "on the GPU"
    if on_cpu:
        sgemm = (
            f"{size} × {size} matrices in float32 by the faster of numpy and torch, one thread "
            "times the cores"
        )
        copied = "by one core"
    return Table(
        caption="What the stacks reach of the machine",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        note=(
            "Gflop/s: multiplications and additions of the training steps, counted from the shapes "
            "(forward, gradients of weights, and of the inputs of all layers but the first), over "
            f"the median seconds of all trials; sgemm: {sgemm}. GB/s: weights, gradients, "
            "moments and activations as if no cache kept them, so a share above 100% says that "
            f"caches do; copy: 256 MiB {copied}, read and written. Evaluations: the share of the "
            "time that their multiplications would take at the sgemm rate, not counted before."
        ),
    )


def percent(share: float) -> str:
    """A share with two digits."""
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"


def limit_sentence(row: Mapping[str, Any]) -> str:
    """What bounds the training of one case, as far as two rates can say."""
    where = "the GPU" if row["device"] != "cpu" else counted(int(row["cores"]), "core")
    start = (
        f"{visible(row['case'])}: the stacks reach {number(row['gflops'], 1)} Gflop/s, "
        f"{percent(row['arithmetic'])} of what {row['library']} multiplies on {where}"
    )
    traffic = row["traffic"]
    moved = f"{percent(traffic)} of a large copy's rate"
    if row["arithmetic"] >= LIMITING:
        return f"{start}: large matrix products would be hardly faster, arithmetic bounds it."
    if row["compiled"]:
        return (
            f"{start}. Each trial takes its steps by itself, so that its weights and activations "
            "stay in the cache of a core: small matrices, elementwise work and evaluations bound "
            "the rest."
        )
    if traffic >= 1:
        return (
            f"{start}, and move weights and activations at {moved}, which only caches allow: the "
            "rest is bound by passes over activations and weights, not by multiplications."
        )
    if traffic >= LIMITING:
        return f"{start}, and move memory at {moved}, which bounds it."
    return (
        f"{start}, and move memory at {moved}: neither rate bounds it, but small matrices, "
        "elementwise work and the overhead of calls do."
    )


def _findings(found: pd.DataFrame) -> list[Finding]:
    """The smallest lead over the notebook's loop among those whose interval lies above 1."""
    every = found[found["way"] == "notebook"]
    known = every[every["low"] > 1]
    if known.empty:
        return []
    row = records(known.nsmallest(1, "value"))[0]
    value, interval = ratio_texts(Estimate(row["value"], row["low"], row["high"], row["n"], ""))
    text = (
        f"Stacks train a trial {value} times as fast as a notebook's loop on "
        f"{visible(row['case'])} ({row['interval']} interval {interval}, n = {int(row['n'])} "
        f"rounds): the smallest lead of the {len(known)} of {counted(len(every), 'case')} in which "
        "there is one beyond doubt."
    )
    return [Finding(topic="speed of training", lines=(text,))]
