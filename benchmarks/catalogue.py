"""Studies become a list of workloads, the most important first.

Every task has one base network, the baseline of the first study that has the task, and
every level of the studies' factors departs from it in that one factor. One task of each
family stands for the others where the choice is the machine's and not the studies': how
cost grows with depth, width and minibatch, other ways to run the same, whole epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablations.design import Cell, Study, TaskSpec, baseline_cell, objection
from ablations.levels import Value, text
from ablations.studyfile import bare
from benchmarks.ways import BFLOAT16, PLAIN, Way
from benchmarks.workloads import (
    AGAIN,
    MODES,
    LeftOut,
    Mode,
    Plan,
    SameAs,
    Workload,
    computed_cell,
    layer_name,
)

SCALES: dict[str, tuple[Value, ...]] = {  # levels beyond those of the studies
    "depth": (0, 1, 2, 4, 8),
    "width": (8, 32, 128, 512),
    "minibatch": (16, 64, 256, 1024),
}
LAYERS = ((64, 32), (1024, 64), (1024, 1024))  # examples and units of an activation alone
EPOCHS: tuple[Mode, ...] = ("input pipeline", "epoch")
NO_COMPILING = "compiling takes most of a minute in every process; profile full does it"
ONE_CORE = "there is one core"

Found = Workload | LeftOut | SameAs


@dataclass(frozen=True, slots=True)
class Place:
    """Where workloads are going to be timed."""

    devices: tuple[str, ...] = ("cpu",)
    cores: int = 1
    compiles: bool = False  # whether there is time for that


HERE = Place()


@dataclass(frozen=True, slots=True)
class Base:
    """What a task's levels depart from."""

    study: Study
    task: TaskSpec
    shape: tuple[tuple[str, Value], ...] = ()  # levels that it has whatever the study says

    def cell(self, levels: Mapping[str, Value]) -> Cell:
        """The base network's cell with some of its levels replaced."""
        values: dict[str, Value] = dict(self.study.fixed)
        values |= {factor.name: factor.baseline for factor in self.study.factors}
        return baseline_cell(self.task.name, {**values, **dict(self.shape), **levels})

    def workload(self, what: str, levels: Mapping[str, Value], mode: Mode) -> Workload:
        """A departure from the base network."""
        return Workload(
            name=f"{self.task.name}/{what}",
            task=self.task,
            study_seed=self.study.seed,
            cell=self.cell(levels),
            mode=mode,
        )

    def pair(self, mode: Mode) -> list[Workload]:
        """The base network and its twin: an A/A control (T15)."""
        return twins(self.workload("baseline", {}, mode))


def twins(workload: Workload) -> list[Workload]:
    """A workload that others are compared with, twice."""
    first = replace(workload, is_base=True)
    return [first, replace(first, name=first.name + AGAIN)]


def workloads_of(studies: Sequence[Study], place: Place = HERE) -> Plan:
    """The workloads of some studies, the most important first.

    What claims about time compare, and the base networks that they do it next to; the base
    network of each task family, twice; the ways of the first of them and its
    epochs; task by task every level, one task of each family before the others, and how the
    first scales; updates and activations on their own; how the other families scale, their
    ways and epochs; the largest activations; compiled networks.
    """
    bases = {task.name: Base(study, task) for study in reversed(studies) for task in study.tasks}
    names = list(dict.fromkeys(task.name for study in studies for task in study.tasks))
    families = {bases[name].task.kind.family: name for name in reversed(names)}
    first = [bases[name] for name in names if name in families.values()]
    later = [bases[name] for name in names if name not in families.values()]
    claimed = _claimed(bases, studies)
    found: list[Found] = [*claimed, *(w for base in first for m in MODES for w in base.pair(m))]
    found += _run_otherwise(first[0], place)
    for base in first:
        found += _every_level(base, studies)
        found += _scales(base, studies) if base is first[0] else ()
    for base in later:
        found += [w for mode in MODES for w in base.pair(mode)]
        found += _every_level(base, studies)
    found += _updates(first[0], studies)
    for size in LAYERS:
        if size == LAYERS[-1]:
            for base in first[1:]:
                found += [*_scales(base, studies), *_run_otherwise(base, place)]
        found += _activations(first[0], studies, size)
    for base in first:
        found += _compiled(base, place)
    once = {(w.name, w.mode): w for w in reversed(found) if isinstance(w, Workload)}
    return Plan(
        tuple(w for w in found if isinstance(w, Workload) and w is once[w.name, w.mode]),
        tuple(each for each in found if isinstance(each, LeftOut)),
        tuple(each for each in found if isinstance(each, SameAs)),
        always=max(len(claimed), 2),
    )


def _claimed(bases: Mapping[str, Base], studies: Sequence[Study]) -> list[Workload]:
    """What claims with `table = "timings"` compare, after the base networks of their tasks.

    A claim names levels of two workloads, every other factor being as in the base network, and
    perhaps a mode; that one cannot be timed is for the report to say.
    """
    places: dict[tuple[str, Mode], dict[str, Workload]] = {}
    for study in studies:
        for claim in study.claims:
            mode = claim.get("response", MODES[0])
            if claim.get("table") != "timings" or mode not in MODES:
                continue
            for task in [claim["task"]] if "task" in claim else [t.name for t in study.tasks]:
                for side in (claim["better"], claim["worse"]):
                    found = places.setdefault((task, mode), {})
                    if workload := _departing(bases[task], study, side, mode):
                        found.setdefault(workload.name, workload)
    pairs = [w for task, mode in places for w in bases[task].pair(mode)]
    return [*pairs, *(w for found in places.values() for w in found.values())]


