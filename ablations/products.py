"""Matrix products of M trials at once, by the fastest routine at hand.

On a CPU most products go through numpy: its OpenBLAS has AVX-512 routines for any processor,
where MKL, which torch brings, uses AVX2 on those that are not Intel's. Measured on a core
of an AMD EPYC (Zen 5), microseconds per trial, in stacks of 50 (64 examples) or 16 (512):

    result  inner     OpenBLAS AVX-512   OpenBLAS AVX2   MKL
    128x64    128                   12              21    23
     10x64    128                    2               3     3
    3x512     100                    4              13     7
    3x100     512                    3              18    11
    100x512     2                    3               5    16

The narrow results are why OpenBLAS's AVX2 routines leave those to MKL.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from ablations.processor import matrix_routines

NARROW = 8  # rows or columns of a result up to which MKL beats OpenBLAS's AVX2 routines
AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names of such routines


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """M products of two matrices; the bytes of one do not depend on the others.

    Shapes:
        a       (M, I, J), transposed or not
        b       (M, J, K), transposed or not
        result  (M, I, K); `out` may be a view of a larger tensor
    """
    if out is None:
        out = a.new_empty(a.shape[0], a.shape[1], b.shape[2])
    if a.shape[2] == 1:  # an outer product, for which numpy has no fast routine
        return torch.mul(a, b, out=out)
    rows, columns = out.shape[1], out.shape[2]
    narrow = 1 < rows <= _narrow() or 1 < columns <= _narrow()
    if a.is_cpu and a.dtype in (torch.float32, torch.float64) and not narrow:
        np.matmul(a.numpy(), b.numpy(), out=out.numpy())
        return out
    return torch.bmm(a, b, out=out)


@cache
def _narrow() -> int:
    return 0 if matrix_routines() in AVX512 else NARROW
