"""Textbook claims on trial: every sentence of the studies, its verdict and one picture each."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

from report.anchors import contrasts_picture, slugs, study_slugs
from report.claim_pictures import picture_words, pictures_of
from report.claim_words import numbers_of, particulars, refutation
from report.claims import Judgement, judge
from report.document import (
    Answer,
    Ballot,
    BallotGroup,
    Block,
    Finding,
    Ruling,
    Section,
    Text,
    Trial,
)
from report.escaping import LONGEST_CELL, visible
from report.numbers import counted, listed
from report.prose import MOST_SEEDS
from report.tables import StudyResults
from report.verdicts import CONTRADICTED, SUPPORTED, UNRESOLVED, UNTESTED, VERDICTS

TONES = {SUPPORTED: "yes", CONTRADICTED: "no", UNRESOLVED: "open", UNTESTED: "open"}
SIGNS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNRESOLVED: "?", UNTESTED: "–"}
PLAIN_NAME = re.compile(r"\w[\w .+-]{0,99}", re.ASCII)  # that no shell and no make takes for more
FAMILY = re.compile(r"([A-Za-z]{1,8})(\d{1,6})([a-z]{0,3})")  # C2 of C2a
HOW = (
    "Each sentence stands in its study with a margin; where a design was changed after a first "
    "run, the study says so. It is supported when the interval of its advantage lies above that "
    "margin, contradicted when the interval lies below it, and unresolved when it does neither; a "
    "sentence that claims equality is supported inside its margin and contradicted outside. The "
    "advantage is better minus worse, for a loss worse minus better, paired by seed; a trend is "
    "the slope from level to level, fitted to each seed. Intervals are Student t at 1 − .05/m, m "
    "being the study's claims on the same task and response. A claim about cost compares seconds: "
    "the median ratio over samples of the same round, its interval from order statistics, and "
    "nothing is concluded from what is nearer to 1 than the machine is to itself. “make ablations "
    "report STUDY=name” repeats the study of a claim."
)
PICTURES = (
    "In the pictures each dot is a seed, joined where it is the same one, and a bar the mean; on "
    "the right is their difference with its interval, and shaded what the sentence claims."
)


@dataclass(frozen=True, slots=True)
class Tried:
    """One claim of one study with its judgements, one for each task that it is about."""

    results: StudyResults
    slug: str  # of the study
    judgements: tuple[Judgement, ...]
    label: str  # its id, or the name of its study
    family: str  # C2 of C2a; of a claim without such an id, its study


def claims_section(studies: Sequence[StudyResults]) -> tuple[Section | None, list[Finding]]:
    """The section on claims, and the verdicts among the findings; nothing without claims."""
    tried = sorted(_all_tried(studies), key=_place)
    judged = [judgement for each in tried for judgement in each.judgements]
    if not judged:
        return None, []
    anchors = [f"claim-{name}" for name in slugs(each.label for each in tried)]
    trials = [_trial(each, anchor) for each, anchor in zip(tried, anchors, strict=True)]
    section = Section(
        anchor="claims",
        title="Textbook claims on trial",
        question="How do sentences that everyone repeats fare on these tasks?",
        blocks=(
            Answer(sentences=(tally(judged), *open_sentences(judged))),
            _ballot(tried, trials),
            Text(paragraphs=(HOW, PICTURES)),
            *_linked(trials),
        ),
    )
    return section, [_finding(judged)]


def _all_tried(studies: Sequence[StudyResults]) -> list[Tried]:
    found = []
    for results, slug in zip(studies, study_slugs(studies), strict=True):
        judged = judge(results)
        for claim in results.study["claims"]:
            mine = tuple(judgement for judgement in judged if judgement.claim is claim)
            if mine:
                own = str(claim.get("id") or "")
                match = FAMILY.fullmatch(own)
                study = str(results.study["name"])
                family = f"{match[1]}{match[2]}" if match else study
                found.append(Tried(results, slug, mine, own or study, family))
    return found


def _place(tried: Tried) -> tuple[bool, str, int, str]:
    """Families in the order of their numbers, then what has none in the order of the studies."""
    match = FAMILY.fullmatch(tried.label)
    return (False, match[1], int(match[2]), match[3]) if match else (True, "", 0, "")


def tally(judged: Sequence[Judgement]) -> str:
    """How many claims came out how; a claim about several tasks counts on each."""
    counts = [(sum(j.verdict == word for j in judged), word) for word in VERDICTS]
    told = listed([f"{count} {word}" for count, word in counts if count])
    distinct = {(j.study, json.dumps(j.claim, sort_keys=True, default=str)) for j in judged}
    several = len(distinct) < len(judged)
    each = ", one about several tasks counting on each," if several else ","
    return f"Of {counted(len(judged), 'claim')}{each} {told}."


def open_sentences(judged: Sequence[Judgement]) -> list[str]:
    """Which claims are unresolved, each with the seeds that would resolve it."""
    named = [
        f"{_name(j)} on {j.task} ({_would_take(j)})" for j in judged if j.verdict == UNRESOLVED
    ]
    return [f"Unresolved: {listed(named)}."] if named else []


def _would_take(judgement: Judgement) -> str:
    if judgement.seconds is not None:
        return "a claim on time, which more samples or a quieter machine would narrow"
    needed, estimate = judgement.decision.seeds_needed, judgement.decision.estimate
    trained = f", {estimate.n} were trained" if estimate else ""
    if isnan(needed):
        return f"how many seeds would decide cannot be told{trained}"
    if needed > MOST_SEEDS:
        return f"too near its margin: more than {MOST_SEEDS:,} seeds would be needed{trained}"
    return f"about {needed:,.0f} seeds would decide with power .8{trained}"


def _name(judgement: Judgement) -> str:
    own = str(judgement.claim.get("id") or "")
    return visible(own or f"“{judgement.statement}”", LONGEST_CELL)


def _finding(judged: Sequence[Judgement]) -> Finding:
    """The tally, and each contradicted sentence with its numbers."""
    against = [j for j in judged if j.verdict == CONTRADICTED]
    lines = [
        f"Contradicted: “{visible(j.statement, LONGEST_CELL)}.” {numbers_of(j)}" for j in against
    ]
    return Finding(topic="claims", lines=(tally(judged), *lines), is_answer=True, of_all=True)


def _trial(tried: Tried, anchor: str) -> Trial:
    first = tried.judgements[0]
    own = str(first.claim.get("id") or "")
    facts = {
        "Because": str(first.claim.get("because") or ""),
        "Contradicted by": str(first.claim.get("refuted_by") or refutation(first)),
        "Study": str(tried.results.study["name"]),
    }
    return Trial(
        anchor=anchor,
        label=own,
        statement=first.statement,
        rulings=tuple(_ruling(tried, judgement) for judgement in tried.judgements),
        facts=tuple((name, value) for name, value in facts.items() if value),
        command=command(tried.results),
    )


def _ruling(tried: Tried, judgement: Judgement) -> Ruling:
    return Ruling(
        word=judgement.verdict,
        tone=TONES[judgement.verdict],
        sign=SIGNS[judgement.verdict],
        text=numbers_of(judgement),
        note=particulars(judgement),
        drawings=pictures_of(judgement),
        drawn=picture_words(judgement),
        figure=_figure(tried.results, tried.slug, judgement),
    )


def _ballot(tried: Sequence[Tried], trials: Sequence[Trial]) -> Ballot:
    """All claims by family; those without a number by their study."""
    groups: dict[str, list[Trial]] = {}
    for each, trial in zip(tried, trials, strict=True):
        groups.setdefault(each.family, []).append(trial)
    return Ballot(
        caption="Claims and verdicts",
        groups=tuple(BallotGroup(name, tuple(mine)) for name, mine in groups.items()),
    )


def _linked(trials: Sequence[Trial]) -> tuple[Block, ...]:
    """Each trial with the one before it and the one after it."""
    names = ["", *(trial.anchor for trial in trials), ""]
    return tuple(
        replace(trial, before=names[place], after=names[place + 2])
        for place, trial in enumerate(trials)
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
