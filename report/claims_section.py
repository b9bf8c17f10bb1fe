"""Claims on trial: every sentence of the studies with its verdict and the numbers behind it."""

import re
import shlex
from collections.abc import Sequence
from math import isfinite

from report.anchors import contrasts_picture, study_slugs
from report.claims import Judgement, judge
from report.document import Answer, Finding, Ruling, Section, Text, Trial
from report.escaping import LONGEST_CELL, visible
from report.estimates import Estimate
from report.numbers import (
    Scale,
    capitalised,
    counted,
    decimals,
    listed,
    margin,
    number,
    scale_of,
    scaled,
)
from report.prose import difference_phrase
from report.tables import StudyResults
from report.verdicts import CONTRADICTED, SUPPORTED, UNRESOLVED, UNTESTED, VERDICTS

TONES = {SUPPORTED: "yes", CONTRADICTED: "no", UNRESOLVED: "open", UNTESTED: "open"}
PLAIN_NAME = re.compile(r"\w[\w .+-]{0,99}", re.ASCII)  # that no shell and no make takes for more
HOW = (
    "Each sentence was written into its study, with a margin, before the first run. It is "
    "supported when the interval of its advantage lies above that margin, contradicted when the "
    "interval lies below it, and unresolved when it does neither; a sentence that claims equality "
    "is supported inside its margin and contradicted outside. The advantage is better minus worse, "
    "for a loss worse minus better, paired by seed; a trend is the slope from level to level, "
    "fitted to each seed. Intervals are Student t at 1 − .05/m, m being the study's claims on the "
    "same task and response."
)


def claims_section(studies: Sequence[StudyResults]) -> tuple[Section | None, list[Finding]]:
    """The section on claims, and the verdicts among the findings; nothing without claims."""
    blocks: list[Trial] = []
    judged: list[Judgement] = []
    for results, slug in zip(studies, study_slugs(studies), strict=True):
        found = judge(results)
        judged += found
        for claim in results.study["claims"]:
            mine = [judgement for judgement in found if judgement.claim is claim]
            if mine:
                blocks.append(_trial(results, slug, mine))
    if not judged:
        return None, []
    section = Section(
        anchor="claims",
        title="Claims on trial",
        question="How do sentences that everyone repeats fare on these tasks?",
        blocks=(Answer(sentences=(tally(judged),)), Text(paragraphs=(HOW,)), *blocks),
    )
    return section, [_finding(judged)]


def tally(judged: Sequence[Judgement]) -> str:
    """How many claims came out how; a claim about several tasks counts on each."""
    counts = [(sum(j.verdict == word for j in judged), word) for word in VERDICTS]
    told = listed([f"{count} {word}" for count, word in counts if count])
    several = any(not judgement.claim.get("task") for judgement in judged)
    each = ", one about several tasks counting on each," if several else ","
    return f"Of {counted(len(judged), 'claim')}{each} {told}."


def _finding(judged: Sequence[Judgement]) -> Finding:
    """The tally, and each contradicted sentence with its numbers."""
    against = [j for j in judged if j.verdict == CONTRADICTED]
    lines = [
        f"Contradicted: “{visible(j.statement, LONGEST_CELL)}” {numbers_of(j)}" for j in against
    ]
    return Finding(topic="claims", lines=(tally(judged), *lines), is_answer=True)


def _trial(results: StudyResults, slug: str, judgements: Sequence[Judgement]) -> Trial:
    claim = judgements[0].claim
    facts = {
        "Study": str(results.study["name"]) + (f", {claim['id']}" if claim.get("id") else ""),
        "Because": str(claim.get("because") or ""),
        "Contradicted by": str(claim.get("refuted_by") or refutation(judgements[0])),
    }
    return Trial(
        statement=judgements[0].statement,
        rulings=tuple(
            Ruling(
                word=j.verdict,
                tone=TONES[j.verdict],
                text=f"{numbers_of(j)} {particulars(j)}".strip(),
                figure=_figure(results, slug, j),
            )
            for j in judgements
        ),
        facts=tuple((name, value) for name, value in facts.items() if value),
        command=command(results),
    )


