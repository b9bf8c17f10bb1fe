"""Matrix products by whichever routine: always those of the definition."""

import numpy as np
import pytest
import torch

from ablations import products


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize(
    "shape", [(10, 64, 128), (32, 64, 64), (65, 9, 33), (33, 9, 65), (128, 64, 128), (3, 9**5, 7)]
)
def test_products_just_too_large_for_small_routines_are_computed_in_halves(
    shape, turned, monkeypatch, generator
):
    """The way with AVX-512 routines, which needs none to be right."""
    monkeypatch.setattr(products, "matrix_routines", lambda: "SkylakeX")
    calls = []
    multiply = np.matmul
    monkeypatch.setattr(
        np, "matmul", lambda a, b, out: calls.append(out.shape) or multiply(a, b, out=out)
    )
    rows, inner, columns = shape
    a = torch.randn(3, rows, inner, generator=generator)
    b = torch.randn(3, columns, inner, generator=generator).transpose(1, 2)
    b = b if turned else b.contiguous()
    wide = torch.full((3, rows * columns + 5), 7.0, dtype=a.dtype)
    out = wide[:, : rows * columns].view(3, rows, columns)
    products._multiplied(a.numpy(), b.numpy(), out.numpy())
    torch.testing.assert_close(out, torch.bmm(a, b), rtol=1e-4, atol=1e-4 * inner**0.5)
    assert (wide[:, rows * columns :] == 7).all()
    in_halves = rows * columns > 1200 if turned else rows * inner * columns > 10**6
    in_halves &= rows * columns <= 2400 or not turned
    assert len(calls) == 1 + in_halves
    assert sum(np.prod(each) for each in calls) == 3 * rows * columns

    monkeypatch.setattr(products, "matrix_routines", lambda: "Haswell")
    calls.clear()
    products._multiplied(a.numpy(), b.numpy(), out.numpy())
    assert len(calls) == 1
