"""Layers that hold M trials, each beside its plain `torch.nn` module.

A layer is frozen data with four readings: the parameters it needs, the `nn.Module` a user
would write, `stacked`, which applies M of them at once, and `pullback`, which does so and
returns the function from the gradient of its outputs to that of its inputs. The layers of
a fully connected network have theirs written out, which for small networks costs a
fraction of autograd's bookkeeping; the others are differentiated by autograd, layer by
layer. Between fully connected layers the M trials lie features first, (M, H, N); between
convolutions they lie (M, N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.levels import Scalar
from ablations.products import product

Values = Mapping[str, Tensor]
Pull = Callable[[Tensor, bool], Tensor | None]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor of a layer, for one trial."""

    shape: tuple[int, ...]
    role: str  # weight, bias, scale, slope: only weights are penalised
    start: float | None = None  # a constant start; None: drawn by the network's init
    fan_in: int = 0
    fan_out: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """What a forward pass knows besides values.

    `uniform(shape)` draws (M, *shape) numbers in [0, 1) from each trial's own stream. With
    `mixed`, products and convolutions take and give bfloat16 numbers, as under `torch.autocast`;
    parameters, gradients and all else stay as they are.
    """

    training: bool
    dropout: Tensor | None = None  # (M,) rates
    uniform: Callable[[tuple[int, ...]], Tensor] | None = None
    mixed: bool = False

    def cast(self, device: torch.device) -> AbstractContextManager[None]:
        """What torch's own products and convolutions are to be computed under."""
        return torch.autocast(device.type, torch.bfloat16) if self.mixed else nullcontext()


EVALUATION = Context(training=False)


class Layer(Protocol):
    """A layer in its three readings. An activation may write over what it is given."""

    def parameters(self) -> dict[str, Parameter]:
        """Trained tensors by name."""

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Tensors that are kept but not trained: shape and start."""

    def module(self) -> nn.Module:
        """The plain layer."""

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """M layers at once."""

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """M layers at once, and the way back.

        The second result takes the gradient of the loss by the outputs and writes that by
        the parameters into `gradients`, shaped as `values`. If its second argument is true
        it returns the gradient by the inputs.
        """


def by_autograd(
    layer: Layer, x: Tensor, values: Values, gradients: Values, context: Context
) -> tuple[Tensor, Pull]:
    """The pullback of a layer, found by torch."""
    x = x.detach().requires_grad_()
    trained = {name: values[name].detach().requires_grad_() for name in layer.parameters()}
    with torch.enable_grad():
        y = layer.stacked(x, {**values, **trained}, context)

    def pull(d: Tensor, wanted: bool) -> Tensor | None:
        sources = [*trained.values(), *([x] if wanted else [])]
        if not sources:
            return None
        found = torch.autograd.grad(y, sources, d)
        for name, gradient in zip(trained, found, strict=False):
            gradients[name].copy_(gradient)
        return found[-1] if wanted else None

    return y.detach(), pull


class _Fixed:
    """A layer with nothing to learn and nothing to remember."""

    __slots__ = ()

    def parameters(self) -> dict[str, Parameter]:
        return {}

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        return {}


def stacked_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, mixed: bool = False
) -> Tensor:
    """Apply M affine maps, each to its own inputs.

    Shapes:
        x       (M, D, N)   M trials, D inputs, N examples: features first
        weight  (M, H, D)   as in `torch.nn.Linear`
        bias    (M, H)
        result  (M, H, N)
    """
    y = product(weight, x, mixed=mixed)
    return y if bias is None else y.add_(bias.unsqueeze(2))


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer."""

    inputs: int
    outputs: int
    bias: bool = True

    def parameters(self) -> dict[str, Parameter]:
        """Weight (outputs, inputs) and bias (outputs,)."""
        fans = {"fan_in": self.inputs, "fan_out": self.outputs}
        weight = Parameter((self.outputs, self.inputs), "weight", **fans)
        bias = {"bias": Parameter((self.outputs,), "bias", **fans)} if self.bias else {}
        return {"weight": weight} | bias

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """None."""
        return {}

    def module(self) -> nn.Module:
        """`nn.Linear`."""
        return nn.Linear(self.inputs, self.outputs, bias=self.bias)

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """(M, D, N) to (M, H, N)."""
        return stacked_linear(x, values["weight"], values.get("bias"), mixed=context.mixed)

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """d x' for the weights, the sum of d for the bias, weight' d for the inputs."""

        def pull(d: Tensor, wanted: bool) -> Tensor | None:
            product(d, x.transpose(1, 2), out=gradients["weight"], mixed=context.mixed)
            if self.bias:
                torch.sum(d, 2, out=gradients["bias"])
            if not wanted:
                return None
            return product(values["weight"].transpose(1, 2), d, mixed=context.mixed)

        return self.stacked(x, values, context), pull


