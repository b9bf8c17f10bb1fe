"""The data of one task for several seeds, as tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ablations.design import TaskSpec
from ablations.streams import Streams
from ablations.tasks.generated import GENERATORS, Examples
from ablations.tasks.sources import Source, TaskError, load_source

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
EAGER_BYTES = 256 << 20  # above this the shared pool is kept as it is and standardised when taken


@dataclass(frozen=True, slots=True)
class Task:
    """Examples of S seeds in one pool of P rows; the parts say which rows are whose.

    Shapes:
        inputs        (P, *input_shape), standardised unless `lazy`
        targets       (P,) classes, or (P, 1) numbers
        parts         (S, n) rows of the pool for each part; n is 0 where there is none
        shift, scale  (S, D) of the inputs (per channel for images): standard = (raw - shift) / scale
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
    lazy: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example: (D,) or (C, H, W)."""
        return tuple(self.inputs.shape[1:])

    @property
    def outputs(self) -> int:
        """Classes, or numbers to predict."""
        return self.classes or self.targets.shape[1]

    def take(self, rows: Tensor) -> Examples:
        """Examples of each seed.

        Shapes:
            rows     (S, n) rows of the pool
            results  (S, n, *input_shape) and (S, n) or (S, n, 1)
        """
        x, y = self.inputs[rows], self.targets[rows]
        if self.lazy:
            dims = (1,) * (x.dim() - 3)
            shift, scale = (t.view(len(rows), 1, -1, *dims) for t in (self.shift, self.scale))
            x = (x.to(shift.dtype) / 255 - shift) / scale
        return x, y


def checksum(spec: TaskSpec) -> str:
    """Of the data behind a task; generated data are covered by the hash of the code."""
    if spec.kind.generated:
        return "generated"
    return load_source(spec.name, source_settings(spec)).checksum()


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


def _generated(
    spec: TaskSpec, seeds: Sequence[int], streams: Streams, dtype: torch.dtype
) -> Task:
    settings = dict(spec.settings)
    draw = GENERATORS[spec.name]
    counts = {"train": int(settings["points"])}
    if spec.split != "none":
        counts |= {
            "val": int(settings["validation_points"]),
            "test": int(settings["test_points"]),
        }
    inputs, targets = [], []
    sizes: dict[str, int] = dict.fromkeys(PARTS, 0)
    for seed in seeds:
        for part, count in counts.items():
            generator = streams.generator(f"data {part}", seed)
            x, y = draw(count, settings, generator=generator)
            inputs.append(x)
            targets.append(y)
            sizes[part] = len(x)
    per_seed = sum(sizes.values())
    start, parts = 0, {}
    for part in PARTS:
        rows = torch.arange(start, start + sizes[part])
        parts[part] = rows + per_seed * torch.arange(len(seeds)).unsqueeze(1)  # (S, n)
        start += sizes[part]
    classes = int(settings["arms"]) if spec.kind.kind == "classification" else 0
    return _standardise(
        spec, torch.cat(inputs), torch.cat(targets), parts, classes, dtype, shared=False
    )


def _split(
    spec: TaskSpec, source: Source, seeds: Sequence[int], streams: Streams, dtype: torch.dtype
) -> Task:
    rows = len(source.inputs) - source.test
    test_rows = torch.arange(rows, len(source.inputs))
    columns: dict[Part, list[Tensor]] = {part: [] for part in PARTS}
    for seed in seeds:
        chosen = _split_rows(spec, rows, source.test > 0, streams.generator("split", seed))
        for part, part_rows in zip(PARTS, chosen, strict=True):
            own_test = part == "test" and source.test
            columns[part].append(test_rows if own_test else part_rows)
    parts = {part: torch.stack(chosen) for part, chosen in columns.items()}
    return _standardise(
        spec, source.inputs, source.targets, parts, source.classes, dtype, shared=True
    )


def _split_rows(
    spec: TaskSpec, rows: int, own_test: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    if spec.split == "none":
        return torch.arange(rows), torch.arange(0), torch.arange(0)
    order = torch.randperm(rows, generator=generator)
    train_share, val_share, test_share = spec.split
    test = 0 if own_test else round(rows * test_share)
    val = round((rows - test) * val_share / (train_share + val_share))
    train = rows - test - val
    if min(train, val) < 1:
        raise TaskError(f"task {spec.name!r} has {rows} examples, too few to split as {spec.split}")
    return order[:train], order[train : train + val], order[train + val :]


def _standardise(
    spec: TaskSpec,
    inputs: Tensor,
    targets: Tensor,
    parts: dict[Part, Tensor],
    classes: int,
    dtype: torch.dtype,
    *,
    shared: bool,
) -> Task:
    """Scale by the statistics of each seed's training part; a pool shared by seeds is copied."""
    seeds = len(parts["train"])
    size = inputs.numel() * torch.finfo(dtype).bits // 8
    lazy = shared and inputs.dtype == torch.uint8 and size * seeds > EAGER_BYTES
    if not lazy:
        inputs = inputs.to(dtype) / (255 if inputs.dtype == torch.uint8 else 1)
    targets = targets if classes else targets.to(dtype)
    wanted = bool(dict(spec.settings)["standardise"])
    features = inputs.shape[1]
    shift, scale = torch.zeros(seeds, features, dtype=dtype), torch.ones(seeds, features, dtype=dtype)
    target_shift, target_scale = torch.zeros(seeds, dtype=dtype), torch.ones(seeds, dtype=dtype)
    for s in range(seeds if wanted else 0):
        shift[s], scale[s] = _moments(inputs[parts["train"][s]])
        if not classes:
            moments = _moments(targets[parts["train"][s]])
            target_shift[s], target_scale[s] = moments[0][0], moments[1][0]
    if not lazy:
        if shared:
            rows = len(inputs)
            inputs, targets = inputs.repeat(seeds, *[1] * (inputs.dim() - 1)), torch.cat([targets] * seeds)
            offset = rows * torch.arange(seeds).unsqueeze(1)
            parts = {part: chosen + offset for part, chosen in parts.items()}
        rows = len(inputs) // seeds
        owner = torch.arange(seeds).repeat_interleave(rows)
        per_row = (len(inputs), features, *[1] * (inputs.dim() - 2))
        inputs = (inputs - shift[owner].view(per_row)) / scale[owner].view(per_row)
        if not classes:
            targets = (targets - target_shift[owner, None]) / target_scale[owner, None]
    return Task(
        spec.name, classes, inputs, targets, parts, shift, scale, target_shift, target_scale, lazy
    )


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per feature, or per channel of images; a constant has scale 1."""
    dims = [0, *range(2, x.dim())]
    values = x.double() / (255 if x.dtype == torch.uint8 else 1)
    scale = values.std(dim=dims, correction=0)
    return values.mean(dim=dims), torch.where(scale > 0, scale, torch.ones_like(scale))


def _move(task: Task, device: torch.device | str) -> Task:
    def on(tensor: Tensor) -> Tensor:
        return tensor.to(device)

    return Task(
        task.name,
        task.classes,
        on(task.inputs),
        on(task.targets),
        {part: on(rows) for part, rows in task.parts.items()},
        on(task.shift),
        on(task.scale),
        on(task.target_shift),
        on(task.target_scale),
        task.lazy,
    )
