"""Any `nn.Module` as a layer of a stack: through `torch.func` where it can be, else alone.

The module is built by a function of the user, `function(input_shape, outputs) -> nn.Module`. M of
them are one vmapped call over their values side by side, differentiated by autograd. A module
that vmap refuses (dropout or other randomness in training, control flow that depends on the
data, statistics that cannot be kept per trial) is trained alone, one trial after the other.
Which of the two is found by trying a vmapped step against the module itself, on numbers that
are always the same.

This is the one place where global randomness is used: a module draws its initial weights, and
what it draws in training, from torch's global generators, which are seeded from the trial's
streams and put back afterwards.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils.flop_counter import FlopCounterMode

from ablations.design import DesignError
from ablations.layers import Context, Parameter, Pull, Values
from ablations.levels import Level, SourceFile
from ablations.streams import Streams

Way = Literal["vmap", "alone"]
TRIED = 3  # examples on which vmap is tried
CLOSE = 1e-4  # relative: how far a vmapped float32 step may be from the module's own
OTHERS: WeakKeyDictionary[nn.Module, dict[str, str]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """A user's module as a layer that holds M trials.

    units, layers, multiply_adds  of one example's forward pass, for predictions of time:
    the largest output of a submodule, how many have parameters, and what they multiply
    """

    name: str  # as errors call it
    template: nn.Module  # its own values are never used
    build: Callable[[], nn.Module]
    outputs: int
    way: Way
    units: int
    layers: int
    multiply_adds: int

    def parameters(self) -> dict[str, Parameter]:
        """Whatever it trains; tensors of two or more dimensions count as weights."""
        return {
            name: Parameter(tuple(p.shape), "weight" if p.dim() > 1 else "bias")
            for name, p in _trained(self.template).items()
        }

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Whatever it keeps and does not train; the start is drawn with the parameters."""
        return {name: (tuple(b.shape), 0.0) for name, b in _kept(self.template).items()}

    def module(self) -> nn.Module:
        """The module as its function returns it."""
        return self.build()

    def stacked(self, x: Tensor, values: Values, context: Context) -> Tensor:
        """(M, N, *input_shape) to (M, C, N); running statistics are updated in training."""
        names = _trained(self.template)
        trained = {name: values[name] for name in names}
        kept = {name: values[name] for name in values if name not in names}
        return self._outputs(x, trained, kept, context)

    def pullback(
        self, x: Tensor, values: Values, gradients: Values, context: Context
    ) -> tuple[Tensor, Pull]:
        """By autograd; a parameter without influence has gradient zero."""
        names = _trained(self.template)
        trained = {name: values[name].detach().requires_grad_() for name in names}
        kept = {name: values[name] for name in values if name not in names}
        with torch.enable_grad():
            y = self._outputs(x, trained, kept, context)

        def pull(d: Tensor, wanted: bool) -> Tensor | None:
            if y.requires_grad:
                found = torch.autograd.grad(y, list(trained.values()), d, allow_unused=True)
                for name, gradient in zip(trained, found, strict=True):
                    _put(gradients[name], gradient)
            return None  # it is the first layer: nobody asks for the gradient by the inputs

        return y.detach(), pull

    def _outputs(
        self, x: Tensor, trained: dict[str, Tensor], kept: dict[str, Tensor], context: Context
    ) -> Tensor:
        self.template.train(context.training)
        own = _kept(self.template)
        state = {  # copies: what autograd has saved must not change; counters are integers
            name: value.clone() if own[name].is_floating_point() else value.to(own[name].dtype)
            for name, value in kept.items()
        }
        x = x.clone()  # a module may write over what it is given
        with context.cast(x.device):
            if self.way == "alone":
                every = range(len(x))
                each = [_call(self.template, _at(trained, m), _at(state, m), x[m]) for m in every]
                y = torch.stack(each)
            else:
                one_call = partial(_call, self.template)
                y = vmap(one_call, randomness="error")(trained, state, x)
        if context.training:
            for name, value in state.items():
                kept[name].copy_(value)
        return y.to(x).transpose(1, 2)


