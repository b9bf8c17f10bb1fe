"""NIST's reference sets for the analysis of variance, to the digits that float64 holds of them.

https://www.itl.nist.gov/div898/strd/anova/anova.html. The SmLs sets follow a rule (Simon and Lesage
1989) and are made here; what is certified of them follows from it, and is checked by exact rational
arithmetic, as are the two sets that are typed in.
"""

from fractions import Fraction

import numpy as np
import pytest

from report.variation import variation

SILICON = """
196.3052 196.1240 196.1890 196.2569 196.3403 196.3042 196.3825 196.1669 196.3257 196.0422
196.1303 196.2005 196.2889 196.0343 196.1811 196.2795 196.1748 196.1494 196.1485 195.9885
196.2119 196.1051 196.1850 196.0052 196.2090"""
SILVER = """
107.8681568 107.8681465 107.8681572 107.8681785 107.8681446 107.8681903 107.8681526 107.8681494
107.8681616 107.8681587 107.8681519 107.8681486 107.8681419 107.8681569 107.8681508 107.8681672
107.8681385 107.8681518 107.8681662 107.8681424 107.8681360 107.8681333 107.8681610 107.8681477
107.8681079 107.8681344 107.8681513 107.8681197 107.8681604 107.8681385 107.8681642 107.8681365
107.8681151 107.8681082 107.8681517 107.8681448 107.8681198 107.8681482 107.8681334 107.8681609
107.8681101 107.8681512 107.8681469 107.8681360 107.8681254 107.8681261 107.8681450 107.8681368"""
TYPED = {  # treatments, and certified sums of squares between and within, and F
    "SiRstv": (SILICON, 5, 5.11462616000000e-02, 2.16636560000000e-01, 1.18046237440255),
    "AtmWtAg": (SILVER, 2, 3.63834187500000e-09, 1.04951729166667e-08, 1.59467335677930e01),
}
# SmLs01 to 09: offset 1, 10^6, 10^12 by 21, 201, 2001 values of each of nine treatments.
SIMON_LESAGE = [(offset, n) for offset in (1, 10**6, 10**12) for n in (21, 201, 2001)]


def exact(table):
    """Sums of squares between rows and within them, by rational arithmetic."""
    rows = [[Fraction(value) for value in row] for row in table]
    means = [sum(row) / len(row) for row in rows]
    grand = sum(means) / len(means)
    between = sum((mean - grand) ** 2 * len(row) for mean, row in zip(means, rows, strict=True))
    pairs = zip(means, rows, strict=True)
    return between, sum((value - mean) ** 2 for mean, row in pairs for value in row)


def one_way(table):
    """Sums of squares between and within, and F, of a table of treatments by replicates."""
    values = np.array([[float(value) for value in row] for row in table])
    split = variation(values)
    within, df_within = split.ss_seed + split.ss_error, split.df_seed + split.df_error
    return split.ss[0], within, (split.ss[0] / split.df[0]) / (within / df_within)


def digits_of(found, certified):
    """How many digits agree: NIST's log relative error."""
    return -np.log10(abs(found - float(certified)) / float(certified) + 1e-16)


def simon_lesage(offset, n):
    """Treatment i begins at .4, .3, .5, .3, ... and swings by a tenth."""
    tenths = [4, *[3, 5] * 4]
    return [
        [offset + Fraction(first + swing, 10) for swing in (0, *[-1, 1] * (n // 2))]
        for first in tenths
    ]


@pytest.mark.parametrize("name", TYPED)
def test_the_sets_that_are_typed_in_are_nists(name):
    """Their certified values come out of the digits typed, by rational arithmetic."""
    text, treatments, between, within, f = TYPED[name]
    values = [Fraction(word) for word in text.split()]
    size = len(values) // treatments
    rows = [values[i : i + size] for i in range(0, len(values), size)]
    found = exact(rows)
    assert float(found[0]) == pytest.approx(between, rel=1e-14)
    assert float(found[1]) == pytest.approx(within, rel=1e-14)
    df = len(values) - treatments
    assert float(found[0] / (treatments - 1) / (found[1] / df)) == pytest.approx(f, rel=1e-14)


@pytest.mark.parametrize(("name", "digits"), [("SiRstv", 12), ("AtmWtAg", 8)])
def test_certified_values_of_measured_sets(name, digits):
    """Of 107.8681568 float64 holds 9 digits of what varies, of 196.3052 13."""
    text, treatments, *certified = TYPED[name]
    for found, value in zip(
        one_way(np.reshape(text.split(), (treatments, -1))), certified, strict=True
    ):
        assert digits_of(found, value) >= digits


@pytest.mark.parametrize(("offset", "n"), SIMON_LESAGE)
def test_certified_values_of_simon_and_lesage(offset, n):
    """F is 21, 201 and 2001 whatever the offset; of the offset and a tenth float64 holds less."""
    table = simon_lesage(offset, n)
    certified = (Fraction(168, 2100) * n, Fraction(9 * (n - 1), 100), n)
    between, within = exact(table[:9])
    assert (between, within) == certified[:2]
    held = {1: 13, 10**6: 8, 10**12: 2}[offset]
    for found, value in zip(one_way(table), certified, strict=True):
        assert digits_of(found, value) >= held


@pytest.mark.parametrize(("offset", "n"), SIMON_LESAGE)
def test_nothing_is_lost_beyond_what_float64_loses_of_the_data(offset, n):
    """Against rational arithmetic on the stored values themselves: 12 digits.

    At 10^12 six: there the blocks differ by no more than the data were rounded, which counts as
    nothing and not as noise.
    """
    stored = [[float(value) for value in row] for row in simon_lesage(offset, n)]
    for found, value in zip(one_way(stored), exact(stored), strict=False):
        assert digits_of(found, value) >= (6 if offset == 10**12 else 12)