def _figure(results: StudyResults, slug: str, judgement: Judgement) -> str:
    """The figure of the contrasts, where the claim is about the response that it shows."""
    if judgement.verdict == UNTESTED:
        return ""
    return contrasts_picture(results, slug, judgement.task, judgement.response)


def command(results: StudyResults) -> str:
    """The command that repeats a study; none where its name could mean more to a shell."""
    name, profile = (str(results.study.get(key, "")) for key in ("name", "profile"))
    if not PLAIN_NAME.fullmatch(name):
        return ""
    chosen = f" PROFILE={profile}" if profile in ("quick", "full") else ""
    return f"make ablations report STUDY={shlex.quote(name)}{chosen}"


# Sentences


def numbers_of(judgement: Judgement) -> str:
    """What was measured, with interval and n, and what was claimed."""
    estimate = judgement.decision.estimate
    if estimate is None:
        reason = judgement.decision.reason
        return f"On {judgement.task}, not tested: {reason}{'' if reason.endswith('?') else '.'}"
    scale = scale_of(judgement.response)
    phrase = difference_phrase(scaled(estimate, scale.factor), scale)
    many = f", one of m = {judgement.m} claims here" if judgement.m > 1 else ""
    subject = f"On {judgement.task}, {_subject(judgement, scale)}"
    return f"{subject} {phrase}; claimed: {_claimed(judgement)}{many}."


def particulars(judgement: Judgement) -> str:
    """The means behind it, what keeps it unresolved, and what would resolve it."""
    decision = judgement.decision
    if decision.estimate is None:
        return ""
    parts = [f"Means: {_means(judgement, decision.estimate)}."]
    if judgement.reversals:
        turns = listed([f"{first} and {second}" for first, second in judgement.reversals])
        parts.append(f"The means turn back between {turns}.")
    if decision.reason:
        parts.append(f"{capitalised(decision.reason)}.")
    if decision.verdict == UNRESOLVED:
        parts.append(_seeds(decision.seeds_needed))
    if judgement.diverged:
        verb = "counts" if judgement.diverged == 1 else "count"
        parts.append(f"{counted(judgement.diverged, 'diverged trial')} {verb} as the worst.")
    return " ".join(parts)


def _subject(judgement: Judgement, scale: Scale) -> str:
    if judgement.is_trend:
        over = judgement.about.removeprefix("slope ")
        return f"the slope of {scale.name} {over}, in the direction claimed, is"
    what = "difference" if judgement.is_equality else "advantage"
    order = "" if scale.higher_is_better else " (lower is better)"
    return f"the {what} of {judgement.about} in {scale.name}{order} is"


def _claimed(judgement: Judgement) -> str:
    if judgement.is_equality:
        return f"no more than {_margin(judgement)} either way"
    each = " from level to level" if judgement.is_trend else ""
    return f"more than {_margin(judgement)}{each}"


def _margin(judgement: Judgement) -> str:
    """The margin with the digits it was written with."""
    scale = scale_of(judgement.response)
    amount = f"{scale.factor * judgement.margin:.10g}"
    unit = scale.difference.removesuffix("s") if amount == "1" else scale.difference
    return f"{amount} {unit}".strip() if judgement.margin else "zero"


def _means(judgement: Judgement, estimate: Estimate) -> str:
    scale = scale_of(judgement.response)
    digits = decimals([margin(scaled(estimate, scale.factor))], scale.most_decimals)
    told = [
        f"{name} ({number(scale.factor * mean, digits)}{scale.unit})"
        for name, mean in judgement.means
    ]
    return ", ".join(told)


def _seeds(needed: float) -> str:
    if not isfinite(needed):
        return "Not even a million seeds would resolve it: the difference lies at the margin."
    return f"To resolve it with power .8 would take about {needed:,.0f} seeds."


def refutation(judgement: Judgement) -> str:
    """What would have contradicted a claim, in the words of its margin."""
    if judgement.decision.estimate is None:
        return ""
    if judgement.is_equality:
        return f"a difference whose interval lies beyond {_margin(judgement)} on either side"
    what = "a slope" if judgement.is_trend else "an advantage"
    return f"{what} whose interval lies below {_margin(judgement)}"