def _trained(module: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _kept(module: nn.Module) -> dict[str, Tensor]:
    frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
    return frozen | dict(module.named_buffers())


def _at(values: Values, m: int) -> dict[str, Tensor]:
    return {name: value[m] for name, value in values.items()}


def _put(into: Tensor, gradient: Tensor | None) -> None:
    if gradient is None:
        into.zero_()
    else:
        into.copy_(gradient)


def _call(module: nn.Module, trained: Values, kept: Values, x: Tensor) -> Tensor:
    values = {**trained, **kept}
    values |= {other: values[name] for other, name in _others(module).items()}
    y: Tensor = functional_call(module, values, (x,), tie_weights=False)
    for name, value in kept.items():
        if values[name] is not value:  # it was replaced, not changed in place
            value.copy_(values[name])
    return y


def _others(module: nn.Module) -> dict[str, str]:
    """Where tensors are held besides their first place: that name to the first.

    A part that stands twice in a module holds its tensors once: `functional_call`, left to find
    shared tensors by itself, would put them there twice and take back the wrong ones.
    """
    if module not in OTHERS:
        first: dict[int, str] = {}
        OTHERS[module] = {}
        for prefix, part in module.named_modules():
            own = [
                *part.named_parameters(prefix, recurse=False, remove_duplicate=False),
                *part.named_buffers(prefix, recurse=False, remove_duplicate=False),
            ]
            for name, tensor in own:
                if first.setdefault(id(tensor), name) != name:
                    OTHERS[module][name] = first[id(tensor)]
    return OTHERS[module]


@contextmanager
def own_randomness(generator: torch.Generator) -> Iterator[None]:
    """Torch's global generators as a trial's own, and afterwards as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(generator.initial_seed())
        yield


def foreign_layer(level: Level, input_shape: tuple[int, ...], outputs: int) -> Foreign:
    """The layer that a level `module` stands for, on examples of `input_shape`.

    Raises:
        DesignError: its source cannot be run, or does not return such a module.
    """
    name = f"network {str(level)!r}"
    if level.file is None:
        raise DesignError(f"{name} has not been found; read it with its study")
    function = _function(level.file, name)

    def build() -> nn.Module:
        return _built(function, name, input_shape, outputs)

    with own_randomness(torch.Generator().manual_seed(0)):
        template = build()
    way, units, layers, multiplied = _tried(level.file, name, input_shape, outputs)
    return Foreign(name, template, build, outputs, way, units, layers, multiplied)


@cache
def _tried(
    file: SourceFile, name: str, input_shape: tuple[int, ...], outputs: int
) -> tuple[Way, int, int, int]:
    """What there is to know of a source's modules: found once, on fresh ones."""
    function = _function(file, name)

    def build() -> nn.Module:
        return _built(function, name, input_shape, outputs)

    with own_randomness(torch.Generator().manual_seed(0)):
        size = _size(build(), name, input_shape, outputs)
        return _way(build, input_shape), *size


def _function(file: SourceFile, name: str) -> Callable[..., Any]:
    """The function of a source, its file run afresh; an imported module is run once."""
    path = Path(file.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DesignError(f"{name}: {path} cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DesignError(f"{name}: {path} has changed since the study was read; run it again")
    try:
        if file.module:
            module = importlib.import_module(file.module)
        else:
            spec = importlib.util.spec_from_file_location(f"ablations_source_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        raise DesignError(f"{name}: {path.name} raises {_said(error)}; mend it") from error
    function = getattr(module, file.function, None)
    if not callable(function):
        there = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise DesignError(
            f"{name}: {path.name} has no function {file.function!r}; "
            f"there is {', '.join(there) or 'none'}"
        )
    found: Callable[..., Any] = function
    return found


def _built(
    function: Callable[..., Any], name: str, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    given = f"{function.__name__}({input_shape}, {outputs})"
    try:
        module = function(input_shape, outputs)
    except Exception as error:  # whatever the user's function raises
        raise DesignError(f"{name}: {given} raises {_said(error)}; mend it") from error
    if not isinstance(module, nn.Module):
        raise DesignError(f"{name}: {given} returns a {type(module).__name__}; return an nn.Module")
    if not _trained(module):
        raise DesignError(f"{name}: {given} returns a module without parameters to train")
    return module


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _size(
    module: nn.Module, name: str, input_shape: tuple[int, ...], outputs: int
) -> tuple[int, int, int]:
    """Units, layers and multiply-adds of one example; refuses what gives other outputs."""
    most, layers = [outputs], 0

    def watch(part: nn.Module, inputs: Any, found: Any) -> None:
        nonlocal layers
        if isinstance(found, Tensor):
            most.append(found.numel() // TRIED)
        layers += any(True for _ in part.parameters(recurse=False))

    handles = [part.register_forward_hook(watch) for part in module.modules()]
    x = torch.zeros(TRIED, *input_shape)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            y = module.eval()(x)
    except Exception as error:  # whatever the user's forward raises
        raise DesignError(
            f"{name}: examples of shape {input_shape} make it raise {_said(error)}; mend it"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(y, Tensor) or y.shape != (TRIED, outputs):
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise DesignError(
            f"{name}: {TRIED} examples of shape {input_shape} give {got}; return a tensor of "
            f"shape ({TRIED}, {outputs}), the outputs of each example in a row"
        )
    return max(most), max(layers, 1), max(counter.get_total_flops() // (2 * TRIED), 1)


def _way(build: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> Way:
    """`vmap` if a vmapped step of two modules gives what each gives by itself."""
    modules = [build(), build()]
    x = torch.randn(len(modules), TRIED, *input_shape)
    try:
        for training in (True, False):
            together = _stepped_together(modules, x, training)
            for m, module in enumerate(modules):
                alone = _stepped(module, x[m], training)
                if not all(
                    _agree(here[m], there) for here, there in zip(together, alone, strict=True)
                ):
                    return "alone"
    except Exception:  # whatever torch.func refuses a module with
        return "alone"
    return "vmap"


def _agree(a: Tensor, b: Tensor) -> bool:
    scale = float(b.abs().max()) if b.numel() else 0.0
    return torch.allclose(a.to(b.dtype), b, rtol=CLOSE, atol=CLOSE * scale)


def _stepped_together(modules: Sequence[nn.Module], x: Tensor, training: bool) -> list[Tensor]:
    """Outputs, gradients and what is kept, (M, ...) each, by vmap."""
    template = modules[0].train(training)
    stacks = [
        {name: torch.stack([of(m)[name].detach() for m in modules]) for name in of(template)}
        for of in (_trained, _kept)
    ]
    trained = {name: value.requires_grad_() for name, value in stacks[0].items()}
    y = vmap(lambda *one: _call(template, *one), randomness="error")(trained, stacks[1], x)
    found = torch.autograd.grad(y.square().sum(), list(trained.values()), allow_unused=True)
    gradients = [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(trained.values(), found, strict=True)
    ]
    return [y.detach(), *gradients, *stacks[1].values()]


def _stepped(module: nn.Module, x: Tensor, training: bool) -> list[Tensor]:
    """The same by the module itself, whose kept values change."""
    trained = _trained(module.train(training))
    y: Tensor = module(x)
    found = torch.autograd.grad(y.square().sum(), list(trained.values()), allow_unused=True)
    gradients = [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(trained.values(), found, strict=True)
    ]
    return [y.detach(), *gradients, *_kept(module).values()]


def drawn_values(
    layer: Foreign, seeds: Sequence[int], *, streams: Streams, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Parameters (S, P) and what is kept (S, B): a module built anew from each seed's stream.

    Raises:
        DesignError: its function does not always return the same shapes.
    """
    rows = []
    for seed in seeds:
        with own_randomness(streams.generator("init", seed)):
            module = layer.build()
        both = _trained(module), _kept(module)
        for found, first in zip(
            both, (_trained(layer.template), _kept(layer.template)), strict=True
        ):
            if _shapes(found) != _shapes(first):
                raise DesignError(
                    f"{layer.name}: its function returns modules of different shapes; let them "
                    "depend on input_shape and outputs alone"
                )
        rows.append([_flat(found, dtype) for found in both])
    parameters, kept = (torch.stack(each) for each in zip(*rows, strict=True))
    return parameters, kept


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _flat(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    pieces = [tensor.detach().flatten().to(dtype) for tensor in tensors.values()]
    return torch.cat(pieces) if pieces else torch.empty(0, dtype=dtype)
