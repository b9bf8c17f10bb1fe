"""Which stacks are missing, who trains them, and what is left when it stops."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ablations.anatomy import network_table
from ablations.blocks import part_of, related_blocks
from ablations.compiled import kept_in, prepare
from ablations.costs import passes_alone, predicted_seconds
from ablations.design import (
    Cell,
    DesignError,
    SeedRule,
    Study,
    TaskSpec,
    cells_of,
    distinct_cells,
    trained_cells,
    trials_of,
)
from ablations.levels import text
from ablations.looks import open_contrasts
from ablations.network import describe
from ablations.outcome import Outcome, Status
from ablations.processor import matrix_routines
from ablations.provenance import code_hash, machine
from ablations.records import (
    collect,
    is_done,
    key_of,
    outdated_records,
    payload_of,
    read_record,
    record_path,
    sealed,
    try_lock,
    unlock,
    write_atomically,
    write_if_changed,
)
from ablations.stacking import Member, Stack, final_stacks, tuning_stack
from ablations.streams import Streams
from ablations.tasks import Task, checksum, load_task
from ablations.workers import Here, Job, Pool, Processes, Result, failed_row

LOCK_POLL = 0.5  # seconds between looks at a stack that another process is training
LEAST_LIMIT = 300.0  # seconds a stack may take at least before it counts as hanging
LIMIT_FACTOR = 20  # or this many times what was predicted
PLAIN_EVERY = 10.0  # seconds between progress lines where there is no terminal
SILENT = 60.0  # seconds without any after which a line says what is being trained

CONTEXT = {"vectors": "vector instructions", "matrices": "matrix routines"}  # a record's words

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run, from the command line."""

    results: Path
    device: str = "cpu"
    workers: int = 0
    budget: float = math.inf  # seconds after which no stack is started
    limit: float | None = None  # seconds a stack may take
    quiet: bool = False


@dataclass(slots=True)
class Found:
    """A study and the state of its records."""

    study: Study
    folder: Path
    context: dict[str, dict[str, Any]]  # by task
    payloads: dict[str, Payload] = field(default_factory=dict)  # by key
    damaged: list[str] = field(default_factory=list)
    keys: dict[tuple[Member, int], str] = field(default_factory=dict)  # by first trial and size
    trained: dict[str, list[Cell]] = field(default_factory=dict)  # by task
    earlier: bool | None = None  # whether there were records when its stacks were first asked for

    def key(self, stack: Stack) -> str:
        """The name of a stack's record."""
        which = stack.members[0], len(stack.members)
        if which not in self.keys:  # hashed once
            self.keys[which] = key_of(stack, self.context[stack.task.name])
        return self.keys[which]

    def cells(self, task: TaskSpec) -> list[Cell]:
        """The cells that are trained on a task, at any look."""
        if task.name not in self.trained:  # found once: every choice of a rate asks for them
            self.trained[task.name] = trained_cells(self.study, task)
        return self.trained[task.name]

    def read(self, stack: Stack) -> Payload | None:
        """A stack's payload, from memory or from its record."""
        key = self.key(stack)
        if key not in self.payloads:
            payload = read_record(self.folder, key, self.say_damaged)
            if payload is not None:
                self.payloads[key] = payload
        return self.payloads.get(key)

    def kept(self, stack: Stack) -> Outcome:
        """What the record of a shorter or longer block holds of a stack that has none."""
        if self.earlier is None:
            self.earlier = any(self.folder.glob("records/*/*.json"))
        if self.earlier:
            for block in related_blocks(self.study, stack):
                key = key_of(block, self.context[block.task.name])
                payload = read_record(self.folder, key, self.say_damaged)
                if payload is not None and is_done(payload):
                    return part_of(payload, stack)
        return Outcome()

    def say_damaged(self, line: str) -> None:
        """Tell at once where a damaged record went, and remember it."""
        tqdm.write(line, file=sys.stderr)
        self.damaged.append(line)


