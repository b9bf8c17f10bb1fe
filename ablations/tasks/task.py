"""The data of one task for several seeds, as tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from ablations.design import TaskSpec
from ablations.sizes import known_sizes, split_objection, split_sizes
from ablations.streams import Streams
from ablations.tasks.generated import GENERATORS, Examples
from ablations.tasks.sources import Source, TaskError, load_source

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
FLOAT_BYTES = 64 << 20  # above this a pool of images is kept as bytes
AT_ONCE = 1024  # rows whose statistics are computed at once


@dataclass(frozen=True, slots=True)
class Task:
    """Examples of S seeds in one pool of P rows; the parts say which rows are whose.

    Seeds that share the rows of a data set standardise them each in its own way, when they are
    taken: a pool that stays in the cache is faster to take from than one copy per seed.

    Shapes:
        inputs        (P, *input_shape), standardised unless `raw`; bytes are shares of 255
        targets       (P,) classes, or (P, 1) numbers, standardised unless `raw`
        parts         (S, n) rows of the pool for each part; n is 0 where there is none
        shift, scale  (S, D) of the inputs, per channel for images: (raw - shift) / scale
        target_shift, target_scale  (S,)
    """

    name: str
    classes: int  # 0 for regression
    inputs: Tensor
    targets: Tensor
    parts: dict[Part, Tensor]
    shift: Tensor
    scale: Tensor
    target_shift: Tensor
    target_scale: Tensor
    raw: bool = False  # as read, to be standardised when taken

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example: (D,) or (C, H, W)."""
        return tuple(self.inputs.shape[1:])

    @property
    def outputs(self) -> int:
        """Classes, or numbers to predict."""
        return self.classes or self.targets.shape[1]

    def of_trials(self, seed_of: Tensor) -> Task:
        """The task with the statistics of M trials, (M,) of the S seeds, for its seeds."""
        names = ("shift", "scale", "target_shift", "target_scale")
        return replace(self, **{name: getattr(self, name)[seed_of] for name in names})

    def take(self, rows: Tensor, seed_of: Tensor | None = None) -> Examples:
        """Examples of M trials.

        Shapes:
            rows     (M, n) rows of the pool
            seed_of  (M,) which of the S seeds each trial has; None: the first M of them
            results  (M, n, *input_shape) and (M, n) or (M, n, 1)
        """
        return self.inputs_of(rows, seed_of), self.targets_of(rows, seed_of)

    def inputs_of(self, rows: Tensor, seed_of: Tensor | None = None) -> Tensor:
        """Inputs of M trials, (M, n, *input_shape), as `take` gives them."""
        x = _floats(_rows_of(self.inputs, rows), self.shift.dtype)
        if not self.raw:
            return x
        spread = (len(rows), 1, -1, *[1] * (x.dim() - 3))
        which = slice(len(rows)) if seed_of is None else seed_of
        shift, scale = (t[which].view(spread) for t in (self.shift, self.scale))
        return x.sub_(shift).div_(scale)

    def targets_of(self, rows: Tensor, seed_of: Tensor | None = None) -> Tensor:
        """Targets of M trials, (M, n) or (M, n, 1), as `take` gives them."""
        y = _rows_of(self.targets, rows)
        if self.classes or not self.raw:
            return y
        which = slice(len(rows)) if seed_of is None else seed_of
        shift, scale = (t[which].view(-1, 1, 1) for t in (self.target_shift, self.target_scale))
        return y.sub_(shift).div_(scale)


def _rows_of(pool: Tensor, rows: Tensor) -> Tensor:
    """(P, ...) and (M, n) to (M, n, ...): index_select copies whole rows, indexing one by one."""
    return pool.index_select(0, rows.reshape(-1)).view(*rows.shape, *pool.shape[1:])


def checksum(spec: TaskSpec) -> str:
    """Of the data behind a task; generated data are covered by the hash of the code."""
    if spec.kind.generated:
        return "generated"
    return load_source(spec.name, source_settings(spec)).checksum()


