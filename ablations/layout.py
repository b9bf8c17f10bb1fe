"""How the trials of a stack pass through a network: in blocks of trials, in parts of examples.

On a CPU what lies between two layers should stay in the cache, so a pass takes at most
ELEMENTS numbers. Nothing is timed when trials are trained: the constants, and how a process is
set up, are those of this table, which `python -m benchmarks layouts` measures. On a GPU everything
passes at once, as far as its memory allows.

Seconds of one core over those as committed, geometric means of three rounds (AMD EPYC, Zen 5), of
stacks whose steps torch takes and of the same compiled. Most differences below a tenth are within
their 95% intervals, which the command prints; the raw samples are in
`results/reference/layouts.csv.gz`. Stacks here are short, so half of their time is not steps.

                          by torch                              compiled
    stack                   CNN  digits  digits  spiral  spiral  digits  digits  spiral  spiral
    width                    16      32     128     512     100      32     128     512     100
    trials                   10      50      50       8      32      50      50       8      32
    128 examples at once   1.28    1.08    1.05    1.08    0.90    1.08    1.02    1.08    1.23
    256                    1.10    1.05    1.00    1.00    1.08    0.97    1.02    1.05    1.02
    1024                   1.02    1.13    1.01    0.95    1.05    1.10    0.98    1.04    0.97
    2048                   0.98    0.97    0.93    1.05    1.20    1.04    1.07    1.08    1.15
    2^18 numbers           1.11    0.96    0.96    0.97    1.15    1.00    1.02    0.97    1.02
    2^19                   0.97    1.04    0.93    0.96    1.07    1.00    1.02    1.00    1.01
    2^21                   1.07    0.92    1.05    0.99    1.04    1.07    0.98    1.03    1.08
    2^22                   1.04    1.03    0.95    0.93    1.11    1.02    1.03    0.96    0.99
    never trial by trial   1.07    0.93    0.91    1.12    1.10    0.98    1.07    1.04    1.10
    always trial by trial  1.37    4.36    1.56    0.93    2.18    1.60    1.18    0.98    1.10
    steps by torch                                                 1.07    1.16    1.03    1.32
    stacks of 4            1.19    2.34    1.25    0.95    1.36    1.56    1.27    1.01    1.10
    memory given back      1.22    1.14    1.13    1.00    1.00    1.09    1.17    1.01    0.98
    two threads            1.73    3.03   13.11   20.34    1.96    3.66   12.40    6.71    2.05
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ablations.anatomy import Part, Shape
from ablations.network import VECTOR, Network, StackValues, view_values

EXAMPLES = 512  # at most so many pass through the network at once
ELEMENTS = 1 << 20  # numbers of one layer that stay in the cache of a CPU
WORK = 1 << 25  # multiplications of a step's forward pass, beside which calls cost nothing
GPU_ELEMENTS = 1 << 28  # numbers of one layer that any GPU has room for


@dataclass(frozen=True, slots=True)
class Block:
    """Some neighbouring trials: views of their values, of their gradient, and room for a part."""

    trials: slice
    values: StackValues
    gradient: StackValues
    part: StackValues


@dataclass(frozen=True, slots=True)
class Layout:
    """How a stack is cut on its way through the network. It never depends on the number of trials.

    examples  of one part, a multiple of VECTOR
    trials    of one block
    one       every trial passes alone, in training and after it
    spares    copies of the last trial that the stack carries along: see `layout_of`
    """

    examples: int
    trials: int
    one: bool
    spares: int


def layout_of(
    parts: Sequence[Part],
    input_shape: Shape,
    *,
    step: int,
    smallest: int,
    alone: bool,
    device: torch.device,
) -> Layout:
    """The layout of a network's trials.

    On a CPU torch computes the last few elements of a tensor, those that do not fill a
    vector, by another routine whose exponentials can differ in the last bit. With spare
    copies at the end these elements never belong to a trial, so that bytes do not depend on
    M; one copy is enough unless a tensor has fewer than 31 elements per trial. It also keeps
    M above 1, where reductions take other routines. Where every trial passes alone there is
    nothing to keep apart.

    Args:
        parts: of the network.
        step: examples of a training step.
        smallest: the fewest examples that are ever computed with at once.
        alone: whether trials may pass alone in training: not where they share random masks.
    """
    room = ELEMENTS if device.type == "cpu" else GPU_ELEMENTS
    units = max(math.prod(input_shape), *(part.units for part in parts))
    most = EXAMPLES if device.type == "cpu" else room
    examples = max(VECTOR, min(most, room // units // VECTOR * VECTOR))
    work = sum(part.multiply_adds for part in parts) * step
    large = units * min(step, examples) > room // 4 or work > WORK
    one = alone and device.type == "cpu" and large
    least = min(part.units for part in parts if part.multiply_adds)
    return Layout(
        examples=examples,
        trials=1 if one else max(1, room // (units * examples)),
        one=one,
        spares=0 if one else -(-(VECTOR - 1) // (least * smallest)),
    )


def blocks_of(network: Network, flat: Tensor, buffers: Tensor, layout: Layout) -> list[Block]:
    """All trials as one block, then in the blocks of the layout; flat (M, P), buffers (M, B)."""
    gradient, part = torch.zeros_like(flat), torch.zeros_like(flat)
    cuts = [slice(0, len(flat))]
    cuts += [slice(k, k + layout.trials) for k in range(0, len(flat), layout.trials)]
    return [
        Block(cut, *(view_values(network, x[cut], buffers[cut]) for x in (flat, gradient, part)))
        for cut in cuts
    ]
