"""A cell's network: one description, two forms that agree.

`describe` turns a cell into blocks of layers. From the same description come the plain
`nn.Module` a user would write (`plain_network`) and M of them at once (`stacked_forward`),
with the same parameter names, so that one trial of a stack loads into the module.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.design import Cell, canonical, layers_of
from ablations.foreign import Foreign, drawn_values, foreign_layer
from ablations.layers import (
    Activation,
    BatchNorm,
    Context,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    Parameter,
    Pool,
    Pull,
)
from ablations.levels import Scalar
from ablations.sequences import ListedLayer, images
from ablations.streams import Streams

VECTOR = 32  # elements that torch's vectorised loops take at once: 32 with AVX-512, 16 with AVX2


@dataclass(frozen=True, slots=True)
class Block:
    """Named layers in a row; a residual block adds its input to its output."""

    name: str
    layers: tuple[tuple[str, Layer], ...]
    residual: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """A second output layer in the middle of a network, used in training only.

    Its loss, times `weight`, is added to that of the outputs (Szegedy et al. 2015).
    """

    block: Block
    after: str  # the block whose outputs it sees
    weight: float


@dataclass(frozen=True, slots=True)
class Network:
    """The description both forms are built from."""

    blocks: tuple[Block, ...]
    head: Head | None = None

    def alone(self) -> Network:
        """The same, whose module of a user's is never stacked."""
        if self.foreign is None:
            return self
        (name, _), *_ = self.blocks[0].layers
        layer = (name, replace(self.foreign, way="alone"))
        return Network((replace(self.blocks[0], layers=(layer,)),))

    @property
    def all_blocks(self) -> tuple[Block, ...]:
        """The blocks in a row, then that of the head."""
        return (*self.blocks, *([self.head.block] if self.head else []))

    @property
    def foreign(self) -> Foreign | None:
        """The user's module, where the network is one."""
        layer = self.blocks[0].layers[0][1]
        return layer if isinstance(layer, Foreign) else None

    def parameters(self) -> dict[str, Parameter]:
        """Trained tensors of one trial by their name in `nn.Module.state_dict`."""
        return {
            f"{block.name}.{layer_name}.{name}": parameter
            for block in self.all_blocks
            for layer_name, layer in block.layers
            for name, parameter in layer.parameters().items()
        }

    def buffers(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Running statistics of one trial: shape and start."""
        return {
            f"{block.name}.{layer_name}.{name}": buffer
            for block in self.all_blocks
            for layer_name, layer in block.layers
            for name, buffer in layer.buffers().items()
        }


def describe(cell: Cell, input_shape: tuple[int, ...], outputs: int) -> Network:
    """The network of a cell on examples of `input_shape`, with `outputs` outputs.

    A layer before batch norm has no bias, since the norm would take it out again. One
    before layer norm keeps it: there it is not redundant, and without it the first layer
    would see only the direction of its inputs, never their length.
    """
    cell = canonical(cell)
    if cell.network.name == "cnn":
        return _cnn(cell, input_shape, outputs)
    if cell.network.name == "sequential":
        return _sequential(cell, input_shape, outputs)
    if cell.network.name == "module":
        layer = foreign_layer(cell.network, input_shape, outputs)
        return Network((Block("module", (("network", layer),)),))
    return _mlp(cell, math.prod(input_shape), outputs)


def _mlp(cell: Cell, inputs: int, outputs: int) -> Network:
    blocks = [Block("input", (("flatten", Flatten()),))]
    for n in range(cell.depth):
        linear = Linear(inputs, cell.width, bias=cell.norm.name != "batch")
        layers = [("linear", linear), *_after(cell, cell.width, image=False)]
        blocks.append(Block(f"hidden{n}", tuple(layers), cell.residual and inputs == cell.width))
        inputs = cell.width
    blocks.append(Block("output", (("linear", Linear(inputs, outputs)),)))
    return Network(tuple(blocks), _head(cell, outputs))


def _head(cell: Cell, outputs: int) -> Head | None:
    """The auxiliary output, after the layer in the middle."""
    if cell.regularisation.name != "auxiliary_loss" or cell.depth == 0:
        return None
    block = Block("auxiliary", (("linear", Linear(cell.width, outputs)),))
    weight = float(cell.settings("regularisation")["weight"])
    return Head(block, f"hidden{(cell.depth - 1) // 2}", weight)


def _cnn(cell: Cell, input_shape: tuple[int, ...], outputs: int) -> Network:
    channels, height, width = input_shape
    kernel = int(cell.settings("network")["kernel"])
    blocks = []
    for n in range(cell.depth):
        convolution = Convolution(
            channels, cell.width, kernel, bias=cell.norm.name != "batch", padding=kernel // 2
        )
        pool = ("pool", Pool(cell.pooling.name))
        after = _after(cell, cell.width, image=True)
        dropout = [layer for layer in after if layer[0] == "dropout"]
        before_pool = [layer for layer in after if layer[0] != "dropout"]
        layers = [("convolution", convolution), *before_pool, pool, *dropout]
        blocks.append(Block(f"hidden{n}", tuple(layers)))
        channels, height, width = cell.width, height // 2, width // 2
    blocks.append(
        Block(
            "output",
            (("flatten", Flatten()), ("linear", Linear(channels * height * width, outputs))),
        )
    )
    return Network(tuple(blocks))


def _sequential(cell: Cell, input_shape: tuple[int, ...], outputs: int) -> Network:
    """Layers as listed; norm, activation and dropout follow each but a pooling."""
    listed = layers_of(cell)
    bias = cell.norm.name != "batch"
    blocks, inputs = [], math.prod(input_shape)
    if listed[0].kind != "linear":
        shapes = images(listed, input_shape)
        before = [input_shape, *shapes]
        for n, (layer, shape) in enumerate(zip(listed, before[:-1], strict=False)):
            blocks.append(Block(f"hidden{n}", tuple(_image_layers(cell, layer, shape[0], bias))))
        inputs = math.prod(shapes[-1])
    blocks.append(Block("flat", (("flatten", Flatten()),)))
    for layer in listed:
        if layer.kind == "linear":
            linear = ("linear", Linear(inputs, layer.units, bias=bias))
            after = _after(cell, layer.units, image=False)
            blocks.append(Block(f"hidden{len(blocks) - 1}", (linear, *after)))
            inputs = layer.units
    return Network((*blocks, Block("output", (("linear", Linear(inputs, outputs)),))))


def _image_layers(
    cell: Cell, layer: ListedLayer, channels: int, bias: bool
) -> list[tuple[str, Layer]]:
    if layer.kind == "pool":
        return [("pool", Pool(cell.pooling.name, layer.kernel))]
    size = {"padding": layer.padding, "stride": layer.stride}
    convolution = Convolution(channels, layer.units, layer.kernel, bias=bias, **size)
    return [("convolution", convolution), *_after(cell, layer.units, image=True)]


def _after(cell: Cell, features: int, *, image: bool) -> list[tuple[str, Layer]]:
    """Norm, activation and dropout of a hidden layer."""
    layers: list[tuple[str, Layer]] = []
    if cell.norm.name == "batch":
        layers.append(("norm", BatchNorm(features, image)))
    if cell.norm.name == "layer":
        layers.append(("norm", LayerNorm(features, image)))
    settings = tuple(cell.settings("activation").items())
    layers.append(("activation", Activation(cell.activation.name, settings)))
    if cell.regularisation.name == "dropout":
        layers.append(("dropout", Dropout(float(cell.settings("regularisation")["rate"]))))
    return layers


class Residual(nn.Sequential):
    """Layers in a row whose input is added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        """x + layers(x)."""
        result: Tensor = x + super().forward(x)  # type: ignore[no-untyped-call]
        return result


class TwoHeaded(nn.Sequential):
    """Blocks in a row, the last of them a head that sees what comes out of block `after`."""

    def __init__(self, blocks: OrderedDict[str, nn.Module], after: str) -> None:
        super().__init__(blocks)
        self.after = after

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The outputs; in training those of the head as well."""
        *blocks, (_, head) = self.named_children()
        second = x
        for name, block in blocks:
            x = block(x)
            second = x if name == self.after else second
        return (x, head(second)) if self.training else x


def plain_network(network: Network) -> nn.Module:
    """The network as a user would write it, with torch's own initial weights."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for block in network.all_blocks:
        kind = Residual if block.residual else nn.Sequential
        blocks[block.name] = kind(
            OrderedDict((name, layer.module()) for name, layer in block.layers)
        )
    return TwoHeaded(blocks, network.head.after) if network.head else nn.Sequential(blocks)


@dataclass(frozen=True, slots=True)
class StackValues:
    """The values of M trials, or their gradients: two flat tensors and views into them.

    Shapes:
        flat     (M, P) all trained parameters of each trial, side by side; P may be larger
        buffers  (M, B) running statistics
    `layers[b][l]` maps the names of layer l of block b to its views, (M, *shape).
    """

    flat: Tensor
    buffers: Tensor
    layers: tuple[tuple[dict[str, Tensor], ...], ...]


def padded(flat: Tensor) -> Tensor:
    """Parameters (M, P) with zeros behind them, so that each trial's fill whole vectors."""
    return F.pad(flat, (0, -flat.shape[1] % VECTOR))


def view_values(network: Network, flat: Tensor, buffers: Tensor) -> StackValues:
    """Views of flat values as the network's tensors. Writing to `flat` changes them."""
    layers = []
    at = {"parameter": 0, "buffer": 0}

    def cut(source: Tensor, kind: str, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape)
        at[kind] += size
        return source[:, at[kind] - size : at[kind]].view(len(source), *shape)

    for block in network.all_blocks:
        views = []
        for _, layer in block.layers:
            values = {}
            for name, parameter in layer.parameters().items():
                values[name] = cut(flat, "parameter", parameter.shape)
            for name, (shape, _) in layer.buffers().items():
                values[name] = cut(buffers, "buffer", shape)
            views.append(values)
        layers.append(tuple(views))
    return StackValues(flat, buffers, tuple(layers))


def stacked_forward(
    network: Network,
    values: StackValues,
    x: Tensor,
    context: Context,
    *,
    watch: Callable[[Layer, Mapping[str, Tensor], Tensor], None] | None = None,
) -> Tensor:
    """The outputs of M networks, each on its own examples.

    Shapes:
        x       (M, N, *input_shape)
        result  (M, C, N)

    Args:
        watch: told every layer, with its values and inputs.
    """
    for block, layers in zip(network.blocks, values.layers, strict=False):
        h = x
        for (_, layer), layer_values in zip(block.layers, layers, strict=True):
            if watch is not None:
                watch(layer, layer_values, h)
            h = layer.stacked(h, layer_values, context)
        x = x + h if block.residual else h
    return x


def stacked_gradient(
    network: Network,
    values: StackValues,
    gradient: StackValues,
    x: Tensor,
    *,
    output_gradient: Callable[[Tensor], Tensor],
    context: Context,
    watch: Callable[[Tensor], None] | None = None,
) -> None:
    """The gradient of M losses by the parameters, written into `gradient`.

    Shapes:
        x                (M, N, *input_shape)
        output_gradient  from outputs (M, C, N) to the gradient of the losses by them
        gradient         views of a flat tensor like that of `values`

    Args:
        watch: told the outputs.
    """
    tape: list[tuple[Block, list[Pull]]] = []  # from the first layer that has parameters
    head, aside = network.head, None
    for block, layers, into in zip(network.blocks, values.layers, gradient.layers, strict=False):
        h = x
        pulls: list[Pull] = []
        for (_, layer), here, there in zip(block.layers, layers, into, strict=True):
            if tape or pulls or there:
                h, pull = layer.pullback(h, here, there, context)
                pulls.append(pull)
            else:
                h = layer.stacked(h, here, context)
        x = x + h if block.residual else h
        if pulls:
            tape.append((block, pulls))
        if head is not None and block.name == head.after:
            [(_, layer)], [here], [there] = (
                head.block.layers,
                values.layers[-1],
                gradient.layers[-1],
            )
            outputs, pull = layer.pullback(x, here, there, context)
            aside = pull(output_gradient(outputs).mul_(head.weight), True)
    if watch is not None:
        watch(x)
    d: Tensor | None = output_gradient(x)
    for b, (block, pulls) in reversed(list(enumerate(tape))):
        if aside is not None and head is not None and block.name == head.after and d is not None:
            d = d + aside
        through = d.clone() if block.residual and d is not None else None  # pulls write over d
        for k, pull in reversed(list(enumerate(pulls))):
            assert d is not None
            d = pull(d, b > 0 or k > 0)
        if d is not None and through is not None:
            d = d + through


def initial_values(
    network: Network,
    cell: Cell,
    seeds: Sequence[int],
    *,
    streams: Streams,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Starting weights of one trial per seed, always drawn on the CPU.

    Each parameter has a stream of its own, keyed by its name, so that networks share the
    initial values of the parameters whose names and shapes they share.

    Returns:
        (S, P) parameters and (S, B) buffers.
    """
    if network.foreign is not None:
        return drawn_values(network.foreign, seeds, streams=streams, dtype=dtype)
    settings = {"name": cell.init.name, **cell.settings("init")}
    rows = []
    for seed in seeds:
        drawn = [
            _draw(parameter, settings, streams.generator(f"init {name}", seed)).flatten()
            for name, parameter in network.parameters().items()
        ]
        rows.append(torch.cat(drawn))
    starts = [torch.full(shape, start).flatten() for shape, start in network.buffers().values()]
    buffers = torch.cat(starts) if starts else torch.empty(0)
    return torch.stack(rows).to(dtype), buffers.to(dtype).repeat(len(seeds), 1)


def _draw(
    parameter: Parameter, settings: Mapping[str, Scalar], generator: torch.Generator
) -> Tensor:
    if parameter.start is not None:
        return torch.full(parameter.shape, parameter.start)
    if settings["name"] in {"torch", "autoencoder"}:
        # nn.Linear and nn.Conv2d: kaiming_uniform_(a=sqrt(5)), which is U(-1, 1) / sqrt(fan_in)
        bound = 1 / math.sqrt(parameter.fan_in)
        return (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
    if parameter.role == "bias" and settings.get("biases", "zero") == "zero":
        return torch.zeros(parameter.shape)
    deviation = _deviation(parameter, settings)
    if settings.get("distribution") == "uniform":
        bound = math.sqrt(3) * deviation
        return (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
    return torch.randn(parameter.shape, generator=generator) * deviation


def _deviation(parameter: Parameter, settings: Mapping[str, Scalar]) -> float:
    """Standard deviation of Glorot and Bengio (2010), He et al. (2015), or as given."""
    match settings["name"]:
        case "xavier":
            return math.sqrt(2 / (parameter.fan_in + parameter.fan_out))
        case "kaiming":
            return math.sqrt(2 / parameter.fan_in)
        case _:
            return float(settings["deviation"])