def find(studies: Sequence[Study], results: Path, device: str) -> dict[str, Found]:
    """The studies asked for and those their rates come from, with what is already done.

    A study with sequential seeds is found at the look that its records have come to: ask
    `at_their_looks`.

    Raises:
        DesignError: a study's rates come from one that cannot give them.
        TaskError: the data of a task cannot be had.
    """
    found = {}
    for study in studies:
        context = {task.name: record_context(task, device) for task in study.tasks}
        found[study.name] = Found(study, results / study.name, context)
    for study in studies:
        if study.rates.source is not None:
            _check_source(study, found)
    for each in found.values():
        each.study = reached(found, each.study)
    return found


def at_their_looks(found: Mapping[str, Found], studies: Sequence[Study]) -> list[Study]:
    """The studies as they stand: with the seeds of the look that they have come to."""
    return [found[study.name].study for study in studies]


def reached(found: Mapping[str, Found], study: Study) -> Study:
    """The study at the first look that is not complete, or that ends it.

    Each look is decided by its own trials alone, so an interrupted run takes the looks that an
    uninterrupted one took.
    """
    for seeds in study.rule.looks if study.rule is not None else ():
        study = replace(study, seeds=seeds)
        if not open_after(found, study):
            break
    return study


def open_after(found: Mapping[str, Found], study: Study) -> list[tuple[str, str]] | None:
    """Task and name of the contrasts that a look leaves open; None while it is not complete."""
    rows = _final_rows(found, study)
    if rows is None:
        return None
    return open_contrasts(study, rows, lambda task: _chance(study, task))


def _final_rows(found: Mapping[str, Found], study: Study) -> dict[str, Mapping[str, Any]] | None:
    """The final trials by name; None unless every trial of the study ended by itself."""
    rows: dict[str, Mapping[str, Any]] = {}
    read = found[study.name].read
    for task in study.tasks:
        for cell in found[study.name].cells(task):
            rate = chosen_rate(study, cell, found)
            if rate is None:
                return None
            for stack in final_stacks(study, task, cell, rate):
                payload = read(stack)
                if payload is None or not is_done(payload):
                    return None
                rows |= {row["trial"]: row for row in payload["outcome"]["rows"]}
    return rows


def record_context(task: TaskSpec, device: str) -> dict[str, Any]:
    """What can change a record's numbers besides its stack."""
    return {
        "data": checksum(task),
        "code": code_hash(),
        "torch": torch.__version__,
        "device": torch.device(device).type,
        "vectors": torch.backends.cpu.get_cpu_capability(),  # AVX2 and AVX512 round differently
        "matrices": matrix_routines(),  # and so do the routines of OpenBLAS
        "numba": version("numba"),
        "scipy": version("scipy"),  # whose OpenBLAS multiplies for Numba
        "threads": 1,
    }


def _check_source(study: Study, found: Mapping[str, Found]) -> None:
    source = found.get(study.rates.source or "")
    what = f"study {study.name!r} takes its learning rates from {study.rates.source!r}"
    if source is None:
        raise DesignError(f"{what}, which is not among the studies; run them together")
    if source.study.rates.source is not None:
        raise DesignError(f"{what}, which chooses none itself; name a study that lists its rates")
    for task in study.tasks:
        if task.name not in {t.name for t in source.study.tasks}:
            raise DesignError(f"{what}, which has no task {task.name!r}; add it there")
        for cell in found[study.name].cells(task):
            if not _source_cells(study, source, cell):
                level = text(cell.value(study.rates.by or "optimizer"))
                raise DesignError(f"{what}, which has no {study.rates.by} {level!r}; add it there")


def _source_cells(study: Study, source: Found, cell: Cell) -> list[Cell]:
    """Cells of the source study that share the level which rates are matched by."""
    by = study.rates.by or "optimizer"
    task = source.study.task(cell.task)
    return [c for c in source.cells(task) if c.value(by) == cell.value(by)]


def chosen_rate(study: Study, cell: Cell, found: Mapping[str, Found]) -> float | None:
    """The rate of a cell's final trials; None while its tuning is not done.

    It has the best mean validation loss over the tuning seeds. A rate with a trial that
    diverged is worse than any without; if all have one, the fewest diverged trials win,
    then the smallest rate (METHODS.md S2).
    """
    if study.rates.source is not None:
        source = found[study.rates.source]
        cells = _source_cells(study, source, cell)
        return _best_rate([_tuning_rows(source, c) for c in cells])
    rates = study.rates.of(cell)
    if len(rates) == 1:
        return rates[0]
    return _best_rate([_tuning_rows(found[study.name], cell)])


