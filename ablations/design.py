"""A study becomes cells, and cells become trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any, Literal

from ablations.levels import (
    CLASSIFICATION_LOSSES,
    FACTORS,
    REGRESSION_LOSSES,
    Level,
    Named,
    Scalar,
    TaskKind,
    Value,
    task_kind,
    text,
)
from ablations.sequences import ListedLayer, listed_layers

Stage = Literal["tuning", "final"]
DEPTH, WIDTH = 2, 32  # of a network that a study says nothing about
FIRST_TUNING_SEED = 1000  # final seeds count from 0, so the two never meet


class DesignError(ValueError):
    """A study file asks for something that cannot be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One network and its training recipe on one task; only seed and rate are left to choose.

    The defaults are the baseline, so an ablation is spelled `replace(baseline, depth=0)`.
    """

    task: str
    activation: Level = Level("relu")
    optimizer: Level = Level("adam")
    depth: int = DEPTH  # hidden layers, or convolution blocks
    width: int = WIDTH  # units per hidden layer, or channels
    residual: bool = False
    network: Level = Level("mlp")
    pooling: Level = Level("max")
    init: Level = Level("torch")
    norm: Level = Level("default")
    regularisation: Level = Level("none")
    loss: Level = Level("default")
    minibatch: int | str = "full"
    train_size: int | str = "all"
    schedule: Level = Level("constant")
    augmentation: Level = Level("none")

    def value(self, factor: str) -> Value:
        """The level of one factor."""
        value: Value = getattr(self, factor)
        return value

    def settings(self, factor: str) -> dict[str, Scalar]:
        """Every setting of a named factor's level, the defaults included."""
        kind, level = FACTORS[factor], self.value(factor)
        assert isinstance(kind, Named)
        assert isinstance(level, Level)
        return kind.settings(level)

    def texts(self) -> dict[str, str]:
        """All fifteen levels as they stand in the CSV files."""
        return {factor: text(self.value(factor)) for factor in FACTORS}

    def resolved(self) -> dict[str, Any]:
        """All fifteen levels with every setting spelled out: what a record is keyed by."""
        return {
            factor: {"name": level.name, **self.settings(factor), **_content(level)}
            if isinstance(level := self.value(factor), Level)
            else level
            for factor in FACTORS
        }


def _content(level: Level) -> dict[str, str]:
    """What a level is besides its settings: the content of the file that it names."""
    return {} if level.file is None else {"sha256": level.file.sha256}


def baseline_cell(task: str, values: Mapping[str, Value]) -> Cell:
    """The baseline of a task with some of its levels replaced."""
    chosen: dict[str, Any] = dict(values)
    return resolve_defaults(replace(Cell(task=task), **chosen))


def resolve_defaults(cell: Cell) -> Cell:
    """Replace `default` by what it stands for in this cell."""
    kind = task_kind(cell.task)
    norm, loss = cell.norm, cell.loss
    if norm.name == "default":
        norm = Level(_norm_of(cell))
    if loss.name == "default":
        loss = Level("cross_entropy" if kind.kind == "classification" else "mse")
    return replace(cell, norm=norm, loss=loss)


def _norm_of(cell: Cell) -> str:
    asked = {"batch_norm": "batch", "layer_norm": "layer"}.get(cell.regularisation.name)
    return asked or ("batch" if cell.network.name == "cnn" and cell.depth > 0 else "none")


def canonical(cell: Cell) -> Cell:
    """The cell that is trained: levels that cannot matter are set to their defaults.

    Two cells describe the same network exactly when their canonical cells are equal:
    a linear model (depth 0) has no width, activation, norm or dropout, `nll` after
    `log_softmax` is `cross_entropy`, a setting may be spelled out or left at its default,
    and some levels are others by definition.
    """
    cell = _without_synonyms(cell)
    changes: dict[str, Any] = {
        factor: kind.shortened(level)
        for factor, kind in FACTORS.items()
        if isinstance(kind, Named) and (level := getattr(cell, factor)).given
    }
    if cell.regularisation.name in {"batch_norm", "layer_norm"}:
        changes["regularisation"] = Level("none")  # the norm says it already
    if cell.loss.name == "nll":
        changes["loss"] = Level("cross_entropy")
    if cell.network.name in {"mlp", "module"} or (cell.network.name == "cnn" and cell.depth == 0):
        changes["pooling"] = Level("max")
    if cell.depth < 2 or cell.network.name != "mlp":
        changes["residual"] = False
    if cell.network.name == "sequential":  # its list says how deep and how wide it is
        changes |= {"depth": DEPTH, "width": WIDTH}
        if not any(layer.kind == "pool" for layer in layers_of(cell)):
            changes["pooling"] = Level("max")
        return replace(cell, **changes)
    if cell.network.name == "module":  # its function says what it is
        return replace(cell, **changes, depth=DEPTH, width=WIDTH, activation=Level("relu"))
    if cell.depth == 0:
        changes |= {"activation": Level("identity"), "width": 1, "network": Level("mlp")}
        changes["norm"] = Level("none")
        if cell.regularisation.name in {"dropout", "auxiliary_loss"}:
            changes["regularisation"] = Level("none")
        if cell.init.name == "autoencoder":
            changes["init"] = Level("torch")
    return replace(cell, **changes)


