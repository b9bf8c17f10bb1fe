"""Levels of factors in words that can be read aloud: `batch norm`, `minibatches of 32`."""

import re
from itertools import groupby
from typing import Final

from report.grids import level_label

_SPOKEN: Final = {
    ("residual", "true"): "residual connections",
    ("residual", "false"): "no residual connections",
    ("minibatch", "full"): "full batches",
    ("minibatch", "1"): "single examples",
    ("train_size", "all"): "all examples",
    ("init", "torch"): "torch's initial weights",
    ("init", "default"): "default initial weights",
    ("init", "kaiming"): "He's initial weights",
    ("init", "xavier"): "Glorot's initial weights",
    ("init", "autoencoder"): "pretraining by autoencoders",
}
_SUFFIX: Final = {"norm": " norm", "pooling": "-pooling", "loss": " loss"}
_SETTINGS = re.compile(r"([\w. -]+)\((.*)\)", re.ASCII)
_WHOLE = re.compile(r"[1-9]\d{0,6}")


def plain_level(factor: str, level: str) -> str:
    """A level in words; one that is not known here as it reads in tables."""
    if (factor, level) in _SPOKEN:
        return _SPOKEN[factor, level]
    match = _SETTINGS.fullmatch(level)
    if match:
        return _with_settings(factor, match[1], match[2])
    if _WHOLE.fullmatch(level) and factor == "minibatch":
        return f"minibatches of {level}"
    if _WHOLE.fullmatch(level) and factor == "train_size":
        return f"{level} examples"
    if level != "none" and factor in _SUFFIX:
        return f"{_worded(level)}{_SUFFIX[factor]}"
    return _worded(level_label(factor, level))


def _with_settings(factor: str, name: str, settings: str) -> str:
    """`dropout(rate=0.3)` as `dropout (rate 0.3)`; layers counted, scales as times the rate."""
    if factor == "network" and name == "sequential":
        layers = [layer.strip() for layer in settings.removeprefix("layers=").split(",")]
        runs = [(layer, len(list(same))) for layer, same in groupby(layers)]
        return ", ".join(f"{many} × {layer}" if many > 1 else layer for layer, many in runs)
    if factor == "schedule" and name == "constant" and settings.startswith("scale="):
        scale = settings.removeprefix("scale=").removesuffix(".0")
        return f"{scale} times the rate"
    return f"{_worded(name)} ({_worded(settings.replace('=', ' '))})"


def _worded(name: str) -> str:
    return name.replace("_", " ")
