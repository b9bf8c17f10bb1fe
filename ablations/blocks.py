"""Blocks of seeds that grow: what a shorter or a longer block holds is taken over, not trained.

A trial's bytes do not depend on what else is in its stack, so the record of five seeds is the
beginning of that of ten: raising `seeds` from 5 to 10 trains the five that are missing. On a GPU
the five are taken over as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ablations.design import Study
from ablations.outcome import Outcome
from ablations.stacking import BLOCK, Stack, final_stacks


def related_blocks(study: Study, stack: Stack) -> Iterator[Stack]:
    """The blocks that begin with the same trial as a final stack, those that share most first."""
    if stack.stage != "final":
        return
    first, size = stack.members[0], len(stack.members)
    for other in [*range(size + 1, BLOCK + 1), *range(size - 1, 0, -1)]:
        longer = replace(study, seeds=first.seed + other)
        blocks = final_stacks(longer, stack.task, stack.cell, first.learning_rate)
        yield next(block for block in blocks if block.members[0] == first)


def part_of(payload: Mapping[str, Any], stack: Stack) -> Outcome:
    """What the record of a related block holds of a stack's trials: its first ones, or all."""
    wanted = {member.name for member in stack.members}
    outcome = payload["outcome"]
    return Outcome(
        rows=[row for row in outcome["rows"] if row["trial"] in wanted],
        curves=[row for row in outcome["curves"] if row["trial"] in wanted],
        pictures=outcome["pictures"],  # of the first trial
        points=outcome["points"],
    )