def _without_synonyms(cell: Cell) -> Cell:
    """CELU with alpha 1 is ELU, AdamW without decay is Adam, momentum 0 is plain SGD."""
    activation, optimizer = cell.settings("activation"), cell.settings("optimizer")
    if cell.activation.name == "celu" and activation["alpha"] == 1:
        cell = replace(cell, activation=Level("elu"))
    if cell.activation.name == "leaky_relu" and activation["negative_slope"] == 0:
        cell = replace(cell, activation=Level("relu"))
    decays = optimizer["weight_decay"] != 0 or cell.regularisation.name == "weight_decay"
    if cell.optimizer.name == "adamw" and not decays:
        cell = replace(cell, optimizer=Level("adam", cell.optimizer.given))
    if cell.optimizer.name == "momentum" and optimizer["momentum"] == 0:
        given = tuple(pair for pair in cell.optimizer.given if pair[0] != "momentum")
        cell = replace(cell, optimizer=Level("sgd", given))
    return cell


def layers_of(cell: Cell) -> tuple[ListedLayer, ...]:
    """The layers of a `sequential` network.

    Raises:
        LevelError: the list cannot be read.
    """
    return listed_layers(str(cell.settings("network")["layers"]))


BUILT_IN = frozenset(  # levels that need layers which are known
    ("xavier", "kaiming", "normal", "autoencoder", "batch", "layer", "dropout", "batch_norm",
     "layer_norm", "auxiliary_loss")
)  # fmt: skip


def objection(cell: Cell) -> str | None:
    """Why a cell cannot be trained on its task, with the remedy; None if it can."""
    kind = task_kind(cell.task)
    losses = CLASSIFICATION_LOSSES if kind.kind == "classification" else REGRESSION_LOSSES
    asked = cell.regularisation.name
    if cell.loss.name not in {*losses, "default"}:
        return f"loss {text(cell.loss)!r} is not for {kind.kind}; choose from {', '.join(losses)}"
    if asked == "label_smoothing" and kind.kind != "classification":
        return "regularisation 'label_smoothing' needs classes"
    if cell.network.name == "module":
        for what in (cell.init, cell.norm, cell.regularisation):
            if what.name in BUILT_IN:
                return (
                    f"{text(what)!r} is not for {text(cell.network)!r}, which brings its own "
                    "layers and initial weights; write it there"
                )
    if cell.network.name != "mlp":
        for what in (cell.init, cell.regularisation):
            if what.name in {"autoencoder", "auxiliary_loss"}:
                return f"{text(what)!r} is for network 'mlp', not {text(cell.network)!r}"
    if kind.family != "images":
        if cell.network.name == "cnn" or (
            cell.network.name == "sequential" and layers_of(cell)[0].kind != "linear"
        ):
            return f"network {text(cell.network)!r} needs images"
        if cell.augmentation.name != "none":
            return f"augmentation {text(cell.augmentation)!r} needs images"
    return _double_setting(cell) or _too_small(cell, kind)


def _double_setting(cell: Cell) -> str | None:
    asked = cell.regularisation.name
    norm = {"batch_norm": "batch", "layer_norm": "layer"}.get(asked)
    if norm and cell.norm.name not in {"default", norm}:
        return (
            f"regularisation {asked!r} and norm {cell.norm.name!r} set the norm in two ways; "
            "leave one of them out"
        )
    if asked == "weight_decay" and cell.settings("optimizer")["weight_decay"] != 0:
        return (
            f"regularisation {text(cell.regularisation)!r} and optimizer {text(cell.optimizer)!r} "
            "set the weight decay in two ways; leave one of them out"
        )
    return None