def _tuning_rows(found: Found, cell: Cell) -> list[Mapping[str, Any]] | None:
    stack = tuning_stack(found.study, found.study.task(cell.task), cell)
    if stack is None:
        rate = found.study.rates.of(cell)[0]
        return [{"learning_rate": rate, "status": "finished", "val_loss": 0.0}]
    payload = found.read(stack)
    return payload["outcome"]["rows"] if payload is not None and is_done(payload) else None


def _best_rate(tables: Sequence[list[Mapping[str, Any]] | None]) -> float | None:
    losses: dict[float, list[float]] = {}
    for table in tables:
        if table is None:
            return None
        for row in table:
            loss = row.get("val_loss") if row["status"] == "finished" else None
            losses.setdefault(row["learning_rate"], []).append(math.inf if loss is None else loss)

    def rank(rate: float) -> tuple[int, float, float]:
        bad = sum(math.isinf(loss) for loss in losses[rate])
        return bad, math.fsum(losses[rate]) / len(losses[rate]) if not bad else 0.0, rate

    return min(losses, key=rank)


def decided_stacks(found: Mapping[str, Found], study: Study) -> Iterator[Stack]:
    """Per cell its tuning stack, then its final stacks if their rate is known."""
    for task in study.tasks:
        for cell in found[study.name].cells(task):
            tuning = tuning_stack(study, task, cell)
            if tuning is not None:
                yield tuning
            rate = chosen_rate(study, cell, found)
            if rate is not None:
                yield from final_stacks(study, task, cell, rate)


def rate_stacks(found: Mapping[str, Found], study: Study, cell: Cell) -> list[tuple[Found, Stack]]:
    """The tuning stacks that a cell's rate is chosen from."""
    source = found[study.rates.source or study.name]
    cells = _source_cells(study, source, cell) if study.rates.source else [cell]
    stacks = [tuning_stack(source.study, source.study.task(c.task), c) for c in cells]
    return [(source, stack) for stack in stacks if stack is not None]


