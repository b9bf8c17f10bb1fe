"""What timings.json says of the timings: what was left out, flags, peak memory, how passes went."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from report.document import Block, Details, Table, Text
from report.escaping import visible
from report.numbers import counted, listed
from report.time_words import device_name

MOST_NAMED = 5  # workloads of a flag; of more, the tables of times say which
BUSY = "busy"
Notes = Mapping[str, Any]


def entries(notes: Notes, key: str, *texts: str) -> list[dict[str, Any]]:
    """The objects of a list in timings.json that hold these texts; a file may hold anything."""
    found = notes.get(key)
    if not isinstance(found, list):
        return []
    return [
        entry
        for entry in found
        if isinstance(entry, dict) and all(isinstance(entry.get(text), str) for text in texts)
    ]


def flags_by_workload(notes: Notes) -> dict[tuple[str, str, str], list[str]]:
    """The flags of every workload by device, mode and name."""
    return {
        (entry["device"], entry["mode"], entry["workload"]): [str(flag) for flag in entry["flags"]]
        for entry in entries(notes, "flags", "device", "mode", "workload")
        if isinstance(entry.get("flags"), list)
    }


def is_quiet(notes: Notes) -> bool:
    """Whether the notes are there and no workload was flagged busy."""
    return bool(notes) and not any(BUSY in flags for flags in flags_by_workload(notes).values())


def twins_of(notes: Notes, mode: str) -> dict[str, str]:
    """Levels that were not timed because they compute the same as another workload."""
    return {
        entry["workload"]: entry["same_as"]
        for entry in entries(notes, "same_as", "workload", "mode", "same_as")
        if entry["mode"] == mode
    }


def note_blocks(notes: Notes, workloads: int) -> list[Block]:
    """How it was timed: what was left out, every flag in words, peak memory."""
    if not notes:
        text = "timings.json, which says what was left out and what is flagged, is not there."
        return [Text(paragraphs=(text,))]
    blocks: list[Block] = [Text(paragraphs=tuple(_paragraphs(notes, workloads)))]
    blocks += _flags(notes, workloads)
    blocks += _left_out(notes)
    blocks += _memory(notes)
    return blocks


def _paragraphs(notes: Notes, workloads: int) -> Iterator[str]:
    passes = entries(notes, "passes", "device")
    if passes:
        each = Counter(str(entry["device"]) for entry in passes)
        runs = listed([f"{count} on {device_name(device)}" for device, count in each.items()])
        processes = counted(len(passes), "process", "processes")
        yield (
            f"{counted(workloads, 'workload')} were timed in {processes} ({runs}), profile "
            f"{visible(notes.get('profile', 'unknown'))}. Time is "
            f"{visible(notes.get('time', 'wall seconds'))}."
        )
    if notes.get("complete") is False:
        yield "The timings are incomplete; “make ablations” goes on with the missing processes."
    failed = [
        visible(failure.get("workload"))
        for entry in passes
        for failure in entries(entry, "failed", "workload")
    ]
    if failed:
        yield f"Could not be timed at all: {listed(list(dict.fromkeys(failed)))}."
    late = [pair for entry in passes for pair in _pairs(entry.get("unreached"))]
    if late:
        which = dict.fromkeys(f"{visible(name, 60)} ({visible(mode, 60)})" for name, mode in late)
        yield (
            "The machine was slower than planned, so that not every process came to "
            f"{listed(list(which))}."
        )
    outliers = [
        entry
        for entry in entries(notes, "outliers", "workload")
        if isinstance(entry.get("outliers"), int)
    ]
    if outliers:
        yield (
            f"{counted(sum(entry['outliers'] for entry in outliers), 'sample')} of "
            f"{counted(len(outliers), 'workload')} are outliers: "
            f"{visible(notes.get('meaning_of_outliers', 'far from the others'), 300)}."
        )
    throttled = sum(entry.get("throttled") is True for entry in passes)
    if throttled:
        yield f"{counted(throttled, 'process was', 'processes were')} held back by the machine."
    if isinstance(notes.get("rule"), str):
        yield f"What fits the budget is decided so. {visible(notes['rule'], 2000)}"


def _pairs(value: object) -> list[tuple[str, str]]:
    """Pairs of texts in a list that may hold anything."""
    if not isinstance(value, list):
        return []
    return [(str(p[0]), str(p[1])) for p in value if isinstance(p, list) and len(p) == 2]


def _flags(notes: Notes, workloads: int) -> list[Block]:
    """Every flag that some workload has, in words, and those that none has."""
    meanings = notes.get("meaning_of_flags")
    meanings = meanings if isinstance(meanings, dict) else {}
    raised: dict[str, list[str]] = {}
    for (_, mode, name), flags in flags_by_workload(notes).items():
        for flag in flags:
            raised.setdefault(flag, []).append(f"{name} ({mode})")
    total = max(workloads, len(flags_by_workload(notes)))
    rows = []
    for flag in dict.fromkeys([*meanings, *raised]):
        names = raised.get(flag, [])
        count = "all" if len(names) >= total else str(len(names))
        few = 0 < len(names) <= MOST_NAMED
        which = listed([visible(name, 60) for name in names]) if few else ""
        words = visible(meanings.get(flag, "not explained by timings.json"), 200)
        rows.append((visible(flag).replace("_", " "), words, count, which))
    if not rows:
        return []
    table = Table(
        caption=f"Flags over {counted(total, 'workload')}, A/A twins included",
        header=("flag", "meaning", "workloads", "which"),
        rows=tuple(rows),
        numeric=frozenset({"workloads"}),
        note=(
            "A flag says why a number may be doubted; no sample is dropped for it. The tables of "
            "times name the flags of each workload."
        ),
    )
    return [table]


def _left_out(notes: Notes) -> list[Block]:
    """What was not timed, by reason."""
    reasons: dict[str, list[str]] = {}
    for entry in entries(notes, "left_out", "workload", "mode", "reason"):
        reasons.setdefault(entry["reason"], []).append(f"{entry['workload']} ({entry['mode']})")
    same = entries(notes, "same_as", "workload", "mode", "same_as")
    rows = [
        (visible(reason, 200), str(len(names)), listed([visible(n, 60) for n in names]))
        for reason, names in reasons.items()
    ]
    if same:
        pairs = [f"{e['workload']} ({e['mode']}) as {e['same_as']}" for e in same]
        words = "it computes the same as a workload that was timed"
        rows.append((words, str(len(same)), listed([visible(pair, 120) for pair in pairs])))
    if not rows:
        return []
    brief = Table(
        caption="Workloads left out",
        header=("because", "workloads", "for instance"),
        rows=tuple((reason, count, _instance(names)) for reason, count, names in rows),
        numeric=frozenset({"workloads"}),
    )
    whole = tuple(f"{reason[:1].upper()}{reason[1:]}: {names}." for reason, _, names in rows)
    return [brief, Details(summary="Everything left out", blocks=(Text(paragraphs=whole),))]


def _instance(names: str) -> str:
    """The first of a list in words."""
    return names.replace(" and ", ", ").partition(", ")[0]


def _memory(notes: Notes) -> list[Block]:
    """Peak memory where a device counts it, else why there is none."""
    peaks = [
        entry
        for entry in entries(notes, "peak_memory", "workload", "device", "mode")
        if isinstance(entry.get("bytes"), int)
    ]
    meanings = notes.get("meaning_of_peak_memory")
    meanings = meanings if isinstance(meanings, dict) else {}
    told = "; ".join(f"{device_name(d)}: {visible(words, 200)}" for d, words in meanings.items())
    blocks: list[Block] = [Text(paragraphs=(f"Peak memory. {told}.",))] if told else []
    if peaks:
        largest = sorted(peaks, key=lambda entry: -entry["bytes"])
        rows = tuple(
            (
                visible(entry["workload"]),
                entry["mode"],
                device_name(entry["device"]),
                f"{entry['bytes'] / 2**20:,.1f}",
            )
            for entry in largest
        )
        header = ("workload", "mode", "device", "MiB")
        numeric = frozenset({"MiB"})
        table = Table(
            caption="Peak memory, largest first", header=header, rows=rows, numeric=numeric
        )
        blocks.append(Details(summary="Peak memory by workload", blocks=(table,)))
    return blocks