@dataclass(frozen=True, slots=True)
class Convolution:
    """A 2-d convolution."""

    inputs: int
    outputs: int
    kernel: int
    bias: bool = True
    padding: int = 0
    stride: int = 1

    def parameters(self) -> dict[str, Parameter]:
        """Weight (outputs, inputs, k, k) and bias (outputs,)."""
        area = self.kernel**2
        fans = {"fan_in": self.inputs * area, "fan_out": self.outputs * area}
        shape = (self.outputs, self.inputs, self.kernel, self.kernel)
        bias = {"bias": Parameter((self.outputs,), "bias", **fans)} if self.bias else {}
        return {"weight": Parameter(shape, "weight", **fans)} | bias

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """None."""
        return {}

    def module(self) -> nn.Module:
        """`nn.Conv2d`."""
        return nn.Conv2d(
            self.inputs,
            self.outputs,
            self.kernel,
            padding=self.padding,
            stride=self.stride,
            bias=self.bias,
        )

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """(M, N, C, H, W) to (M, N, C', H', W'), one trial after the other.

        On a CPU a grouped convolution over the M trials gains nothing, and its bytes
        would depend on M.
        """
        weights = values["weight"].unbind()
        biases = values["bias"].unbind() if self.bias else [None] * len(weights)
        each = zip(x.unbind(), weights, biases, strict=True)
        with context.cast(x.device):
            y = [F.conv2d(x_m, w, b, self.stride, self.padding).to(x) for x_m, w, b in each]
        return torch.stack(y) if len(y) > 1 else y[0].unsqueeze(0)

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """By autograd."""
        return by_autograd(self, x, values, gradients, context)


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalisation of features or of image channels."""

    features: int
    image: bool = False
    epsilon: float = 1e-5
    momentum: float = 0.1

    def parameters(self) -> dict[str, Parameter]:
        """Scale and shift, as in `nn.BatchNorm1d`."""
        return {
            "weight": Parameter((self.features,), "scale", 1.0),
            "bias": Parameter((self.features,), "bias", 0.0),
        }

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Running mean and variance."""
        return {"running_mean": ((self.features,), 0.0), "running_var": ((self.features,), 1.0)}

    def module(self) -> nn.Module:
        """`nn.BatchNorm1d` or `nn.BatchNorm2d`."""
        return nn.BatchNorm2d(self.features) if self.image else nn.BatchNorm1d(self.features)

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """Normalise by the minibatch in training, by the running statistics otherwise."""
        if context.training:
            normal, _ = self._normalised(x, values)
            return self._spread(values["weight"]) * normal + self._spread(values["bias"])
        if self.image and x.is_cpu:
            return self._applied(x, values["running_mean"], values["running_var"], values)
        scale = values["weight"] * torch.rsqrt(values["running_var"] + self.epsilon)
        shift = values["bias"] - values["running_mean"] * scale
        return x * self._spread(scale) + self._spread(shift)

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """Ioffe and Szegedy (2015): the gradient less its mean and its slope on the inputs."""
        if not context.training:
            return by_autograd(self, x, values, gradients, context)
        if self.image and x.is_cpu:
            return self._one_by_one(x, values, gradients)
        normal, inverse = self._normalised(x, values)
        weight = values["weight"]

        def pull(d: Tensor, wanted: bool) -> Tensor | None:
            shift, slope = self._total(d), self._total(d * normal)  # (M, F) each
            gradients["bias"].copy_(shift)
            gradients["weight"].copy_(slope)
            if not wanted:
                return None
            count = d.numel() // shift.numel()
            rest = d - self._spread(shift / count) - normal * self._spread(slope / count)
            return rest.mul_(self._spread(weight * inverse))

        return self._spread(weight) * normal + self._spread(values["bias"]), pull

    def _one_by_one(self, x: Tensor, values: Values, gradients: Values) -> tuple[Tensor, Pull]:
        """The same by torch's routines for one network: twice as fast on images on a CPU.

        Its routine for the statistics is the slow part, so they are ours.
        """
        mean, variance = self._centred(x, values)[1:]
        inverse = torch.rsqrt(variance + self.epsilon)
        weight = values["weight"]

        def pull(d: Tensor, wanted: bool) -> Tensor | None:
            into = torch.empty_like(x) if wanted else None
            for m in range(len(x)):
                found = aten.native_batch_norm_backward(
                    d[m], x[m], weight[m], None, None, mean[m], inverse[m], True, self.epsilon,
                    [wanted, True, True],
                )  # fmt: skip
                gradients["weight"][m], gradients["bias"][m] = found[1:]
                if into is not None:
                    into[m] = found[0]
            return into

        return self._applied(x, mean, variance, values), pull

    def _applied(self, x: Tensor, mean: Tensor, variance: Tensor, values: Values) -> Tensor:
        """Images of each trial normalised by given statistics (M, F)."""
        each = zip(x, mean, variance, values["weight"], values["bias"], strict=True)
        y = [F.batch_norm(*one, False, 0.0, self.epsilon) for one in each]
        return torch.stack(y) if len(y) > 1 else y[0].unsqueeze(0)

    def _normalised(self, x: Tensor, values: Values) -> tuple[Tensor, Tensor]:
        """Inputs with mean 0 and variance 1 per feature, and 1 / deviation (M, F)."""
        centred, _, variance = self._centred(x, values)
        inverse = torch.rsqrt(variance + self.epsilon)
        return centred.mul_(self._spread(inverse)), inverse

    def _centred(self, x: Tensor, values: Values) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs less their mean, their mean and their variance (M, F); remembers these."""
        count = x.numel() // (len(x) * self.features)
        mean = self._total(x) / count
        centred = x - self._spread(mean)
        variance = self._total(centred.square()) / count
        self._remember(count, mean, variance, values)
        return centred, mean, variance

    def _spread(self, numbers: Tensor) -> Tensor:
        """(M, F) so that it multiplies what the layer holds."""
        return numbers[:, None, :, None, None] if self.image else numbers[..., None]

    def _total(self, x: Tensor) -> Tensor:
        """The sum over examples and pixels, (M, F)."""
        return x.sum((3, 4)).sum(1) if self.image else x.sum(2)

    def _remember(self, count: int, mean: Tensor, variance: Tensor, values: Values) -> None:
        unbiased = variance * (count / max(count - 1, 1))
        values["running_mean"].lerp_(mean, self.momentum)
        values["running_var"].lerp_(unbiased, self.momentum)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Layer normalisation: over the features of one example, or over a whole image."""

    features: int
    image: bool = False
    epsilon: float = 1e-5

    def parameters(self) -> dict[str, Parameter]:
        """Scale and shift per feature or channel."""
        return {
            "weight": Parameter((self.features,), "scale", 1.0),
            "bias": Parameter((self.features,), "bias", 0.0),
        }

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """None."""
        return {}

    def module(self) -> nn.Module:
        """`nn.LayerNorm`, or for images `nn.GroupNorm` with one group."""
        return nn.GroupNorm(1, self.features) if self.image else nn.LayerNorm(self.features)

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """Normalise each example by its own mean and variance."""
        dims = (2, 3, 4) if self.image else (1,)
        spread = (slice(None), None, slice(None), None, None) if self.image else (..., None)
        variance, mean = torch.var_mean(x, dim=dims, correction=0, keepdim=True)
        normal = (x - mean) * torch.rsqrt(variance + self.epsilon)
        return normal * values["weight"][spread] + values["bias"][spread]

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """By autograd."""
        return by_autograd(self, x, values, gradients, context)


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function; `prelu` learns its slope."""

    name: str
    settings: tuple[tuple[str, Scalar], ...] = ()

    def parameters(self) -> dict[str, Parameter]:
        """The slope of `prelu`, else nothing."""
        if self.name != "prelu":
            return {}
        return {"weight": Parameter((1,), "slope", float(dict(self.settings)["start"]))}

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """None."""
        return {}

    def module(self) -> nn.Module:
        """The class in `torch.nn`."""
        return MODULES[self.name](dict(self.settings))

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """The same function on M trials at once."""
        if self.name == "prelu":
            slope = values["weight"].view(-1, *[1] * (x.dim() - 1))
            return torch.where(x > 0, x, slope * x)
        if self.name in IN_PLACE:
            return IN_PLACE[self.name](x)
        return FUNCTIONS[self.name](x, dict(self.settings))

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """The gradient times the derivative; by autograd where a slope is learned."""
        if self.name == "prelu":
            return by_autograd(self, x, values, gradients, context)
        settings = dict(self.settings)
        y = self.stacked(x, values, context)
        return y, lambda d, wanted: DERIVATIVES[self.name](d, x, y, settings) if wanted else None


FUNCTIONS: dict[str, Callable[[Tensor, Mapping[str, Scalar]], Tensor]] = {
    "identity": lambda x, _: x,
    "relu": lambda x, _: F.relu(x),
    "leaky_relu": lambda x, s: F.leaky_relu(x, float(s["negative_slope"])),
    "elu": lambda x, s: F.elu(x, float(s["alpha"])),
    "selu": lambda x, _: F.selu(x),
    "celu": lambda x, s: F.celu(x, float(s["alpha"])),
    "gelu": lambda x, _: F.gelu(x),
    "silu": lambda x, _: F.silu(x),
    "mish": lambda x, _: F.mish(x),
    "softplus": lambda x, s: F.softplus(x, float(s["beta"])),
    "softsign": lambda x, _: F.softsign(x),
    "tanh": lambda x, _: torch.tanh(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "hardtanh": lambda x, _: F.hardtanh(x),
    "hardswish": lambda x, _: F.hardswish(x),
    "hardshrink": lambda x, s: F.hardshrink(x, float(s["threshold"])),
    "softshrink": lambda x, s: F.softshrink(x, float(s["threshold"])),
    "tanhshrink": lambda x, _: F.tanhshrink(x),
}

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. (2017)
SOFTPLUS_THRESHOLD = 20.0  # torch's: beyond it softplus is the identity

# Functions whose derivative takes their outputs alone: their inputs need not be kept.
IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
}

# The gradient d by the outputs y times the derivative at the inputs x, which may be written
# over d: the functions that torch's own autograd calls, so that kinks are resolved as torch
# resolves them. Those of IN_PLACE are given y for x.
aten = torch.ops.aten
Derivative = Callable[[Tensor, Tensor, Tensor, Mapping[str, Scalar]], Tensor]
DERIVATIVES: dict[str, Derivative] = {
    "identity": lambda d, x, y, _: d,
    "relu": lambda d, x, y, _: aten.threshold_backward.grad_input(d, y, 0, grad_input=d),
    "leaky_relu": lambda d, x, y, s: aten.leaky_relu_backward.grad_input(
        d, x, float(s["negative_slope"]), False, grad_input=d
    ),
    "elu": lambda d, x, y, s: _elu_slope(d, x, float(s["alpha"])),
    "selu": lambda d, x, y, _: _elu_slope(d, x, SELU_ALPHA, SELU_SCALE),
    "celu": lambda d, x, y, s: _elu_slope(d, x, float(s["alpha"]), inner=1 / float(s["alpha"])),
    "gelu": lambda d, x, y, _: aten.gelu_backward.grad_input(d, x, grad_input=d),
    "silu": lambda d, x, y, _: aten.silu_backward.grad_input(d, x, grad_input=d),
    "mish": lambda d, x, y, _: aten.mish_backward(d, x),
    "softplus": lambda d, x, y, s: aten.softplus_backward.grad_input(
        d, x, float(s["beta"]), SOFTPLUS_THRESHOLD, grad_input=d
    ),
    "softsign": lambda d, x, y, _: d / (1 + x.abs()).square_(),
    "tanh": lambda d, x, y, _: aten.tanh_backward.grad_input(d, y, grad_input=d),
    "sigmoid": lambda d, x, y, _: aten.sigmoid_backward.grad_input(d, y, grad_input=d),
    "hardtanh": lambda d, x, y, _: aten.hardtanh_backward.grad_input(d, x, -1, 1, grad_input=d),
    "hardswish": lambda d, x, y, _: aten.hardswish_backward(d, x),
    "hardshrink": lambda d, x, y, s: aten.hardshrink_backward.grad_input(
        d, x, float(s["threshold"]), grad_input=d
    ),
    "softshrink": lambda d, x, y, s: aten.softshrink_backward.grad_input(
        d, x, float(s["threshold"]), grad_input=d
    ),
    "tanhshrink": lambda d, x, y, _: torch.tanh(x).square_().mul_(d),
}


def _elu_slope(d: Tensor, x: Tensor, alpha: float, scale: float = 1, inner: float = 1) -> Tensor:
    result: Tensor = aten.elu_backward.grad_input(d, alpha, scale, inner, False, x, grad_input=d)
    return result


MODULES: dict[str, Callable[[Mapping[str, Scalar]], nn.Module]] = {
    "identity": lambda _: nn.Identity(),
    "relu": lambda _: nn.ReLU(),
    "leaky_relu": lambda s: nn.LeakyReLU(float(s["negative_slope"])),
    "prelu": lambda s: nn.PReLU(init=float(s["start"])),
    "elu": lambda s: nn.ELU(float(s["alpha"])),
    "selu": lambda _: nn.SELU(),
    "celu": lambda s: nn.CELU(float(s["alpha"])),
    "gelu": lambda _: nn.GELU(),
    "silu": lambda _: nn.SiLU(),
    "mish": lambda _: nn.Mish(),
    "softplus": lambda s: nn.Softplus(float(s["beta"])),
    "softsign": lambda _: nn.Softsign(),
    "tanh": lambda _: nn.Tanh(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "hardtanh": lambda _: nn.Hardtanh(),
    "hardswish": lambda _: nn.Hardswish(),
    "hardshrink": lambda s: nn.Hardshrink(float(s["threshold"])),
    "softshrink": lambda s: nn.Softshrink(float(s["threshold"])),
    "tanhshrink": lambda _: nn.Tanhshrink(),
}


@dataclass(frozen=True, slots=True)
class Dropout(_Fixed):
    """Zero each unit with a probability of its trial's own, and scale up the rest."""

    rate: float

    def module(self) -> nn.Module:
        """`nn.Dropout`."""
        return nn.Dropout(self.rate)

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """In training, masks come from each trial's own stream; the identity otherwise."""
        return x * self._mask(x, context) if context.training else x

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """The gradient through the same mask."""
        mask = self._mask(x, context)
        return x * mask, lambda d, wanted: d * mask if wanted else None

    def _mask(self, x: Tensor, context: Context) -> Tensor:
        assert context.dropout is not None
        assert context.uniform is not None
        rate = context.dropout.view(-1, *[1] * (x.dim() - 1))
        return (context.uniform(tuple(x.shape[1:])) >= rate) / (1 - rate)


