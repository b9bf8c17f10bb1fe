"""Independent parts of a report, made by several processes at once.

Drawing takes most of a report's time and one core; the parts have nothing in common but the
results. Processes are started afresh, so that it works wherever Python does.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

import matplotlib as mpl

FEW: Final = 3  # parts that one process makes sooner than two are started


def in_processes(parts: Sequence[partial[Any]], processes: int) -> list[Any]:
    """What each part returns, in their order; made here where one process is enough.

    Args:
        parts: functions of modules with their arguments, which can be sent to a process, as what
            they return can be sent back.
    """
    if min(processes, len(parts)) < 2 or len(parts) < FEW:
        return [part() for part in parts]
    style: Any = dict(mpl.rcParams)
    with ProcessPoolExecutor(
        min(processes, len(parts)), get_context("spawn"), _dressed, (style,)
    ) as pool:
        waiting = [pool.submit(_made, part) for part in parts]
        return [each.result() for each in waiting]


def _dressed(style: Any) -> None:
    """Draw as the process that asks does."""
    mpl.rcParams.update(style)


def _made(part: Callable[[], Any]) -> Any:
    return part()