def _too_small(cell: Cell, kind: TaskKind) -> str | None:
    trained = canonical(resolve_defaults(cell))
    if trained.minibatch == 1 and trained.norm.name == "batch" and normalises_units(trained):
        return (
            "batch norm has no variance in a minibatch of 1; use layer norm or larger minibatches"
        )
    if cell.network.name != "cnn":
        return None
    if int(cell.settings("network")["kernel"]) % 2 == 0:
        return f"network {text(cell.network)!r} has an even kernel; give an odd one, such as 3 or 5"
    if kind.input_shape is not None and cell.depth > (most := most_blocks(kind.input_shape)):
        return f"depth {cell.depth} halves the image away; a cnn here has at most {most} blocks"
    return None


def normalises_units(cell: Cell) -> bool:
    """Whether a norm of this cell sees one number per example and feature, as images have many."""
    if cell.network.name == "sequential":
        return any(layer.kind == "linear" for layer in layers_of(cell))
    return cell.network.name == "mlp"


def most_blocks(image: tuple[int, ...]) -> int:
    """How often an image (C, H, W) can be halved before nothing is left of it."""
    return min(image[1:]).bit_length() - 1


@dataclass(frozen=True, slots=True)
class Factor:
    """Something the study varies on purpose. The first level is the baseline."""

    name: str
    levels: tuple[Value, ...]

    @property
    def baseline(self) -> Value:
        """The level that the others are compared with."""
        return self.levels[0]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task with every setting resolved, and the levels that do not apply to it."""

    name: str
    settings: tuple[tuple[str, Scalar], ...]
    split: tuple[float, float, float] | Literal["none", "test"]
    skip: tuple[tuple[str, str], ...] = ()  # (factor, level as text)

    @property
    def kind(self) -> TaskKind:
        """What is known of the task before its data are loaded."""
        return task_kind(self.name)

    def identity(self) -> dict[str, Any]:
        """All that changes the task's data."""
        return {"name": self.name, "split": self.split, **dict(self.settings)}


@dataclass(frozen=True, slots=True)
class Rates:
    """The learning rates that tuning may choose from, in the order of the file.

    Either one list for every cell (`by` is None), one list per level of the factor `by`,
    or those that another study chose (`source`), matched by the levels of `by`.
    """

    values: tuple[tuple[str, tuple[float, ...]], ...]
    by: str | None = None
    source: str | None = None

    def of(self, cell: Cell) -> tuple[float, ...]:
        """The rates to try for one cell; none where another study chooses."""
        if self.source is not None:
            return ()
        level = "" if self.by is None else text(cell.value(self.by))
        return dict(self.values)[level]

    def tunes(self, cell: Cell) -> bool:
        """Whether this study has a rate to choose for the cell."""
        return len(self.of(cell)) > 1


@dataclass(frozen=True, slots=True)
class SeedRule:
    """Seeds are added, look by look, until every contrast is resolved; see `looks`."""

    minimum: int  # seeds at the first look
    maximum: int  # seeds at the last one
    equal_within: float | None = None  # a contrast inside this margin is resolved as well

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds at each look: twice as many each time, the maximum last.

        A look that comes with more than four fifths of the maximum is left out: it would spend
        error and tell hardly less than the last one.
        """
        looks = [self.minimum]
        while 5 * 2 * looks[-1] <= 4 * self.maximum:
            looks.append(2 * looks[-1])
        return (*looks, self.maximum)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the error that each look may spend; they add up to 1.

        By look k the square of its share of the seeds is spent, (n_k / maximum)^2: the power
        family of Kim and DeMets (1987) with rho = 2, little at first and most at the end.
        """
        spent = [(seeds / self.maximum) ** 2 for seeds in (0, *self.looks)]
        return tuple(after - before for before, after in pairwise(spent))

    def share(self, seeds: int) -> float:
        """What the look with this many seeds may spend."""
        return self.shares[self.looks.index(seeds)]


@dataclass(frozen=True, slots=True)
class Trial:
    """A cell trained once from one seed; the rate of a final trial may be chosen later."""

    name: str
    cell: Cell
    stage: Stage
    seed: int
    learning_rate: float | None


