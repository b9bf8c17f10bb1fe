"""Names of factors, levels and tasks.

Nothing here imports torch, so that `list`, `plan` and `--help` answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import inf, isfinite

Scalar = str | int | float | bool


class LevelError(ValueError):
    """A level or a setting that does not exist, or a value out of its range."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A number or a word that a level or a task can be given.

    Its type is the type of its default. Bounds are inclusive unless `open_low`.
    """

    default: Scalar
    low: float = -inf
    high: float = inf
    open_low: bool = False
    choices: tuple[str, ...] = ()

    def check(self, owner: str, name: str, value: object) -> Scalar:
        """Return `value` in the setting's type, or raise a LevelError that says what to do."""
        wanted = type(self.default)
        what = f"{owner} setting {name!r}"
        if self.choices:
            if not isinstance(value, str) or value not in self.choices:
                raise LevelError(f"{what} got {value!r}; choose {one_of(self.choices)}")
            return value
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise LevelError(f"{what} needs {TYPE_NAMES[wanted]}, got {value!r}")
        if isinstance(value, (int, float)) and not self._holds(value):
            raise LevelError(f"{what} got {value!r}; give a number {self._range()}")
        return value

    def _holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and value <= self.high and abs(value) != inf

    def _range(self) -> str:
        above = "above" if self.open_low else "from"
        low = "" if self.low == -inf else f"{above} {_plain(self.low)}"
        high = "" if self.high == inf else f"{'up to' if low else 'at most'} {_plain(self.high)}"
        return " ".join(part for part in (low, high) if part) or "that is finite"


def _plain(bound: float) -> str:
    """A bound without exponent, to all its digits: 1,000,000 and 0.9999999."""
    return f"{int(bound) if isfinite(bound) and bound == int(bound) else bound:,}"


