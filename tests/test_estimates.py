"""Every number here has an oracle that we did not write, or a table small enough for a hand."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from report import effect_sizes, estimates, power, resampling, variation
from report.estimates import Estimate

EXACT = {"rtol": 1e-10, "atol": 1e-12}  # the bar of issue 5: oracles to 1e-10


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


@pytest.fixture
def arms(rng):
    """Treated and control accuracies of ten seeds that share their data."""
    shared = rng.normal(0.9, 0.02, 10)
    return shared + rng.normal(0.01, 0.01, 10), shared + rng.normal(0, 0.01, 10)


def bounds(estimate):
    return [estimate.low, estimate.high]


# Means and differences


def test_mean_has_scipys_t_interval(arms):
    estimate = estimates.mean_estimate(arms[0], confidence=0.9)
    oracle = stats.ttest_1samp(arms[0], 0).confidence_interval(0.9)
    np.testing.assert_allclose(bounds(estimate), oracle, **EXACT)
    np.testing.assert_allclose(estimate.value, arms[0].mean(), **EXACT)
    assert (estimate.n, estimate.interval) == (10, "90% t")


def test_mean_of_a_hand_computed_table():
    """2, 4, 6: mean 4, standard error 2/sqrt(3), and t(.975, 2) = .95 sqrt(2/.0975) = 4.302653."""
    estimate = estimates.mean_estimate(np.array([2.0, 4.0, 6.0]))
    assert estimate.value == 4
    assert estimate.high - 4 == pytest.approx(
        0.95 * math.sqrt(2 / 0.0975) * 2 / math.sqrt(3), rel=1e-12
    )


def test_paired_difference_and_p_are_scipys(arms):
    estimate, oracle = estimates.paired_difference(*arms), stats.ttest_rel(*arms)
    np.testing.assert_allclose(bounds(estimate), oracle.confidence_interval(0.95), **EXACT)
    np.testing.assert_allclose(estimates.paired_p(*arms), oracle.pvalue, **EXACT)


def test_many_rows_at_once_equal_one_at_a_time(rng):
    treated, control = rng.normal(size=(2, 4, 6))
    treated[1, 2] = control[2, 0] = np.nan
    treated[3] = np.nan
    together = estimates.paired_p(treated, control)
    kept = ~np.isnan(treated - control)
    for row in range(3):
        alone = stats.ttest_rel(treated[row, kept[row]], control[row, kept[row]]).pvalue
        np.testing.assert_allclose(together[row], alone, **EXACT)
    assert np.isnan(together[3])


@pytest.mark.parametrize(
    ("responses", "n"), [([], 0), ([np.nan], 0), ([0.5], 1), ([np.nan, 0.5], 1)]
)
def test_fewer_than_two_values_have_no_interval_and_no_p(responses, n):
    responses = np.array(responses)
    estimate = estimates.mean_estimate(responses)
    assert estimate.n == n
    assert math.isnan(estimate.value) == (n == 0)
    assert np.isnan(bounds(estimate)).all()
    assert np.isnan(estimates.paired_p(responses, 0 * responses))
    assert np.isnan(resampling.sign_flip_p(responses, rng=np.random.default_rng(0)))
    assert np.isnan(resampling.sign_flip_floor(n))


def test_without_spread_there_is_no_interval():
    """t = 0/0: an interval of width zero would claim certainty."""
    same = estimates.mean_estimate(np.full(5, 0.1))
    assert (same.value, same.n, same.is_constant) == (0.1, 5, True)
    assert np.isnan(bounds(same)).all()
    for values in ([0.1], [], [0.1, 0.2], [np.nan, 0.1]):
        assert not estimates.mean_estimate(np.array(values, float)).is_constant


def test_a_constant_difference_knows_only_its_signs():
    """0.9 - 0.8 and 0.7 - 0.6 differ in the last bit, which is no spread and no t of 10^15."""
    treated, control = np.array([0.9, 0.7, 0.4]), np.array([0.8, 0.6, 0.3])
    assert estimates.paired_p(treated, control) == 0.25  # 2 / 2^3
    assert estimates.paired_p(control, control) == 1
    assert np.isnan(effect_sizes.cohen_dz(treated, control))


def test_paired_arrays_must_list_the_same_seeds():
    with pytest.raises(ValueError, match=r"must list the same seeds, got 3 and 2; put NaN where"):
        estimates.paired_difference(np.zeros(3), np.zeros(2))


@pytest.mark.parametrize(
    ("confidence", "name"), [(0.95, "95% t"), (1 - 0.05 / 8, "99.38% t"), (0.9875, "98.75% t")]
)
def test_an_interval_is_named_by_level_and_method(confidence, name):
    assert estimates.interval_name(confidence) == name


# Families


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adjust", "method"),
    [(estimates.holm, "holm"), (estimates.benjamini_hochberg, "fdr_bh")],
)
@settings(max_examples=25, deadline=None)  # statsmodels takes 50 ms for one family
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_are_statsmodels(adjust, method, p):
    np.testing.assert_allclose(adjust(np.array(p)), multipletests(p, method=method)[1], **EXACT)


@pytest.mark.parametrize("adjust", [estimates.holm, estimates.benjamini_hochberg])
def test_a_comparison_without_a_p_still_counts_in_its_family(adjust):
    adjusted = adjust(np.array([0.01, np.nan, 0.02]))
    np.testing.assert_allclose(adjusted[[0, 2]], adjust(np.array([0.01, 1.0, 0.02]))[[0, 2]])
    assert np.isnan(adjusted[1])
    assert adjust(np.array([])).shape == (0,)


# Sign flips


@pytest.mark.parametrize("n", [2, 5, 10])
def test_sign_flips_are_scipys_exact_permutation_test(rng, n):
    values = rng.normal(0.5, 1, n)
    oracle = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    np.testing.assert_allclose(resampling.sign_flip_p(values, rng=rng), oracle.pvalue, **EXACT)


def test_sign_flips_by_hand(rng):
    """|+-1 +-2 +-3| >= 6 only for the two patterns of one sign: 2/8. With a tie of 4: 4/8."""
    assert resampling.sign_flip_p(np.array([1.0, 2.0, 3.0]), rng=rng) == 2 / 8
    assert resampling.sign_flip_p(np.array([-1.0, 2.0, 3.0]), rng=rng) == 4 / 8
    assert resampling.sign_flip_p(np.zeros(4), rng=rng) == 1


@pytest.mark.parametrize("n", [2, 5, 16, 17, 40])
def test_no_sign_flip_p_lies_below_its_floor(rng, n):
    assert resampling.sign_flip_p(np.ones(n), rng=rng) >= resampling.sign_flip_floor(n)
    if n <= 16:
        assert resampling.sign_flip_p(np.ones(n), rng=rng) == 2 / 2**n


def test_drawn_sign_flips_follow_the_generator_and_agree_with_t(rng):
    """Beyond 16 seeds; 9,999 draws of a p near .1 have a standard error of .003."""
    values = rng.normal(0.37, 1, 20)
    first, again = (resampling.sign_flip_p(values, rng=np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert first == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.02)
    assert (first * 10_000) == pytest.approx(round(first * 10_000))


def test_sign_flips_of_rows_leave_out_what_is_missing(rng):
    rows = np.array([[1.0, np.nan, 2.0, 3.0], [np.nan, np.nan, np.nan, 1.0]])
    np.testing.assert_array_equal(resampling.sign_flip_p(rows, rng=rng), [0.25, np.nan])


# Effect sizes and power


def test_effect_sizes_of_a_hand_computed_table():
    """Differences 1, 2, 3: d_z = 2. Arms 2 4 6 and 1 2 3: pooled sd sqrt(2.5), J(4) = .797885."""
    treated, control = np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])
    assert effect_sizes.cohen_dz(treated, control) == pytest.approx(2)
    correction = math.gamma(2) / (math.sqrt(2) * math.gamma(1.5))
    assert correction == pytest.approx(0.7978845608)
    expected = correction * 2 / math.sqrt(2.5)
    assert effect_sizes.hedges_g(treated, control) == pytest.approx(expected, rel=1e-12)


def test_hedges_g_is_unbiased(rng):
    """Its mean over 20,000 samples of n = 4 with a true effect of 1 is 1 within 3 s.e."""
    treated, control = rng.normal(1, 1, (20_000, 4)), rng.normal(0, 1, (20_000, 4))
    g = effect_sizes.hedges_g(treated, control)
    assert abs(g.mean() - 1) < 3 * g.std() / math.sqrt(len(g))


def test_pairing_correlation_is_pearsons(arms):
    oracle = stats.pearsonr(*arms).statistic
    np.testing.assert_allclose(effect_sizes.pairing_correlation(*arms), oracle, **EXACT)
    assert np.isnan(effect_sizes.pairing_correlation(arms[0][:2], arms[1][:2]))
    assert np.isnan(effect_sizes.pairing_correlation(arms[0], np.full(10, 0.1)))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
def test_smallest_detectable_effect_has_the_power_asked_for(n, alpha):
    d = power.smallest_detectable(1.0, n, alpha)
    np.testing.assert_allclose(power_by_integration(d, n, alpha), 0.8, rtol=1e-8)
    if n in (10, 30):  # statsmodels' solver stops at 1e-6 and gives up below
        oracle = TTestPower().solve_power(nobs=n, alpha=alpha, power=0.8)
        assert d == pytest.approx(oracle, rel=1e-5)
    assert power.smallest_detectable(0.02, n, alpha) == pytest.approx(0.02 * d)


def power_by_integration(d, n, alpha):
    """Power of the two-sided t test, averaging normal tails over the chi of the deviation."""
    threshold, df = stats.t.ppf(1 - alpha / 2, n - 1), n - 1

    def tails(chi):
        cut = threshold * chi / math.sqrt(df)
        shift = d * math.sqrt(n)
        return (stats.norm.sf(cut - shift) + stats.norm.cdf(-cut - shift)) * stats.chi.pdf(chi, df)

    return integrate.quad(tails, 0, math.inf, epsabs=1e-12, limit=500)[0]


@pytest.mark.parametrize(
    ("d", "n", "alpha"), [(0.5, 10, 0.05), (1.5, 10, 0.0125), (0.1, 500, 0.01)]
)
def test_power_is_statsmodels(d, n, alpha):
    np.testing.assert_allclose(
        power.power_of_t(d, n, alpha), TTestPower().power(d, n, alpha), **EXACT
    )


def test_power_in_far_tails_is_zero_or_one():
    assert power.power_of_t(9.0, 4, 0.05 / 8) == pytest.approx(0.9997688974, abs=1e-9)
    assert power.power_of_t(1e4, 1000, 0.05) == 1
    assert power.power_of_t(0.0, 10, 0.05) == pytest.approx(0.05, abs=1e-10)


@pytest.mark.parametrize("d", [2.0, 0.7, 0.33, 0.05, 0.005])
def test_seeds_needed_is_the_first_number_that_suffices(d):
    n = int(power.seeds_needed(d, 1.0, 0.05 / 8))
    assert power.power_of_t(d, n, 0.05 / 8) >= 0.8 > power.power_of_t(d, n - 1, 0.05 / 8)


def test_seeds_needed_without_an_answer():
    needed = power.seeds_needed(
        np.array([0.0, 1e-9, 1.0, 0.0, np.nan]), np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    )
    np.testing.assert_array_equal(needed, [np.inf, np.inf, 2, np.nan, np.nan])
    assert np.isnan(power.smallest_detectable(1.0, 1))


# Shares, medians, trimmed means


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (3, 10), (10, 10), (1, 1)])
def test_wilson_is_statsmodels(successes, n):
    oracle = proportion_confint(successes, n, method="wilson")
    np.testing.assert_allclose(bounds(estimates.wilson(successes, n)), oracle, **EXACT)


def test_probability_of_improvement_counts_ties_as_one_half():
    treated, control = np.array([0.9, 0.8, 0.5, np.nan]), np.array([0.8, 0.8, 0.6, 0.1])
    estimate = estimates.probability_of_improvement(treated, control)
    assert (estimate.value, estimate.n) == (0.5, 3)
    assert math.isnan(estimates.wilson(0, 0).value)


def test_scores_that_agree_but_for_rounding_are_a_tie():
    """Means over other factors are seldom equal to the bit: 0.1 + 0.2 is above 0.3."""
    treated, control = np.array([0.1 + 0.2, 0.5, 0.9]), np.array([0.3, 0.4, 0.8])
    assert treated[0] > control[0]
    found = estimates.probability_of_improvement(treated, control)
    assert found.value == pytest.approx(2.5 / 3)
    np.testing.assert_array_equal(estimates.differences(treated, control)[0], 0)
    assert estimates.differences(np.array([1.0 + 1e-12]), np.array([1.0]))[0] > 0


def test_a_share_of_none_or_all_begins_or_ends_exactly_there():
    for n in (3, 10, 17):
        assert estimates.wilson(0, n, confidence=0.998).low == 0
        assert estimates.wilson(n, n, confidence=0.998).high == 1


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.6, 0.9, "better"),
        (0.51, 0.7, "significant but not meaningful"),
        (0.4, 0.9, "undecided"),
    ],
)
def test_probability_of_improvement_is_worded_as_in_s8(low, high, word):
    assert estimates.improvement_word(Estimate(0.6, low, high, 20, "95% Wilson")) == word


@pytest.mark.parametrize(
    ("n", "ranks"), [(6, (1, 6)), (20, (6, 15)), (30, (10, 21)), (100, (40, 61))]
)
def test_median_interval_has_the_ranks_of_t10(rng, n, ranks):
    estimate = estimates.median_interval(rng.permutation(np.arange(1.0, n + 1)))
    assert (estimate.low, estimate.high) == ranks
    assert estimate.value == (n + 1) / 2


def test_median_interval_below_six_values_and_with_misses():
    assert math.isnan(estimates.median_interval(np.arange(5.0)).low)
    assert estimates.median_interval(np.array([np.inf, 1.0, np.nan])).value == np.inf
    assert estimates.median_interval(np.array([])).n == 0


@pytest.mark.parametrize("n", [30, 33, 4])
def test_interquartile_mean_is_scipys_trimmed_mean(rng, n):
    scores = rng.normal(size=n)
    estimate = resampling.interquartile_mean([scores[:3], scores[3:]], rng=rng)
    np.testing.assert_allclose(estimate.value, stats.trim_mean(scores, 0.25), **EXACT)
    assert math.isnan(estimate.low) == (n < 30)


def test_interquartile_bootstrap_is_scipys_percentile_bootstrap(rng):
    """One stratum; the two draw different resamples, which moves a bound by 2% of the width."""
    scores = rng.normal(size=40)
    estimate = resampling.interquartile_mean([scores], rng=rng, resamples=20_000)
    oracle = stats.bootstrap(
        (scores,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=rng,
    ).confidence_interval
    np.testing.assert_allclose(bounds(estimate), oracle, atol=0.05 * (oracle.high - oracle.low))


def test_interquartile_bootstrap_keeps_strata_apart(rng):
    """Each task resamples its own seeds: two constant tasks have no spread at all."""
    estimate = resampling.interquartile_mean([np.zeros(20), np.ones(20)], rng=rng)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)
    assert math.isnan(resampling.interquartile_mean([], rng=rng).value)


# Analysis of variance


def test_variation_of_a_hand_computed_table():
    """Cells 1 2 / 3 8 with seeds at -1 and +1: grand 3.5, rows -2 +2, columns -1.5 +1.5, +-1."""
    cells = np.array([[1.0, 2.0], [3.0, 8.0]])
    split = variation.variation(cells[..., None] + np.array([-1.0, 1.0]))
    assert split.terms == ((0,), (1,), (0, 1))
    assert split.df == (1, 1, 1)
    assert split.ss == (32, 18, 8)
    assert (split.df_seed, split.ss_seed) == (1, 8)
    assert (split.df_error, split.ss_error) == (3, 0)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (2, 3, 2, 4)])
def test_variation_is_statsmodels(rng, shape):
    responses = rng.normal(size=shape)
    names = [f"f{axis}" for axis in range(len(shape) - 1)]
    index = np.indices(shape).reshape(len(shape), -1).astype(str)
    frame = pd.DataFrame(dict(zip([*names, "seed"], index, strict=True))).assign(
        y=responses.ravel()
    )
    oracle = sm.stats.anova_lm(smf.ols(f"y ~ {'*'.join(names)} + seed", frame).fit())
    split = variation.variation(responses)
    for term, df, ss in zip(split.terms, split.df, split.ss, strict=True):
        row = oracle.loc[":".join(names[axis] for axis in term)]
        np.testing.assert_allclose([df, ss], [row["df"], row["sum_sq"]], rtol=1e-10)
    np.testing.assert_allclose([split.df_seed, split.ss_seed], oracle.loc["seed", ["df", "sum_sq"]])
    np.testing.assert_allclose(
        [split.df_error, split.ss_error], oracle.loc["Residual", ["df", "sum_sq"]]
    )


@pytest.mark.parametrize(
    ("offset", "digits"), [(1, 13), (1_000_000, 7), (1_000_000_000_000, 1)], ids="+{}".format
)
def test_nist_smls(offset, digits):
    """NIST SmLs01, 04, 07 (nine treatments of 21): certified 1.68 between, 1.80 within.

    Their data are offset + .4 +- .1; the further off, the fewer digits float64 holds.
    """
    first = offset + np.array([0.4, 0.3, 0.5, 0.3, 0.5, 0.3, 0.5, 0.3, 0.5])
    swing = np.array([0.0, *[-0.1, 0.1] * 10])
    split = variation.variation(first[:, None] + swing)
    assert split.ss[0] == pytest.approx(1.68, rel=10.0**-digits)
    assert split.ss_seed + split.ss_error == pytest.approx(1.80, rel=10.0**-digits)


@pytest.mark.parametrize("shape", [(2, 2, 3), (3, 4, 2), (5, 1, 3)])
def test_additive_table_has_no_interaction(rng, shape):
    """A row effect plus a column effect plus a seed effect leaves nothing over."""
    row, column, seed = (rng.normal(size=size) for size in shape)
    table = row[:, None, None] + column[:, None] + seed
    np.testing.assert_allclose(variation.effect_of(table, (0, 1), 2), 0, atol=1e-12)
    split = variation.variation(table)
    assert (split.ss[2], split.ss_error) == (0, 0)


def test_effects_add_up_to_the_table(rng):
    """f_0 + f_1 + f_2 + f_12 is the table, and each effect sums to zero along its axes."""
    table = rng.normal(size=(3, 4))
    parts = [variation.effect_of(table, axes, 2) for axes in ((), (0,), (1,), (0, 1))]
    np.testing.assert_allclose(sum(np.broadcast_to(part, (3, 4)) for part in parts), table)
    np.testing.assert_allclose(parts[3].sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(parts[3].sum(axis=1), 0, atol=1e-12)


@given(arrays(np.float64, st.tuples(*[st.integers(1, 3)] * 3), elements=st.floats(-1e6, 1e6)))
def test_sums_of_squares_add_up_to_the_total(responses):
    split = variation.variation(responses)
    total = ((responses - responses.mean()) ** 2).sum()
    scale = responses.size * np.abs(responses).max() ** 2
    assert sum(split.ss) + split.ss_seed + split.ss_error == pytest.approx(
        total, rel=1e-9, abs=1e-12 * scale
    )


# F25: nothing crashes, and nothing is claimed from fewer than two values

ANYTHING = st.one_of(
    st.floats(), st.sampled_from([0.5, -0.0, 5e-324, 1e308, -1e308, np.inf, np.nan])
)


@given(
    arrays(np.float64, st.tuples(st.just(2), st.integers(0, 7)), elements=ANYTHING), st.integers()
)
def test_no_numbers_crash_the_estimates(arms, seed):
    treated, control = arms
    rng = np.random.default_rng(abs(seed))
    p = estimates.paired_p(treated, control)
    n = int((~np.isnan(estimates.differences(treated, control))).sum())
    assert np.isnan(p) or (n >= 2 and 0 <= p <= 1)
    flip = resampling.sign_flip_p(estimates.differences(treated, control), rng=rng)
    assert np.isnan(flip) or (n >= 2 and resampling.sign_flip_floor(n) <= flip <= 1)
    for function in (estimates.paired_difference, estimates.probability_of_improvement):
        assert function(treated, control).n == n
    for function in (
        effect_sizes.cohen_dz,
        effect_sizes.hedges_g,
        effect_sizes.pairing_correlation,
    ):
        function(treated, control)
    estimates.median_interval(treated)
    resampling.interquartile_mean([treated, control], rng=rng)
    _, mean, deviation = estimates.moments(treated)
    power.seeds_needed(mean, deviation)
    power.smallest_detectable(deviation, n)


# Calibration (S14); seeds fixed before looking


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_t_intervals_cover_what_they_say(n):
    responses = np.random.default_rng(n).normal(0.3, 2, (20_000, n))
    _, low, high, _ = estimates.t_interval(responses)
    assert 0.94 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.96


@pytest.mark.slow
def test_median_intervals_cover_at_least_what_they_say():
    rng = np.random.default_rng(7)
    found = [estimates.median_interval(rng.exponential(size=20)) for _ in range(4_000)]
    assert np.mean([e.low <= math.log(2) <= e.high for e in found]) >= 0.95


@pytest.mark.slow
def test_interquartile_intervals_cover_about_what_they_say():
    """A percentile bootstrap over 3 tasks of 10 seeds falls a little short, never below 88%."""
    rng = np.random.default_rng(8)
    found = [
        resampling.interquartile_mean(list(rng.normal(size=(3, 10))), rng=rng, resamples=400)
        for _ in range(1_000)
    ]
    assert 0.88 <= np.mean([e.low <= 0 <= e.high for e in found]) <= 0.97