def _departing(base: Base, study: Study, side: Mapping[str, Value], mode: Mode) -> Workload | None:
    """The workload that one side of a claim names; None for the base network."""
    named = {(factor, text(level)) for factor, level in side.items()}
    plain = base.cell({})
    levels = {
        factor.name: level
        for factor in study.factors
        for level in factor.levels
        if named & {(factor.name, text(level)), (factor.name, bare(text(level)))}
        and text(level) != plain.texts()[factor.name]
    }
    cell = base.cell(levels)
    if objection(cell) is not None or computed_cell(cell, mode) == computed_cell(plain, mode):
        return None
    return base.workload(", ".join(f"{f}={text(v)}" for f, v in levels.items()), levels, mode)


def _every_level(base: Base, studies: Sequence[Study]) -> Iterator[Found]:
    """Each level of a task's factors, in both modes."""
    levels = list(_levels(base.task.name, studies))
    for mode in MODES:
        yield from _departures(base, levels, mode)


def _scales(base: Base, studies: Sequence[Study]) -> Iterator[Found]:
    """How the cost of the base network grows, beyond what the studies ask."""
    known = {(factor, text(level)) for factor, level in _levels(base.task.name, studies)}
    beyond = [(factor, value) for factor, values in SCALES.items() for value in values]
    beyond = [(factor, value) for factor, value in beyond if (factor, text(value)) not in known]
    for mode in MODES:
        for found in _departures(base, beyond, mode):
            yield replace(found, repeats=True) if isinstance(found, Workload) else found


def _departures(base: Base, levels: Iterable[tuple[str, Value]], mode: Mode) -> Iterator[Found]:
    """Each level: to be timed, impossible, or the same as an earlier one."""
    first_with = {computed_cell(base.cell({}), mode): f"{base.task.name}/baseline"}
    for factor, level in levels:
        workload = base.workload(f"{factor}={text(level)}", {factor: level}, mode)
        reason = objection(workload.cell)
        if reason is not None:
            yield LeftOut(workload.name, mode, reason)
            continue
        same = first_with.setdefault(computed_cell(workload.cell, mode), workload.name)
        yield workload if same == workload.name else SameAs(workload.name, mode, same)


def _levels(task: str, studies: Sequence[Study]) -> Iterator[tuple[str, Value]]:
    """Every level of every factor that some study has on a task, each once."""
    seen: set[tuple[str, str]] = set()
    for study in studies:
        for spec in study.tasks:
            if spec.name != task:
                continue
            for factor in study.factors:
                for level in factor.levels:
                    key = (factor.name, text(level))
                    if key not in seen and key not in spec.skip:
                        seen.add(key)
                        yield factor.name, level


def _run_otherwise(base: Base, place: Place) -> Iterator[Found]:
    """The base network in other ways, the data of an epoch, and whole epochs."""
    for mode in MODES:
        if place.cores > 1:
            yield from _way(base, mode, f"threads={place.cores}", Way(threads=place.cores), place)
        else:
            yield LeftOut(f"{base.task.name}/threads=all", mode, ONE_CORE)
        yield from _way(base, mode, f"dtype={BFLOAT16}", Way(dtype=BFLOAT16), place)
        yield from _way(base, mode, "run=graph", Way(run="graph"), place)
    for mode in EPOCHS:
        yield from base.pair(mode)
        yield from _way(base, mode, "input=DataLoader", Way(source="DataLoader"), place)


def _way(base: Base, mode: Mode, what: str, way: Way, place: Place) -> Iterator[Found]:
    workload = replace(base.workload(what, {}, mode), way=way)
    reasons = [way.objection(device) for device in place.devices]
    yield LeftOut(workload.name, mode, str(reasons[0])) if all(reasons) else workload


def _compiled(base: Base, place: Place) -> Iterator[Found]:
    """Eager against `torch.compile`, one training step."""
    if place.compiles:
        yield from _way(base, "training step", "run=compiled", Way(run="compiled"), place)
    else:
        yield LeftOut(f"{base.task.name}/run=compiled", "training step", NO_COMPILING)


def _updates(base: Base, studies: Sequence[Study]) -> list[Found]:
    """Every optimizer's update of the base network, on its own."""
    levels = [each for each in _levels(base.task.name, studies) if each[0] == "optimizer"]
    if not levels:
        return []
    return [*base.pair("optimizer step"), *_departures(base, levels, "optimizer step")]


def _activations(base: Base, studies: Sequence[Study], size: tuple[int, int]) -> list[Found]:
    """Every activation of a hidden layer on its own, forward and backward."""
    mode: Mode = "forward+backward"
    levels = [each for each in _levels(base.task.name, studies) if each[0] == "activation"]
    if not levels:
        return []
    # a linear model has no activation, so there is a hidden layer whatever the base has
    wide = replace(base, shape=(("depth", 2), ("minibatch", size[0]), ("width", size[1])))
    found = [*wide.pair(mode), *_departures(wide, levels, mode)]
    return [_on_layer(each, base.task.name, size) for each in found]


def _on_layer(found: Found, task: str, size: tuple[int, int]) -> Found:
    """The same under the layer's name instead of the task's."""

    def named(name: str) -> str:
        return layer_name(size) + name.removeprefix(task)

    match found:
        case Workload():
            return replace(found, name=named(found.name), layer=size, way=PLAIN)
        case SameAs():
            return replace(found, workload=named(found.workload), same_as=named(found.same_as))
    return replace(found, workload=named(found.workload))