def part_sizes(spec: TaskSpec) -> tuple[int, int, int]:
    """Examples of each part, read from the data where they are not known without.

    Raises:
        TaskError: the data cannot be had, or not be split so.
    """
    known = known_sizes(spec)
    return known or _source_sizes(spec, load_source(spec.name, source_settings(spec)))


def _source_sizes(spec: TaskSpec, source: Source) -> tuple[int, int, int]:
    rows = len(source.inputs) - source.test
    objection = split_objection(rows, source.test, spec.split)
    if objection is not None:
        raise TaskError(f"task {spec.name!r}: {objection}")
    return split_sizes(rows, source.test, spec.split)


def source_settings(spec: TaskSpec) -> tuple[tuple[str, float | int | str | bool], ...]:
    """The settings that change what is read, not how it is split."""
    return tuple((key, value) for key, value in spec.settings if key in spec.kind.settings)


def load_task(
    spec: TaskSpec,
    seeds: Sequence[int],
    *,
    streams: Streams,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Task:
    """Draw or read the data of a task for several seeds and put them on the device.

    Raises:
        TaskError: the data cannot be had.
    """
    if spec.kind.generated:
        task = _generated(spec, seeds, streams, dtype)
    else:
        source = load_source(spec.name, source_settings(spec))
        task = _split(spec, source, seeds, streams, dtype)
    return _move(task, device)


def _generated(spec: TaskSpec, seeds: Sequence[int], streams: Streams, dtype: torch.dtype) -> Task:
    settings = dict(spec.settings)
    clean = settings | {"outliers": 0.0}  # what is tested on has none
    draw = GENERATORS[spec.name]
    counts = {"train": int(settings["points"])}
    if spec.split != "none":
        counts["val"] = int(settings["validation_points"])
        counts["test"] = int(settings["test_points"])
    drawn = [
        draw(
            count,
            settings if part == "train" else clean,
            generator=streams.generator(f"data {part}", seed),
        )
        for seed in seeds
        for part, count in counts.items()
    ]
    sizes = [len(x) for x, _ in drawn[: len(counts)]] + [0] * (len(PARTS) - len(counts))
    owner = sum(sizes) * torch.arange(len(seeds)).unsqueeze(1)  # (S, 1) each seed's first row
    starts = [sum(sizes[:k]) for k in range(len(PARTS))]
    parts = {
        part: torch.arange(start, start + size) + owner
        for part, start, size in zip(PARTS, starts, sizes, strict=True)
    }
    inputs, targets = (torch.cat(tensors) for tensors in zip(*drawn, strict=True))
    classes = int(settings["arms"]) if spec.kind.kind == "classification" else 0
    task = _unscaled(spec.name, classes, inputs, targets, parts, dtype=dtype)
    _note_statistics(spec, task)
    return _standardised(task) if _is_standardised(spec) else task


def _split(
    spec: TaskSpec, source: Source, seeds: Sequence[int], streams: Streams, dtype: torch.dtype
) -> Task:
    sizes = _source_sizes(spec, source)
    rows = len(source.inputs) - source.test
    chosen = [_split_rows(spec, rows, sizes, streams.generator("split", seed)) for seed in seeds]
    parts = {part: torch.stack([each[k] for each in chosen]) for k, part in enumerate(PARTS)}
    if source.test:
        parts["test"] = torch.arange(rows, len(source.inputs)).expand(len(seeds), -1)
    if spec.split == "test":
        parts["val"] = parts["test"]
    task = _unscaled(spec.name, source.classes, source.inputs, source.targets, parts, dtype=dtype)
    _note_statistics(spec, task)
    return replace(task, raw=_is_standardised(spec))


def _split_rows(
    spec: TaskSpec, rows: int, sizes: tuple[int, int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    if isinstance(spec.split, str):
        return torch.arange(rows), torch.arange(0), torch.arange(0)
    order = torch.randperm(rows, generator=generator)
    train, val, _ = sizes
    return order[:train], order[train : train + val], order[train + val :]


def _unscaled(
    name: str,
    classes: int,
    inputs: Tensor,
    targets: Tensor,
    parts: dict[Part, Tensor],
    *,
    dtype: torch.dtype,
) -> Task:
    """A task whose values are still those of the data."""
    seeds, features = len(parts["train"]), inputs.shape[1]
    pictures = inputs.dtype == torch.uint8
    if not pictures or inputs.numel() * torch.finfo(dtype).bits // 8 <= FLOAT_BYTES:
        inputs = _floats(inputs, dtype).to(dtype)
    zeros, ones = (
        torch.zeros(seeds, features, dtype=dtype),
        torch.ones(seeds, features, dtype=dtype),
    )
    return Task(
        name=name,
        classes=classes,
        inputs=inputs,
        targets=targets if classes else targets.to(dtype),
        parts=parts,
        shift=zeros,
        scale=ones,
        target_shift=zeros[:, 0].clone(),
        target_scale=ones[:, 0].clone(),
    )


def _is_standardised(spec: TaskSpec) -> bool:
    settings = dict(spec.settings)
    return bool(settings["standardise"] or settings["symmetric"])


def _note_statistics(spec: TaskSpec, task: Task) -> None:
    """Write shift and scale of each seed's training part, if the study wants them.

    `standardise` gives inputs and targets mean 0 and deviation 1; with `symmetric`, inputs go
    from -1 to 1 instead.
    """
    if not _is_standardised(spec):
        return
    settings = dict(spec.settings)
    statistics = _middle if settings["symmetric"] else _moments
    for s, rows in enumerate(task.parts["train"]):
        task.shift[s], task.scale[s] = statistics(task.inputs[rows], task.shift.dtype)
        if settings["standardise"] and not task.classes:
            shift, scale = _moments(task.targets[rows], task.shift.dtype)
            task.target_shift[s], task.target_scale[s] = shift[0], scale[0]


def _standardised(task: Task) -> Task:
    """A task every row of which belongs to one seed, in order, shifted and scaled for good."""
    seeds = len(task.shift)
    owner = torch.arange(seeds).repeat_interleave(len(task.inputs) // seeds)  # (P,)
    per_row = (len(task.inputs), -1, *[1] * (task.inputs.dim() - 2))
    inputs = (task.inputs - task.shift[owner].view(per_row)) / task.scale[owner].view(per_row)
    if task.classes:
        return replace(task, inputs=inputs)
    targets = (task.targets - task.target_shift[owner, None]) / task.target_scale[owner, None]
    return replace(task, inputs=inputs, targets=targets)


def _moments(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per feature, or per channel of images; a constant has scale 1.

    In two passes over parts of the rows, less one of the values: those of a constant are zero.
    """
    dims, spread = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
    count = x.numel() // x.shape[1]

    def offsets() -> Iterator[Tensor]:
        for part in x.split(AT_ONCE):
            yield _floats(part, dtype).double() - origin

    origin = _floats(x[:1].flatten(2)[..., :1] if x.dim() > 2 else x[:1], dtype)
    origin = origin.double().view(spread)
    middle = _total(part.sum(dims) for part in offsets()) / count
    squares = _total((part - middle.view(spread)).square_().sum(dims) for part in offsets())
    scale = (squares / count).sqrt()
    return origin.flatten() + middle, torch.where(scale > 0, scale, torch.ones_like(scale))


def _total(parts: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, parts)


def _floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes as shares of 255."""
    return x.to(dtype).div_(255) if x.dtype == torch.uint8 else x


def _middle(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Middle and half width of the range per feature, or per channel of images."""
    dims = [0, *range(2, x.dim())]
    x = _floats(x, dtype)
    low, high = x.double().amin(dims), x.double().amax(dims)
    half = (high - low) / 2
    return (low + high) / 2, torch.where(half > 0, half, torch.ones_like(half))


def _move(task: Task, device: torch.device | str) -> Task:
    tensors = ("inputs", "targets", "shift", "scale", "target_shift", "target_scale")
    moved: dict[str, Any] = {name: getattr(task, name).to(device) for name in tensors}
    parts = {part: rows.to(device) for part, rows in task.parts.items()}
    return replace(task, parts=parts, **moved)
