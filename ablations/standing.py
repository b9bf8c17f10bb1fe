"""What failed and why, and what cannot start because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablations.design import Cell, Study, TaskSpec, trained_cells
from ablations.looks import render_look
from ablations.records import DONE, is_done
from ablations.running import Found, decided_stacks, open_after, rate_stacks

REMEDIES = {
    "failed": "mend the cause before running again, else they fail again",
    "timed_out": "run again with a longer --timeout",
    "out_of_memory": "run again with more memory, or with smaller networks or minibatches",
}
MOST_LETTERS = 300  # of an error's message


@dataclass(frozen=True, slots=True)
class Failure:
    """Trials of one study that ended in the same way, for the same reason."""

    study: str
    status: str
    message: str
    trials: tuple[str, ...]

    def __str__(self) -> str:
        count = len(self.trials)
        return (
            f"{self.study}: {counted(count, 'trial')} {self.status.replace('_', ' ')} "
            f"({self.trials[0]}{f' and {count - 1:,} more' if count > 1 else ''}): "
            f"{self.message}; {REMEDIES[self.status]}"
        )


def failures(found: Mapping[str, Found], study: Study) -> list[Failure]:
    """What did not end by itself, by how and why."""
    trials: dict[tuple[str, str], list[str]] = {}
    for stack in decided_stacks(found, study):
        payload = found[study.name].read(stack)
        for row in payload["outcome"]["rows"] if payload else ():
            if row["status"] not in DONE:
                message = " ".join(row["message"].split())[:MOST_LETTERS]
                trials.setdefault((row["status"], message), []).append(row["trial"])
    return [Failure(study.name, *why, tuple(names)) for why, names in trials.items()]


def waiting(found: Mapping[str, Found], study: Study, task: TaskSpec) -> int:
    """Final trials that cannot start, since a tuning trial behind their rate failed."""
    cells = trained_cells(study, task)
    return study.seeds * sum(_has_failed_tuning(found, study, cell) for cell in cells)


def _has_failed_tuning(found: Mapping[str, Found], study: Study, cell: Cell) -> bool:
    payloads = [source.read(stack) for source, stack in rate_stacks(found, study, cell)]
    return any(payload is not None and not is_done(payload) for payload in payloads)


def render_standing(found: Mapping[str, Found], studies: Sequence[Study]) -> list[str]:
    """A line for every kind of failure, and one for what waits for it; none if all is well."""
    lines = []
    for study in studies:
        lines += [str(failure) for failure in failures(found, study)]
        if count := sum(waiting(found, study, task) for task in study.tasks):
            source = study.rates.source
            whose = f"of study {source!r}" if source else "of their cells"
            verb = "wait" if count > 1 else "waits"
            lines.append(
                f"{study.name}: {counted(count, 'final trial')} {verb} for a learning rate, which "
                f"the failed tuning trials {whose} leave open"
            )
    return lines


def render_looks(found: Mapping[str, Found], studies: Sequence[Study]) -> list[str]:
    """A line for every study with sequential seeds: how far it is, and whether it goes on."""
    return [
        render_look(study, open_after(found, study)) for study in studies if study.rule is not None
    ]


def counted(count: int, what: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
