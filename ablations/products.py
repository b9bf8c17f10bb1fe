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

The narrow results are why OpenBLAS's AVX2 routines leave those to MKL. Its AVX-512 routines for
small matrices refuse a product by a transposed matrix whose result has over 1,200 numbers, and
any of more than a million multiplications (`sgemm_small_kernel_permit`, skylakex). In two halves,
32x64 by 64 transposed takes 1.7 instead of 2.9 microseconds, 10x128 by 64 1.2 instead of 4.3;
128x128 by 64 as it is takes 8.6 instead of 10.7.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ablations.processor import matrix_routines

NARROW = 8  # rows or columns of a result up to which MKL beats OpenBLAS's AVX2 routines
AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names of such routines
FEW = 16**3  # multiplications up to which torch may take another routine for bfloat16 numbers
SMALL = 1200  # numbers of a result, of OpenBLAS's small routines for a transposed factor
LIGHT = 100**3  # multiplications, of its small routines for any other
STRIP = 16  # numbers that its routines advance by

Matrices = npt.NDArray[Any]


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None, mixed: bool = False) -> Tensor:
    """M products of two matrices; the bytes of one do not depend on the others.

    Shapes:
        a       (M, I, J), transposed or not
        b       (M, J, K), transposed or not
        result  (M, I, K); `out` may be a view of a larger tensor

    Args:
        mixed: round factors and result to bfloat16; sums are float32, as torch has them.
    """
    if mixed:
        rounded = _rounded_product(a, b)
        return rounded.to(a.dtype) if out is None else out.copy_(rounded)
    if out is None:
        out = a.new_empty(a.shape[0], a.shape[1], b.shape[2])
    if a.shape[2] == 1:  # an outer product, for which numpy has no fast routine
        return torch.mul(a, b, out=out)
    rows, columns = out.shape[1], out.shape[2]
    thin = 1 < rows <= narrow() or 1 < columns <= narrow()
    if a.is_cpu and a.dtype in (torch.float32, torch.float64) and not thin:
        _multiplied(a.numpy(), b.numpy(), out.numpy())
        return out
    return torch.bmm(a, b, out=out)


def _rounded_product(a: Tensor, b: Tensor) -> Tensor:
    """The product in bfloat16.

    On a CPU torch has two routines for it and chooses by the size of the whole stack, so that
    small ones would depend on M: these are summed as float32 products are.
    """
    if a.is_cpu and a.shape[1] * a.shape[2] * b.shape[2] <= FEW:
        return product(a.bfloat16().to(a.dtype), b.bfloat16().to(b.dtype)).bfloat16()
    return torch.bmm(a.bfloat16(), b.bfloat16())


def _multiplied(a: Matrices, b: Matrices, out: Matrices) -> None:
    rows, inner, columns = *a.shape[1:], b.shape[2]
    transposed = b.strides[2] > b.strides[1] and a.strides[2] < a.strides[1]
    most = SMALL if transposed else LIGHT // inner
    if not (most < rows * columns <= 2 * most and matrix_routines() in AVX512):
        np.matmul(a, b, out=out)
        return
    half = round(max(rows, columns) / (2 * STRIP)) * STRIP
    if rows >= columns:
        np.matmul(a[:, :half], b, out=out[:, :half])
        np.matmul(a[:, half:], b, out=out[:, half:])
    else:
        np.matmul(a, b[:, :, :half], out=out[:, :, :half])
        np.matmul(a, b[:, :, half:], out=out[:, :, half:])


@cache
def narrow() -> int:
    """Rows or columns of a result up to which OpenBLAS's routines are not the fastest."""
    return 0 if matrix_routines() in AVX512 else NARROW
