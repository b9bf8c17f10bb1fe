"""Where a network of one's own comes from: a function in a file or in a package.

`network = { name = "module", source = "file.py:function" }` names a file beside the study file;
`package.module:function` names a module that Python can import. Only found and hashed here,
so that a study can be planned without torch; `foreign` runs it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path

from ablations.design import DesignError, Study
from ablations.levels import Level, SourceFile, Value, text

FORMS = "give source = 'file.py:function' or 'package.module:function'"


def with_sources(study: Study, folder: Path) -> Study:
    """The study with the files of its networks found; paths are relative to `folder`.

    Raises:
        DesignError: there is no such file.
    """
    factors = tuple(
        replace(factor, levels=tuple(_located(level, folder) for level in factor.levels))
        for factor in study.factors
    )
    fixed = tuple((name, _located(value, folder)) for name, value in study.fixed)
    return replace(study, factors=factors, fixed=fixed)


def _located(value: Value, folder: Path) -> Value:
    if not isinstance(value, Level) or value.name != "module":
        return value
    return replace(value, file=source_file(str(dict(value.given).get("source", "")), folder))


def source_file(source: str, folder: Path) -> SourceFile:
    """The file behind a source, with the sha256 of its content.

    Raises:
        DesignError: it names no function, or its file is not there or cannot be read.
    """
    what = f"network 'module' source {source!r}"
    where, colon, function = source.rpartition(":")
    if not colon or not where or not function.isidentifier():
        raise DesignError(f"{what} names no function; {FORMS}")
    if where.endswith(".py"):
        path, module = folder / where, ""
    else:
        path, module = _module_file(where, what), where
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DesignError(
            f"{what}: {path} cannot be read ({error.strerror}); paths are relative to the study "
            "file"
        ) from None
    return SourceFile(str(path.resolve()), module, function, sha256(content).hexdigest())


def _module_file(module: str, what: str) -> Path:
    """The file of a dotted module, found without running it or its packages."""
    places: list[str] | None = ["", *sys.path]
    spec = None
    parts = module.split(".")
    for n in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: n + 1]), places)
        if spec is None:
            break
        places = list(spec.submodule_search_locations or ())
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise DesignError(
            f"{what}: Python finds no module {module!r}; install it or set PYTHONPATH, or {FORMS}"
        )
    return Path(spec.origin)


def source_text(level: Level) -> str:
    """How errors name a source."""
    return f"network {text(level)!r}"