@dataclass(frozen=True, slots=True)
class Pool(_Fixed):
    """Shrink an image: the maximum or the average of each square of pixels."""

    name: str
    size: int = 2

    def module(self) -> nn.Module:
        """`nn.MaxPool2d` or `nn.AvgPool2d`."""
        return nn.MaxPool2d(self.size) if self.name == "max" else nn.AvgPool2d(self.size)

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """(M, N, C, H, W) to (M, N, C, H // size, W // size).

        Elementwise along the rows of the squares, then down: on one thread more than ten times
        faster than `F.max_pool2d`.
        """
        if self.name == "average":
            rows = reduce(torch.add, self._cut(x, -1))
            return reduce(torch.add, self._cut(rows, -2)) / self.size**2
        rows = reduce(torch.maximum, self._cut(x, -1))
        return reduce(torch.maximum, self._cut(rows, -2))

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """The same share to each pixel, or all to the first of the largest, as torch does."""
        if self.name == "average":
            return self.stacked(
                x, values, context
            ), lambda d, wanted: self._spread_evenly(d, x) if wanted else None
        pixels = self._cut(x, -1)
        along = list(accumulate(pixels, torch.maximum))  # the largest so far
        rows = self._cut(along[-1], -2)
        down = list(accumulate(rows, torch.maximum))

        def pull(d: Tensor, wanted: bool) -> Tensor | None:
            if not wanted:
                return None
            between, into = torch.zeros_like(along[-1]), torch.zeros_like(x)
            _give_to_largest(d, rows, down, self._cut(between, -2))
            _give_to_largest(between, pixels, along, self._cut(into, -1))
            return into

        return down[-1], pull

    def _spread_evenly(self, d: Tensor, x: Tensor) -> Tensor:
        into, share = torch.zeros_like(x), d / self.size**2
        for columns in self._cut(into, -1):
            for place in self._cut(columns, -2):
                place.copy_(share)
        return into

    def _cut(self, x: Tensor, axis: int) -> tuple[Tensor, ...]:
        """The first, second, ... pixels of all squares along an axis; what fills none is left."""
        whole = x.narrow(axis, 0, x.shape[axis] // self.size * self.size)
        parts: tuple[Tensor, ...] = whole.unflatten(axis, (-1, self.size)).unbind(axis)
        return parts


def _give_to_largest(
    d: Tensor, parts: Sequence[Tensor], largest: Sequence[Tensor], places: Sequence[Tensor]
) -> None:
    """Write d where a part is the first of the largest, and zero elsewhere.

    All tensors have one shape; largest[k] is the maximum of the parts up to k.
    """
    for k in range(len(parts) - 1, 0, -1):
        here = aten.threshold_backward(d, parts[k] - largest[k - 1], 0)
        places[k].copy_(here)
        d = d - here
    places[0].copy_(d)


@dataclass(frozen=True, slots=True)
class Flatten(_Fixed):
    """From examples as they are stored to features first."""

    def module(self) -> nn.Module:
        """`nn.Flatten`."""
        return nn.Flatten()

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """(M, N, ...) to (M, D, N)."""
        return x.flatten(2).transpose(1, 2)

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """Back to examples first."""
        return self.stacked(
            x, values, context
        ), lambda d, wanted: d.transpose(1, 2).reshape(x.shape) if wanted else None