@dataclass(frozen=True, slots=True)
class Study:
    """One question, with everything needed to answer it. Made by `load_study`."""

    name: str
    group: str
    question: str
    design: Literal["full-factorial", "leave-one-out"]
    profile: str
    tasks: tuple[TaskSpec, ...]
    factors: tuple[Factor, ...]
    rates: Rates
    fixed: tuple[tuple[str, Value], ...]
    steps: int | None
    epochs: int | None
    evaluations: int
    seeds: int  # of the look at hand, where there is a rule
    tuning_seeds: int
    seed: int
    claims: tuple[dict[str, Any], ...] = field(default=())
    published: tuple[dict[str, Any], ...] = field(default=())
    responses: tuple[tuple[str, str], ...] = ()  # (task, column), where the study says
    running_loss: bool = False  # whether curves have the mean loss of the steps
    dtype: str = "float32"  # of the products of a training step: one of DTYPES
    rule: SeedRule | None = None  # of sequential seeds

    @property
    def most_seeds(self) -> int:
        """Final seeds that the study may come to."""
        return self.seeds if self.rule is None else self.rule.maximum

    def task(self, name: str) -> TaskSpec:
        """One of the study's tasks."""
        return next(task for task in self.tasks if task.name == name)

    def response(self, task: TaskSpec) -> str:
        """The column of trials.csv that is analysed."""
        part = "train" if task.split == "none" else "test"
        measure = "accuracy" if task.kind.kind == "classification" else "r2"
        return dict(self.responses).get(task.name, f"{part}_{measure}")


def cells_of(study: Study, task: TaskSpec) -> list[Cell]:
    """The cells of a study on one task, those that do not apply to the task left out."""
    baseline: dict[str, Value] = dict(study.fixed)
    baseline |= {factor.name: factor.baseline for factor in study.factors}
    combinations = DESIGNS[study.design](study.factors)
    skipped = set(task.skip)
    return [
        baseline_cell(task.name, baseline | levels)
        for levels in combinations
        if not any((name, text(level)) in skipped for name, level in levels.items())
    ]


def full_factorial(factors: tuple[Factor, ...]) -> list[dict[str, Value]]:
    """Every combination of levels; the last factor varies fastest."""
    names = [factor.name for factor in factors]
    grid = product(*(factor.levels for factor in factors))
    return [dict(zip(names, levels, strict=True)) for levels in grid]


def leave_one_out(factors: tuple[Factor, ...]) -> list[dict[str, Value]]:
    """The baseline, then each cell that departs from it in exactly one factor."""
    baseline = {factor.name: factor.baseline for factor in factors}
    departures = [
        baseline | {factor.name: level} for factor in factors for level in factor.levels[1:]
    ]
    return [baseline, *departures]


DTYPES = ("float32", "bfloat16")  # of the products of a training step
DESIGNS = {"full-factorial": full_factorial, "leave-one-out": leave_one_out}


def distinct_cells(cells: list[Cell]) -> dict[Cell, Cell]:
    """Each cell with the first one that describes the same network (mostly itself)."""
    first: dict[Cell, Cell] = {}
    return {cell: first.setdefault(canonical(cell), cell) for cell in cells}


def trained_cells(study: Study, task: TaskSpec) -> list[Cell]:
    """The cells that are trained: the first of those that describe the same network."""
    return [cell for cell, shown in distinct_cells(cells_of(study, task)).items() if cell is shown]


def cell_name(study: Study, cell: Cell) -> str:
    """The cell's levels of the study's factors: `activation=relu,depth=2`."""
    return ",".join(f"{f.name}={text(cell.value(f.name))}" for f in study.factors)


def trial_name(task: str, cell: str, stage: Stage, seed: int, learning_rate: float | None) -> str:
    """One readable name for a trial of a named cell, the same in every file."""
    rate = f"learning_rate={learning_rate!r}/" if stage == "tuning" else ""
    return f"{task}/{cell}/{stage}/{rate}seed={seed}"


def trials_of(study: Study) -> Iterator[Trial]:
    """Every trial of a study, tuning before final, in the order of trials.csv."""
    for task in study.tasks:
        for cell in trained_cells(study, task):
            rates, shown = study.rates.of(cell), cell_name(study, cell)
            if study.rates.tunes(cell):
                for rate in rates:
                    for seed in tuning_seeds(study):
                        name = trial_name(task.name, shown, "tuning", seed, rate)
                        yield Trial(name, cell, "tuning", seed, rate)
            chosen = rates[0] if len(rates) == 1 else None
            for seed in range(study.seeds):
                name = trial_name(task.name, shown, "final", seed, chosen)
                yield Trial(name, cell, "final", seed, chosen)


def tuning_seeds(study: Study) -> range:
    """Seeds that choose the rate; no final trial uses them."""
    return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + study.tuning_seeds)
