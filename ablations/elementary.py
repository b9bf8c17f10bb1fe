"""Elementary functions over flat arrays, compiled by Numba.

Numba has the C library's functions, one number at a time. In float32 these fill vectors, which is
five to ten times as fast; their errors are a few units in the last place. In float64 they are the
C library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, njit

from ablations.compiled import kept_in

# exp in float32: Cephes (Moshier, 1992), expf: ln 2 in two parts, a polynomial on +-ln(2) / 2
LOWEST, HIGHEST = np.float32(-87.3), np.float32(88.0)
LOG2E, HALF, ONE, TWO = np.float32(1.44269504), np.float32(0.5), np.float32(1), np.float32(2)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
E5, E4, E3 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
E2, E1, E0 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
BIAS, MANTISSA = 127, 23  # of an IEEE 754 single

# artanh in float32: its series, for arguments up to a third
T3, T5, T7, T9, T11, T13 = map(np.float32, (3, 5, 7, 9, 11, 13))

# erf in float32: Eigen's MathFunctionsImpl.h, generic_fast_erf_float
FAR = np.float32(4)  # beyond it erf is 1
A1, A3, A5 = map(np.float32, (-1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04))
A7, A9 = map(np.float32, (-5.69250639462346e-05, -2.10102402082508e-06))
A11, A13 = map(np.float32, (2.77068142495902e-08, -2.72614225801306e-10))
B0, B2, B4 = map(np.float32, (-1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03))
B6, B8 = map(np.float32, (-2.13374055278905e-04, -1.45660718464996e-05))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called, and keep what comes of it where that can be.

    No two operations are joined into one: which ones the compiler would join may differ from one
    compilation to the next, and with them the last bits of a trial.
    """
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(kept_in())
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    found: Callable[..., Any]
    try:
        found = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        found = njit(**options)(function)
    settings.CACHE_DIR = before
    return found


@compiled
def exponentials(x, less):
    """Write exp(x) - less over a flat array; `less` is 0, or 1 for expm1.

    In float32 to two units in the last place, in a form that fills vectors.
    """
    if x.itemsize == 8:
        for i in range(x.size):
            x[i] = math.exp(x[i]) if less == 0 else math.expm1(x[i])
        return
    powers = np.empty(x.size, np.int32)
    for i in range(x.size):
        v = x[i]
        v = LOWEST if v < LOWEST else v
        v = HIGHEST if v > HIGHEST else v
        k = np.floor(v * LOG2E + HALF)
        r = v - k * LN2_HIGH - k * LN2_LOW
        y = ((((E5 * r + E4) * r + E3) * r + E2) * r + E1) * r + E0
        powers[i] = (np.int32(k) + BIAS) << MANTISSA  # the bits of 2^k
        x[i] = y * r * r + r  # exp(r) - 1
    scales = powers.view(np.float32)
    for i in range(x.size):
        x[i] = x[i] * scales[i] + (scales[i] - less)


@compiled
def sigmoids(x):
    """Write 1 / (1 + exp(-x)) over a flat array."""
    one = x.dtype.type(1)
    for i in range(x.size):
        x[i] = -x[i]
    exponentials(x, x.dtype.type(0))
    for i in range(x.size):
        x[i] = one / (one + x[i])


@compiled
def tangents(x):
    """Write tanh over a flat array: -q / (q + 2) with q = exp(-2 |x|) - 1, and its sign."""
    one = x.dtype.type(1)
    q = np.abs(x)
    for i in range(x.size):
        q[i] = -(q[i] + q[i])
    exponentials(q, one)
    for i in range(x.size):
        y = -q[i] / (q[i] + one + one)
        x[i] = -y if x[i] < 0 else y


@compiled
def log1ps(x):
    """Write log(1 + x) over a flat array of numbers from 0 to 1: 2 artanh(x / (x + 2))."""
    if x.itemsize == 8:
        for i in range(x.size):
            x[i] = math.log1p(x[i])
        return
    for i in range(x.size):
        s = x[i] / (x[i] + TWO)
        q = s * s
        y = ((((q / T13 + ONE / T11) * q + ONE / T9) * q + ONE / T7) * q + ONE / T5) * q + ONE / T3
        x[i] = TWO * (y * q * s + s)


@compiled
def errors(x):
    """Write erf over a flat array; in float32 as a ratio of polynomials, which Eigen has too."""
    if x.itemsize == 8:
        for i in range(x.size):
            x[i] = math.erf(x[i])
        return
    for i in range(x.size):
        v = x[i]
        v = -FAR if v < -FAR else v
        v = FAR if v > FAR else v
        q = v * v
        top = ((((((A13 * q + A11) * q + A9) * q + A7) * q + A5) * q + A3) * q + A1) * v
        x[i] = top / ((((B8 * q + B6) * q + B4) * q + B2) * q + B0)
