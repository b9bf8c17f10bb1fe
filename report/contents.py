"""The whole report from a results folder: what was run, findings, studies, time, methods."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from report.anchors import study_slugs
from report.charts import explore_data
from report.claims_section import claims_section
from report.coverage import is_finished, study_sentence
from report.coverage_section import coverage_fact, coverage_section
from report.crossed_figures import factorial_of
from report.crossed_section import crossed_findings, crossed_section
from report.document import Finding, Interactive, Report, Section, Text
from report.failures import waiting
from report.leads import ranking_of
from report.methods import methods_section, provenance_section
from report.networks import networks_section
from report.numbers import counted, listed
from report.playground import playground_data
from report.published_section import published_section
from report.schema import FAILED
from report.shifts import in_processes
from report.study_findings import study_findings
from report.study_section import study_section, views_of
from report.tables import Results, StudyResults
from report.throughput_section import throughput_findings, throughput_section

MOST_FINDINGS = 12
TITLE = "What the ablations found"


def build_report(results: Results, processes: int = 1) -> Report:
    """Everything the reader sees, computed and drawn."""
    names = study_slugs(results.studies)
    covered = coverage_section(results.studies, names)
    sections: list[Section] = [covered] if covered else []
    findings: list[Finding] = []
    parts: list[partial[Any]] = [
        *(partial(_study_part, *each) for each in zip(results.studies, names, strict=True)),
        partial(claims_section, results.studies),
        partial(published_section, results.studies),
        partial(throughput_section, results),
        partial(interactive_part, results.studies),
    ]
    *made, interactive = in_processes(parts, processes)
    for section, found in made:
        sections += [section] if section else []
        findings += found
    networks = networks_section(results.studies)
    sections += [networks] if networks else []
    return Report(
        title=TITLE,
        notices=notices(results),
        subtitle=subtitle(results),
        facts=facts(results),
        findings=tuple(ranked(findings)) or (nothing_found(results),),
        sections=(*sections, methods_section(results), provenance_section(results)),
        interactive=interactive,
    )


def _study_part(study: StudyResults, slug: str) -> tuple[Section, list[Finding]]:
    make = crossed_section if is_crossed(study) else study_section
    section, found = make(study, slug)
    return section if is_finished(study) else unfinished(section, study), found


def interactive_part(studies: Sequence[StudyResults]) -> Interactive:
    """The data of the charts and of the playground."""
    return Interactive(explore=explore_data(studies), playground=playground_data(studies))


def all_findings(results: Results) -> list[Finding]:
    """What `build_report` ranks and cuts to the findings at the top, without drawing a figure."""
    found: list[Finding] = []
    for study, slug in zip(results.studies, study_slugs(results.studies), strict=True):
        views = views_of(study, slug)
        if is_crossed(study):
            found += crossed_findings(study, [factorial_of(view) for view in views])
        else:
            rankings = [ranking for view in views if (ranking := ranking_of(view)) is not None]
            found += study_findings(study, views, rankings)
    for make_whole in (claims_section, published_section):
        found += make_whole(results.studies)[1]
    return found + throughput_findings(results)


def unfinished(section: Section, results: StudyResults) -> Section:
    """The section of a study that is not finished, which says so before anything else."""
    said = Text(paragraphs=(study_sentence(results),))
    return replace(section, title=f"{section.title} (unfinished)", blocks=(said, *section.blocks))


def is_crossed(results: StudyResults) -> bool:
    """Whether factors and their interactions are reported instead of a hundred contrasts."""
    return "full" in results.study["design"] and len(results.study["factors"]) >= 3


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """At most twelve findings: every study's answer, then effects, both by effect over margin.

    The last place or two are kept for what could not be resolved, if there is any. Of more studies
    than places, what became of all claims and of all known results comes first.
    """
    by_weight = sorted(findings, key=lambda finding: -finding.weight)
    answers = [f for f in by_weight if f.is_answer]
    if len(answers) > MOST_FINDINGS:
        answers = sorted(answers, key=lambda finding: not finding.of_all)[:MOST_FINDINGS]
    warnings = [f for f in by_weight if f.is_warning][:2]
    room = max(0, MOST_FINDINGS - len(answers) - len(warnings))
    effects = [f for f in by_weight if not f.is_answer and not f.is_warning][:room]
    return [*answers, *effects, *warnings][:MOST_FINDINGS]


# What was run


def statuses(studies: Sequence[StudyResults]) -> dict[str, int]:
    """How many of the trials asked for ended how; `missing` left no row."""
    counts = {"expected": sum(len(s.study["trials"]) for s in studies)}
    for study in studies:
        for status, count in study.trials["status"].value_counts().items():
            counts[str(status)] = counts.get(str(status), 0) + int(count)
    counts["missing"] = counts["expected"] - sum(len(s.trials) for s in studies)
    return counts


def profiles(results: Results) -> list[str]:
    """The profiles that were run."""
    return list(dict.fromkeys(str(s.study.get("profile", "")) for s in results.studies))


def notices(results: Results) -> tuple[str, ...]:
    """What must be known before anything is read."""
    found = []
    if "quick" in profiles(results):
        found.append(
            "Smoke test: the quick profile shows that everything runs. Its few seeds and steps "
            "support no conclusion; “make ablations report” runs the standard profile."
        )
    counts = statuses(results.studies)
    lacking = [
        f"{counts[status]:,} {words}" for status, words in _LACKING.items() if counts.get(status, 0)
    ]
    if lacking:
        found.append(
            f"Incomplete: of {counted(counts['expected'], 'trial')}, {listed(lacking)}. "
            f"{_remedy(results, counts)}"
        )
    return tuple(found)


def _remedy(results: Results, counts: Mapping[str, int]) -> str:
    """What running again does: failed trials are tried again, and what waits for them starts."""
    failed = sum(counts.get(status, 0) for status in FAILED)
    waits = waiting(results.studies)
    if waits:
        return (
            f"{counted(waits, 'final trial')} cannot start, because a tuning trial that would "
            "choose the learning rate did not end; its reason stands in the study's section. "
            "Mend its cause; then “make ablations” tries it again and trains the final ones."
        )
    tries = "tries again what failed" if failed else ""
    trains = "trains what is missing" if counts["missing"] else ""
    return f"“make ablations” {listed([words for words in (trains, tries) if words])}."


def nothing_found(results: Results) -> Finding:
    """What is the case where there is nothing to find yet."""
    counts = statuses(results.studies)
    ended = counts["expected"] - counts["missing"]
    return Finding(
        topic="none yet",
        lines=(
            "No final trial has a response, so there is nothing to compare: of "
            f"{counted(counts['expected'], 'trial')} {ended:,} left a row, "
            f"{counts.get('finished', 0):,} of them finished.",
        ),
    )


_LACKING = {
    "missing": "missing",
    "failed": "failed",
    "timed_out": "timed out",
    "out_of_memory": "out of memory",
}


def subtitle(results: Results) -> str:
    """One line: how many studies, which tasks, where."""
    tasks = list(dict.fromkeys(t["name"] for s in results.studies for t in s.study["tasks"]))
    machine = results.machine
    where = machine.get("gpu") or machine.get("cpu")
    parts = [
        f"{len(results.studies)} {'study' if len(results.studies) == 1 else 'studies'} on "
        f"{listed([str(task) for task in tasks])}",
        str(where or ""),
        str(machine.get("created", ""))[:10],
    ]
    return " · ".join(part for part in parts if part)


def facts(results: Results) -> tuple[tuple[str, str], ...]:
    """What was run, on what, when, and how its trials ended."""
    machine, counts = results.machine, statuses(results.studies)
    ended = [f"{counts.get('finished', 0):,} finished", f"{counts.get('diverged', 0):,} diverged"]
    bad = sum(counts.get(status, 0) for status in FAILED)
    ended += [f"{bad:,} failed", f"{counts['missing']:,} missing"]
    commit = str(machine.get("commit") or "unknown")[:12]
    found = {
        "Studies": listed([str(s.study["name"]) for s in results.studies]),
        "Trials": f"{counts['expected']:,}: {', '.join(ended)}",
        "Coverage": coverage_fact(results.studies),
        "Profile": listed(profiles(results)),
        "Machine": _machine(machine),
        "When": str(machine.get("created", "")).replace("T", " ")[:16],
        "Commit": commit + (" with uncommitted changes" if machine.get("dirty") else ""),
        "Software": _software(machine),
        "Device": listed(
            list(dict.fromkeys(str(s.study.get("device", "")) for s in results.studies))
        ),
    }
    return tuple((name, value) for name, value in found.items() if value)


def _machine(machine: dict[str, Any]) -> str:
    cores = machine.get("cores")
    parts = [machine.get("gpu"), machine.get("cpu"), f"{cores} cores" if cores else ""]
    return ", ".join(str(part) for part in parts if part)


def _software(machine: dict[str, Any]) -> str:
    named = {"torch": machine.get("torch"), "Python": machine.get("python")}
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)