@dataclass(slots=True)
class Tally:
    """Trials of the studies asked for, by how they ended; the rest is missing."""

    expected: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Trials without a row."""
        return self.expected - sum(self.counts.values())

    @property
    def complete(self) -> bool:
        """Whether every trial ended by itself."""
        done = self.counts.get("finished", 0) + self.counts.get("diverged", 0)
        return done == self.expected

    def __str__(self) -> str:
        parts = [f"{count:,} {status.replace('_', ' ')}" for status, count in self.counts.items()]
        if self.missing:
            parts.append(f"{self.missing:,} missing")
        return f"{self.expected:,} trials: {', '.join(parts) or 'none'}"


def tally(found: Mapping[str, Found], studies: Sequence[Study]) -> Tally:
    """Count what the records of the studies hold."""
    result = Tally()
    for study in studies:
        result.expected += sum(1 for _ in trials_of(study))
        for stack in decided_stacks(found, study):
            payload = found[study.name].read(stack)
            for row in payload["outcome"]["rows"] if payload else ():
                result.counts[row["status"]] = result.counts.get(row["status"], 0) + 1
    return result


def render_outdated(found: Mapping[str, Found], studies: Sequence[Study]) -> list[str]:
    """A line for every unfinished study that has records of another version of code or data."""
    lines = []
    for study in studies:
        each = found[study.name]
        if not tally(found, [study]).missing:
            continue
        count, differing = outdated_records(each.folder, each.context)
        other = ", ".join(CONTEXT.get(word, word) for word in differing)
        if count:
            lines.append(
                f"{study.name}: {count:,} record{'s' if count > 1 else ''} in {each.folder} made "
                f"with other {other} cannot be used, and a run replaces the CSV files; to keep "
                "these, choose another folder with --results"
            )
    return lines


class Progress:
    """One honest progress bar: trials done, rate, time left; plain lines without a terminal."""

    def __init__(self, total: int, done: int, *, quiet: bool) -> None:
        self.total, self.done, self.start_done = total, done, done
        self.start = self.last = time.monotonic()
        terminal = sys.stderr.isatty() and not quiet
        self.bar = (
            tqdm(total=total, initial=done, unit="trial", smoothing=0.1) if terminal else None
        )
        self.plain = not terminal and not quiet

    def advance(self, trials: int, what: str) -> None:
        """Some more trials are done."""
        self.done += trials
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_description_str(what, refresh=False)
            self.bar.update(trials)
        elif self.plain and now - self.last >= PLAIN_EVERY:
            self.last = now
            rate = (self.done - self.start_done) / (now - self.start)
            left = (self.total - self.done) / rate if rate else math.inf
            print(
                f"{what}: {self.done:,} of {self.total:,} trials, {rate:.1f} trials/s, "
                f"{left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def wait(self, names: Sequence[str], elsewhere: int) -> None:
        """No trial is done; after a while say what is being trained, here or elsewhere."""
        now = time.monotonic()
        if self.bar is not None:
            self.bar.refresh()  # its clock
        elif self.plain and (names or elsewhere) and now - self.last >= SILENT:
            self.last = now
            told = [f"in training: {', '.join(names)}"] if names else []
            if elsewhere:
                stacks = "1 stack" if elsewhere == 1 else f"{elsewhere:,} stacks"
                told.append(f"waiting for {stacks} that another process is training")
            print(
                f"{self.done:,} of {self.total:,} trials, {now - self.start:.0f} s so far, "
                f"{'; '.join(told)}",
                file=sys.stderr,
                flush=True,
            )

    def say(self, line: str) -> None:
        """A line that does not tear the bar."""
        tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.close()


class Run:
    """Trains what is missing of some studies. The one place where state changes."""

    def __init__(self, found: dict[str, Found], settings: Settings, pool: Pool) -> None:
        self.found, self.settings, self.pool = found, settings, pool
        self.queue: deque[tuple[Found, Stack]] = deque()
        self.elsewhere: deque[tuple[float, Found, Stack]] = deque()  # locked by another process
        self.active: dict[str, tuple[Found, Stack, int]] = {}  # key -> its lock's handle
        self.alone: dict[str, dict[str, Outcome]] = {}  # key -> outcomes trial by trial
        self.kept: dict[str, Outcome] = {}  # key -> what another block has of its first trials
        self.retries: deque[Job] = deque()
        self.spent: dict[str, float] = {}  # key -> seconds of its trials that went alone
        self.undecided: dict[str, list[tuple[Study, Cell]]] = {}  # by the key of a tuning stack
        self.seconds: dict[str, float] = {}
        self.progress: Progress | None = None
        self.end = time.monotonic() + settings.budget

    def train_missing(self, studies: Sequence[Study]) -> None:
        """Train until nothing is left or the budget is spent; once per look."""
        counted = tally(self.found, studies)
        done = counted.counts.get("finished", 0) + counted.counts.get("diverged", 0)
        self.progress = Progress(counted.expected, done, quiet=self.settings.quiet)
        try:
            self._plan(studies)
            while self.queue or self.retries or self.pool.busy() or self.elsewhere:
                if time.monotonic() < self.end:
                    self._submit()
                elif not self.pool.busy():
                    self._say("the budget is spent; run again to train the rest")
                    break
                results = self.pool.results(LOCK_POLL)
                if results and time.monotonic() < self.end:
                    self._submit()  # first, so that no worker waits while records are written
                for result in results:
                    self._receive(result)
                if not results:
                    stacks = [stack for _, stack, _ in self.active.values()]
                    names = [f"{s.study} {s.task.name}/{s.cell_name}" for s in stacks]
                    self.progress.wait(names, len(self.elsewhere))
        finally:
            self.progress.close()
            for found, stack, handle in self.active.values():
                unlock(record_path(found.folder, found.key(stack)).with_suffix(".lock"), handle)

    def _plan(self, studies: Sequence[Study]) -> None:
        """Queue what is decided and not done; remember what the rest waits for."""
        for study in studies:
            found = self.found[study.name]
            for stack in decided_stacks(self.found, study):
                self._queue(found, stack)
            for task in study.tasks:
                for cell in found.cells(task):
                    for source, stack in rate_stacks(self.found, study, cell):
                        if not is_done(source.read(stack)):
                            waiting = self.undecided.setdefault(source.key(stack), [])
                            waiting.append((study, cell))

    def _queue(self, found: Found, stack: Stack) -> None:
        if not is_done(found.read(stack)):
            self.queue.append((found, stack))

    def _decide(self, key: str) -> None:
        """A tuning stack is done: queue the final stacks whose rate is known now."""
        for study, cell in self.undecided.pop(key, ()):
            rate = chosen_rate(study, cell, self.found)
            if rate is None:  # what ended was the same stack of another study
                self.undecided.setdefault(key, []).append((study, cell))
                continue
            for stack in final_stacks(study, study.task(cell.task), cell, rate):
                self._queue(self.found[study.name], stack)

    def _submit(self) -> None:
        while self.retries and self.pool.room():
            self.pool.submit(self.retries.popleft())
        now = time.monotonic()
        for _ in range(len(self.elsewhere)):
            when, found, stack = self.elsewhere.popleft()
            if when > now:
                self.elsewhere.append((when, found, stack))
            else:
                self.queue.append((found, stack))
        while self.queue and self.pool.room():
            self._start(*self.queue.popleft())

    def _start(self, found: Found, stack: Stack) -> None:
        key = found.key(stack)
        handle = None
        if key not in self.active:  # another study may be training the same
            handle = try_lock(record_path(found.folder, key).with_suffix(".lock"))
        if handle is None:
            self.elsewhere.append((time.monotonic() + LOCK_POLL, found, stack))
            return
        found.payloads.pop(key, None)
        if is_done(found.read(stack)):  # another process finished it meanwhile
            self._release(key, found, handle)
            self._count(stack, len(stack.members))
            self._decide(key)
            return
        self.active[key] = (found, stack, handle)
        self.kept[key] = found.kept(stack)
        missing = self._missing(key, stack)
        if len(missing) > 1 and self._is_shared_out(stack):
            self.alone[key] = {}
            self.retries.extend(self._job(key, stack, [member], attempt=1) for member in missing)
            self.pool.submit(self.retries.popleft())
        elif missing:
            self.pool.submit(self._job(key, stack, missing, attempt=1))
        else:
            self._write(key, Outcome(), worker=0, attempt=1, seconds=0.0)

    def _is_shared_out(self, stack: Stack) -> bool:
        """Whether workers share a stack: where training its trials together gains nothing."""
        return self.settings.device == "cpu" and self.settings.workers > 1 and passes_alone(stack)

    def _missing(self, key: str, stack: Stack) -> tuple[Member, ...]:
        """The trials of a stack that no other block has."""
        return stack.members[len(self.kept[key].rows) :]

    def _job(self, key: str, stack: Stack, members: Any, *, attempt: int) -> Job:
        limit = self.settings.limit or max(LEAST_LIMIT, LIMIT_FACTOR * predicted_seconds(stack))
        return Job(key, stack, tuple(members), self.settings.device, limit, attempt)

    def _receive(self, result: Result) -> None:
        job = result.job
        _, stack, _ = self.active[job.key]
        if result.outcome is None and len(job.members) > 1:
            self._say(f"{stack.study}: {job.members[0].name} and its stack: {result.message}; "
                      "trained again one by one")  # fmt: skip
            self.alone[job.key] = {}
            self.retries.extend(
                self._job(job.key, stack, [member], attempt=2) for member in job.members
            )
            return
        outcome = result.outcome or self._give_up(job, result.status, result.message)
        self.spent[job.key] = self.spent.get(job.key, 0.0) + result.seconds
        if job.key in self.alone:
            parts, missing = self.alone[job.key], self._missing(job.key, stack)
            parts[job.members[0].name] = outcome
            if len(parts) < len(missing):
                return
            outcome = Outcome()
            for member in missing:
                outcome.extend(parts[member.name])
        self._write(job.key, outcome, result.worker, job.attempt, self.spent.pop(job.key))

    def _give_up(self, job: Job, status: Status, message: str) -> Outcome:
        member = job.members[0]
        self._say(f"{job.stack.study}: {member.name} {status.replace('_', ' ')}: {message}")
        return Outcome(rows=[failed_row(member, status, message)])

    def _write(self, key: str, trained: Outcome, worker: int, attempt: int, seconds: float) -> None:
        """Seal the record of an active stack, and start what waited for it."""
        found, stack, handle = self.active[key]
        outcome = self.kept.pop(key)
        clock: dict[str, Any] = {
            "way": "alone" if key in self.alone else trained.way,
            "worker": worker,
            "attempt": attempt,
            "seconds": round(seconds, 6),
        }
        if outcome.rows:  # the seconds are those of the others
            clock["kept"] = len(outcome.rows)
        outcome.extend(trained)
        payload = payload_of(stack, key, outcome, found.context[stack.task.name], clock)
        write_atomically(record_path(found.folder, key), sealed(payload))
        found.payloads[key] = payload
        self.seconds[stack.study] = self.seconds.get(stack.study, 0.0) + seconds
        self._count(stack, len(stack.members))
        del self.active[key]
        self._release(key, found, handle)
        self._decide(key)

    def _release(self, key: str, found: Found, handle: int) -> None:
        unlock(record_path(found.folder, key).with_suffix(".lock"), handle)

    def _count(self, stack: Stack, trials: int) -> None:
        if self.progress is not None:
            self.progress.advance(trials, stack.study)

    def _say(self, line: str) -> None:
        if self.progress is not None:
            self.progress.say(line)


def run(studies: Sequence[Study], settings: Settings) -> Tally:
    """Train what is missing of the studies, then write study.json and the CSV files.

    Records of finished stacks are kept whatever happens; on an interrupt the CSV files
    are written from what there is before it is passed on.
    """
    found = find(studies, settings.results, settings.device)
    studies = at_their_looks(found, studies)
    _write_studies(found, studies, settings)
    before = tally(found, studies)
    if before.complete:
        _collect_all(found, studies)
        return before
    for line in render_outdated(found, studies):
        print(line, file=sys.stderr, flush=True)
    workers, device = settings.workers, settings.device
    if device == "cpu" and not kept_in().exists():
        told = "compiling the training steps, once after an installation"
        print(told, file=sys.stderr, flush=True)
        prepare()  # so that not every worker does
    pool: Pool = Processes(workers, device) if workers else Here(device)
    training = Run(found, settings, pool)
    try:
        going_on = studies
        while going_on:
            training.train_missing(going_on)
            going_on = _further(found, going_on)
            _write_studies(found, going_on, settings)
    finally:
        pool.close()
        studies = at_their_looks(found, studies)
        _collect_all(found, studies)
        _write_machine(found, training, settings)
    return tally(found, studies)


def _further(found: Mapping[str, Found], studies: Sequence[Study]) -> list[Study]:
    """The studies whose look has left contrasts open, at their next look."""
    for study in studies:
        found[study.name].study = reached(found, study)
        found[study.name].earlier = True  # the last look's records may hold trials of this one
    after = at_their_looks(found, studies)
    return [now for now, before in zip(after, studies, strict=True) if now.seeds > before.seeds]


def _write_studies(
    found: Mapping[str, Found], studies: Sequence[Study], settings: Settings
) -> None:
    for study in studies:
        path = found[study.name].folder / "study.json"
        write_if_changed(path, study_json(study, settings))


def _collect_all(found: Mapping[str, Found], studies: Sequence[Study]) -> None:
    for study in studies:
        each = found[study.name]
        collect(
            each.folder,
            [
                (stack, each.key(stack), payload)
                for stack in decided_stacks(found, study)
                if (payload := each.read(stack)) is not None
            ],
        )


def _write_machine(found: Mapping[str, Found], training: Run, settings: Settings) -> None:
    path = settings.results / "machine.json"
    content = machine(settings.device, threads=1)
    content["workers"] = settings.workers
    content["studies"] = _studies_before(path) | {
        name: {"seconds": round(seconds, 3), "profile": found[name].study.profile}
        for name, seconds in training.seconds.items()
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def _studies_before(path: Path) -> dict[str, Any]:
    """What an earlier run left in machine.json; nothing if it is missing or was damaged."""
    try:
        studies = json.loads(path.read_bytes())["studies"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return studies if isinstance(studies, dict) else {}


def study_json(study: Study, settings: Settings) -> str:
    """The resolved study: everything a report needs besides the rows."""
    content = {
        "schema": 1,
        "name": study.name,
        "group": study.group,
        "question": study.question,
        "design": study.design,
        "profile": study.profile,
        "device": settings.device,
        "dtype": study.dtype,
        "tasks": [_task_json(study, task) for task in study.tasks],
        "factors": [
            {"name": f.name, "levels": [text(level) for level in f.levels]} for f in study.factors
        ],
        "baseline": cells_of(study, study.tasks[0])[0].texts(),
        "learning_rates": {
            "by": study.rates.by,
            "values": dict(study.rates.values),
            "source": study.rates.source,
        },
        "fixed": {
            **{name: text(value) for name, value in study.fixed},
            "steps": study.steps,
            "epochs": study.epochs,
            "evaluations": study.evaluations,
        },
        "seeds": study.seeds,
        **({} if study.rule is None else {"sequential": _rule_json(study, study.rule)}),
        "tuning_seeds": study.tuning_seeds,
        "claims": study.claims,
        "published": study.published,
        "cells": list(_cells_json(study)),
        "trials": [
            {
                "trial": trial.name,
                "task": trial.cell.task,
                "stage": trial.stage,
                "seed": trial.seed,
                **_levels(study, trial.cell),
                "learning_rate": trial.learning_rate,
            }
            for trial in trials_of(study)
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _rule_json(study: Study, rule: SeedRule) -> dict[str, Any]:
    return {
        "min": rule.minimum,
        "max": rule.maximum,
        "stop": "resolved",
        "equal_within": rule.equal_within,
        "looks": rule.looks,
        "shares": rule.shares,
        "share": rule.share(study.seeds),  # of the error, spent by the look at hand
    }


def _levels(study: Study, cell: Cell) -> dict[str, str]:
    return {factor.name: text(cell.value(factor.name)) for factor in study.factors}


def _cells_json(study: Study) -> Iterator[dict[str, Any]]:
    for task in study.tasks:
        for cell, shown in distinct_cells(cells_of(study, task)).items():
            same = None if cell is shown else _levels(study, shown)
            yield {"task": task.name, **_levels(study, cell), "same_as": same}


def _chance(study: Study, task: TaskSpec) -> float:
    """The accuracy of always answering the same; 0 in a regression."""
    return _chance_of(load_task(task, [0], streams=Streams(study.seed, task.name)))


def _chance_of(loaded: Task) -> float:
    return round(1 / loaded.classes if loaded.classes else 0.0, 6)


def _task_json(study: Study, task: TaskSpec) -> dict[str, Any]:
    loaded = load_task(task, [0], streams=Streams(study.seed, task.name))
    cells = cells_of(study, task)
    for network in {c.network: c for c in cells if c.network.name == "module"}.values():
        describe(network, loaded.input_shape, loaded.outputs)  # it must be one that can be trained
    baseline = describe(cells[0], loaded.input_shape, loaded.outputs)
    return {
        "name": task.name,
        "family": task.kind.family,
        "kind": task.kind.kind,
        "settings": {**dict(task.settings), "split": task.split},
        "input_shape": list(loaded.input_shape),
        "inputs": math.prod(loaded.input_shape),
        "outputs": loaded.outputs,
        "examples": {part: rows.shape[1] for part, rows in loaded.parts.items()},
        "response": study.response(task),
        "chance": _chance_of(loaded),
        "skip": [list(pair) for pair in task.skip],
        "network": network_table(baseline, loaded.input_shape),
    }
