"""A cell as a claim or a publication names it: only the levels that differ from the baseline."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from report.grids import Grid


class NamingError(ValueError):
    """A cell is named by a factor or level that this study has not."""


def row_of(grid: Grid, named: Mapping[str, Any]) -> int:
    """The row of the cell with these levels, every factor not named at its baseline level.

    Errors:
        NamingError: a factor, a level or their combination is not part of the study.
    """
    for factor in named:
        if factor not in grid.factors:
            raise NamingError(f"unknown factor {factor!r}; {_meant(factor, list(grid.factors))}")
    levels = [
        level_of(factor, grid.factors[factor], named[factor]) if factor in named else base
        for factor, base in zip(grid.factors, grid.baseline, strict=True)
    ]
    if tuple(levels) not in grid.resolved:
        cell = ", ".join(f"{f} {x}" for f, x in zip(grid.factors, levels, strict=True))
        raise NamingError(f"no cell with {cell}; a leave-one-out study has only some combinations")
    return grid.resolved[tuple(levels)]


def level_of(factor: str, levels: Sequence[str], given: object) -> str:
    """The level that is meant: as written, as a number, or by a bare name that only one has.

    Errors:
        NamingError: none is meant, or several are.
    """
    text = _text(given)
    if text in levels:
        return text
    meant = [level for level in levels if _same_number(level, given)]
    meant = meant or [level for level in levels if level.partition("(")[0] == text]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise NamingError(f"{factor} {text!r} may be {' or '.join(meant)}; write the settings too")
    raise NamingError(f"{text!r} is not a level of {factor}; {_meant(text, levels)}")


def _text(given: object) -> str:
    """A level of a study file as study.json writes it."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, Mapping):
        settings = ", ".join(f"{key}={_text(x)}" for key, x in given.items() if key != "name")
        return f"{_text(given.get('name', ''))}({settings})"
    return str(given)


def _same_number(level: str, given: object) -> bool:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    try:
        return float(level) == given
    except ValueError:
        return False


def _meant(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name[:100], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(known)}"