TYPE_NAMES: dict[type, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a word in quotes",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The file behind a network of one's own, as it was when the study was read."""

    path: str
    module: str  # its dotted name where Python imports it; empty for a file
    function: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Level:
    """A named level with the settings it was given, shown as `dropout(rate=0.3)`."""

    name: str
    given: tuple[tuple[str, Scalar], ...] = ()
    file: SourceFile | None = field(default=None, compare=False)  # of a `module`

    def __str__(self) -> str:
        if not self.given:
            return self.name
        return f"{self.name}({', '.join(f'{key}={text(value)}' for key, value in self.given)})"


Value = Level | int | bool | str


@dataclass(frozen=True, slots=True)
class Named:
    """A factor whose levels are names with settings."""

    default: str
    levels: Mapping[str, Mapping[str, Setting]]
    about: str

    def parse(self, factor: str, value: object) -> Level:
        """Turn `"dropout"` or `{name = "dropout", rate = 0.3}` into a Level."""
        given = dict(value) if isinstance(value, Mapping) else {"name": value}
        if "name" not in given:
            raise LevelError(f"a level of {factor} has no name: {value!r}; give it a name = ...")
        name = given.pop("name")
        if not isinstance(name, str) or name not in self.levels:
            raise LevelError(f"unknown level {name!r} of {factor}; {suggest(name, self.levels)}")
        known = self.levels[name]
        for key in given:
            if key not in known:
                raise LevelError(
                    f"unknown setting {key!r} of {factor} {name!r}; {suggest(key, known)}"
                )
        settings = tuple(
            (key, known[key].check(f"{factor} {name!r}", key, given[key]))
            for key in known
            if key in given
        )
        return Level(name, settings)

    def settings(self, level: Level) -> dict[str, Scalar]:
        """Every setting of a level, the defaults included."""
        defaults = {key: setting.default for key, setting in self.levels[level.name].items()}
        return defaults | dict(level.given)

    def shortened(self, level: Level) -> Level:
        """The level without the settings that only spell out a default."""
        known = self.levels[level.name]
        given = tuple((key, value) for key, value in level.given if value != known[key].default)
        return Level(level.name, given, level.file)


@dataclass(frozen=True, slots=True)
class Count:
    """A factor whose levels are whole numbers, or one word that stands for all there is."""

    default: int | str
    low: int
    about: str
    word: str | None = None
    high: int | None = None

    def parse(self, factor: str, value: object) -> int | str:
        """Check a number against the factor's bounds."""
        if self.word is not None and value == self.word:
            return self.word
        word = f" or {self.word!r}" if self.word else ""
        if isinstance(value, bool) or not isinstance(value, int):
            raise LevelError(f"{factor} needs a whole number{word}, got {value!r}")
        if value < self.low:
            raise LevelError(f"{factor} must be at least {self.low}{word}, got {value}")
        if self.high is not None and value > self.high:
            raise LevelError(f"{factor} must be at most {self.high:,}{word}, got {value:,}")
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """A factor that is on or off."""

    default: bool
    about: str

    def parse(self, factor: str, value: object) -> bool:
        """Accept true and false only."""
        if not isinstance(value, bool):
            raise LevelError(f"{factor} needs true or false, got {value!r}")
        return value


Kind = Named | Count | Switch


def text(value: Value | float) -> str:
    """A value as it stands in CSV files, figures and sentences."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def one_of(names: Mapping[str, object] | tuple[str, ...]) -> str:
    """`'a', 'b' or 'c'`."""
    *some, last = [repr(name) for name in names]
    return f"{', '.join(some)} or {last}" if some else last


def suggest(name: object, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """The close match of a misspelt name, else all there are."""
    close = get_close_matches(str(name), list(known), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is {', '.join(known)}" if known else "it has no settings"


_decay = Setting(0.0, low=0.0)
_beta1 = Setting(0.9, low=0.0, high=0.9999999)
_beta2 = Setting(0.999, low=0.0, high=0.9999999)
_epsilon = Setting(1e-8, low=0.0)
_adam = {"beta1": _beta1, "beta2": _beta2, "epsilon": _epsilon, "weight_decay": _decay}
_momentum = Setting(0.9, low=0.0, high=0.9999999)

ACTIVATIONS: dict[str, dict[str, Setting]] = {
    "identity": {},
    "relu": {},
    "leaky_relu": {"negative_slope": Setting(0.01)},
    "prelu": {"start": Setting(0.25)},
    "elu": {"alpha": Setting(1.0, low=0.0, open_low=True)},
    "selu": {},
    "celu": {"alpha": Setting(1.0, low=0.0, open_low=True)},
    "gelu": {},
    "silu": {},
    "mish": {},
    "softplus": {"beta": Setting(1.0, low=0.0, open_low=True)},
    "softsign": {},
    "tanh": {},
    "sigmoid": {},
    "hardtanh": {},
    "hardswish": {},
    "hardshrink": {"threshold": Setting(0.5, low=0.0)},
    "softshrink": {"threshold": Setting(0.5, low=0.0)},
    "tanhshrink": {},
}

OPTIMIZERS: dict[str, dict[str, Setting]] = {
    "sgd": {"weight_decay": _decay},
    "momentum": {"momentum": _momentum, "weight_decay": _decay},
    "nesterov": {
        "momentum": Setting(0.9, low=0.0, high=0.9999999, open_low=True),
        "weight_decay": _decay,
    },
    "adagrad": {"epsilon": Setting(1e-10, low=0.0), "weight_decay": _decay},
    "adadelta": {
        "rho": Setting(0.9, low=0.0, high=1.0),
        "epsilon": Setting(1e-6, low=0.0),
        "weight_decay": _decay,
    },
    "rmsprop": {
        "alpha": Setting(0.99, low=0.0, high=0.9999999),
        "epsilon": _epsilon,
        "weight_decay": _decay,
    },
    "adam": _adam,
    "adamw": _adam,
    "nadam": _adam | {"momentum_decay": Setting(0.004, low=0.0)},
    "radam": _adam,
    "adamax": _adam,
}

REGULARISERS: dict[str, dict[str, Setting]] = {
    "none": {},
    "l1": {"strength": Setting(0.001, low=0.0)},
    "l2": {"strength": Setting(0.01, low=0.0)},
    "weight_decay": {"strength": Setting(0.01, low=0.0)},
    "dropout": {"rate": Setting(0.3, low=0.0, high=0.999)},
    "batch_norm": {},
    "layer_norm": {},
    "early_stopping": {"patience": Setting(5, low=1)},
    "label_smoothing": {"amount": Setting(0.1, low=0.0, high=0.999)},
    "input_noise": {"deviation": Setting(0.1, low=0.0)},
    "auxiliary_loss": {"weight": Setting(0.3, low=0.0)},
}

_distribution = Setting("uniform", choices=("uniform", "normal"))
_biases = Setting("zero", choices=("zero", "drawn"))

FACTORS: dict[str, Kind] = {
    "activation": Named("relu", ACTIVATIONS, "the function after every hidden layer"),
    "optimizer": Named("adam", OPTIMIZERS, "the update rule"),
    "depth": Count(2, 0, "hidden layers, or convolution blocks; 0 is a linear model", high=1000),
    "width": Count(32, 1, "units of a hidden layer, or channels of a convolution", high=1_000_000),
    "residual": Switch(False, "add a hidden layer's input to its output where the sizes agree"),
    "network": Named(
        "mlp",
        {
            "mlp": {},
            "cnn": {"kernel": Setting(3, low=1)},
            "sequential": {"layers": Setting("linear 32, linear 32")},
            "module": {"source": Setting("network.py:network")},
        },
        "fully connected; convolution, norm, activation and pooling blocks; layers as listed, "
        "such as 'conv 6@3 pad 1, pool 2, linear 64'; or the nn.Module that a function returns",
    ),
    "pooling": Named("max", {"max": {}, "average": {}}, "what halves an image after a block"),
    "init": Named(
        "torch",
        {
            "torch": {},
            "xavier": {"distribution": _distribution, "biases": _biases},
            "kaiming": {"distribution": _distribution, "biases": _biases},
            "normal": {"deviation": Setting(0.01, low=0.0), "biases": _biases},
            "autoencoder": {"steps": Setting(1000, low=1), "rate": Setting(0.01, low=0.0)},
        },
        "initial weights; the biases of xavier, kaiming and normal are zero unless drawn likewise; "
        "autoencoder trains layer after layer to reproduce its inputs",
    ),
    "norm": Named(
        "default",
        {"default": {}, "none": {}, "batch": {}, "layer": {}},
        "normalisation before the activation; the default is batch in a cnn, none in an mlp",
    ),
    "regularisation": Named("none", REGULARISERS, "what keeps the network from overfitting"),
    "loss": Named(
        "default",
        {
            "default": {},
            "mse": {},
            "l1": {},
            "huber": {"delta": Setting(1.0, low=0.0, open_low=True)},
            "cross_entropy": {},
            "nll": {},
            "bce": {},
            "quadratic": {},
        },
        "what is minimised; quadratic is half the squared error of sigmoid outputs, summed; "
        "the default is cross_entropy for classes, mse for numbers",
    ),
    "minibatch": Count("full", 1, "examples per step", word="full"),
    "train_size": Count("all", 1, "examples to learn from", word="all"),
    "schedule": Named(
        "constant",
        {
            "constant": {"scale": Setting(1.0, low=0.0, open_low=True)},
            "cosine": {},
            "step": {"drops": Setting(2, low=1), "gamma": Setting(0.1, low=0.0, high=1.0)},
        },
        "the learning rate over time: constant is scale times the chosen rate, cosine falls to "
        "zero, step multiplies by gamma",
    ),
    "augmentation": Named(
        "none",
        {"none": {}, "shift": {"pixels": Setting(1, low=1)}, "flip": {}},
        "random changes of the training images",
    ),
}

REGRESSION_LOSSES = ("mse", "l1", "huber")
CLASSIFICATION_LOSSES = ("cross_entropy", "nll", "bce", "mse", "quadratic")


@dataclass(frozen=True, slots=True)
class TaskKind:
    """What is known of a task before its data are loaded.

    `examples` is the number of examples of a fixed data set (training part,
    test part if it comes with one), used to plan; None where it has to be looked up.
    """

    family: str  # spiral, regression, images
    kind: str  # classification, regression
    about: str
    settings: Mapping[str, Setting]
    input_shape: tuple[int, ...] | None
    outputs: int | None
    examples: tuple[int, int] | None = None
    generated: bool = False
    common: Mapping[str, Setting] = field(
        default_factory=lambda: {"standardise": Setting(True), "symmetric": Setting(False)}
    )


_most = 1_000_000  # points of a generated part
_largest = 1e6  # of a coefficient: far beyond, float32 overflows
_points = Setting(100, low=2, high=_most)
_noise = Setting(0.1, low=0.0, high=_largest)
_outliers = Setting(0.0, low=0.0, high=0.5)  # share of training targets that are far off
_held_out = {
    "validation_points": Setting(200, low=2, high=_most),
    "test_points": Setting(1000, low=2, high=_most),
}

TASKS: dict[str, TaskKind] = {
    "spiral": TaskKind(
        "spiral",
        "classification",
        "interleaved arms of noisy points in the plane",
        {
            "points": _points,
            "arms": Setting(3, low=2, high=64),
            "noise": Setting(0.2, low=0.0, high=100.0),
            "turns": Setting(2 / 3, low=-100.0, high=100.0),
            "spacing": Setting(0.0, low=0.0, high=1.0),
            "validation_points": Setting(100, low=2, high=_most),
            "test_points": Setting(400, low=2, high=_most),
        },
        (2,),
        None,
        generated=True,
    ),
    "line": TaskKind(
        "regression",
        "regression",
        "y = slope x + intercept + noise, x uniform in [0, 1)",
        {
            "points": Setting(256, low=2, high=_most),
            "slope": Setting(5.0, low=-_largest, high=_largest),
            "intercept": Setting(7.0, low=-_largest, high=_largest),
            "noise": Setting(0.25, low=0.0, high=_largest),
            "outliers": _outliers,
            **_held_out,
        },
        (1,),
        1,
        generated=True,
    ),
    "housing": TaskKind(
        "regression",
        "regression",
        "price of a house from area and age: y = 2 x1 - 3.4 x2 + 4.2 + noise",
        {
            "points": Setting(1000, low=2, high=_most),
            "noise": Setting(0.01, low=0.0, high=_largest),
            **_held_out,
        },
        (2,),
        1,
        generated=True,
    ),
    "wave": TaskKind(
        "regression",
        "regression",
        "a smooth non-linear function of one input: y = sin(pi x) + cos(3 pi x) / 2 + noise",
        {"points": _points, "noise": _noise, "outliers": _outliers, **_held_out},
        (1,),
        1,
        generated=True,
    ),
    "zigzag": TaskKind(
        "regression",
        "regression",
        "a continuous function with kinks: three teeth between -1 and 1, + noise",
        {"points": _points, "noise": _noise, "outliers": _outliers, **_held_out},
        (1,),
        1,
        generated=True,
    ),
    "diabetes": TaskKind(
        "regression",
        "regression",
        "disease progression of 442 patients from ten measurements (scikit-learn)",
        {},
        (10,),
        1,
        (442, 0),
    ),
    "digits": TaskKind(
        "images",
        "classification",
        "1,797 handwritten digits of 8 x 8 pixels (scikit-learn)",
        {},
        (1, 8, 8),
        10,
        (1797, 0),
    ),
    "mnist": TaskKind(
        "images",
        "classification",
        "70,000 handwritten digits of 28 x 28 pixels (torchvision)",
        {},
        (1, 28, 28),
        10,
        (60_000, 10_000),
    ),
    "fashion-mnist": TaskKind(
        "images",
        "classification",
        "70,000 pieces of clothing of 28 x 28 pixels (torchvision)",
        {},
        (1, 28, 28),
        10,
        (60_000, 10_000),
    ),
    "cifar10": TaskKind(
        "images",
        "classification",
        "60,000 colour photographs of 32 x 32 pixels (torchvision)",
        {},
        (3, 32, 32),
        10,
        (50_000, 10_000),
    ),
    "imagefolder": TaskKind(
        "images",
        "classification",
        "imagefolder:PATH, your own images, one folder per class (relative to ABLATIONS_DATA)",
        {"size": Setting(32, low=4, high=1024), "grey": Setting(False)},
        None,
        None,
    ),
}


def task_kind(name: str) -> TaskKind:
    """Look up a task; `imagefolder:PATH` is found under `imagefolder`."""
    base, colon, path = name.partition(":")
    if base == "imagefolder" and not path:
        raise LevelError("task 'imagefolder' needs a folder; write 'imagefolder:PATH'")
    if base not in TASKS or (colon and base != "imagefolder"):
        raise LevelError(f"unknown task {name!r}; {suggest(base, TASKS)}")
    if not name.isprintable():
        raise LevelError(f"task {name!r} has a character that cannot be shown; rename the folder")
    return TASKS[base]
