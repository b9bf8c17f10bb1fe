"""How long workers need for stacks of which some wait for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_studyfile import small_study

from ablations.planning import (
    ROW_SECONDS,
    START_SECONDS,
    VALUE_SECONDS,
    Plan,
    makespan,
    plan,
)


@pytest.mark.parametrize(
    ("chains", "workers", "seconds"),
    [
        ((), 2, 0),
        (((3.0, ()),), 4, 3),
        (((1.0, ()), (1.0, ()), (1.0, ())), 2, 2),  # one is left over, and one worker idle
        (((1.0, (2.0, 3.0)),), 2, 4),  # both wait for the first, then run side by side
        (((1.0, (5.0,)), (2.0, ())), 1, 8),
        (((1.0, (5.0,)), (2.0, ()), (2.0, ())), 2, 7),  # what becomes ready stands at the end
    ],
)
def test_the_last_stack_ends(chains, workers, seconds):
    assert makespan(chains, workers) == seconds


SECONDS = st.floats(0.01, 100)
CHAINS = st.lists(st.tuples(SECONDS, st.lists(SECONDS, max_size=3).map(tuple)), max_size=12)


@given(chains=CHAINS, workers=st.integers(1, 5))
def test_no_order_beats_the_work_or_the_longest_chain_and_none_is_twice_as_long(chains, workers):
    """Graham's bound: with idle workers some longest chain is always at work."""
    work = sum(first + sum(then) for first, then in chains)
    longest = max((first + max(then, default=0.0) for first, then in chains), default=0.0)
    least = max(work / workers, longest)
    seconds = makespan(chains, workers)
    assert least * (1 - 1e-9) <= seconds <= (work / workers + longest) * (1 + 1e-9)
    assert makespan(chains, 1) == pytest.approx(work)


def test_the_clock_counts_what_comes_before_the_first_stack_and_after_the_last():
    assert Plan((), ((2.0, ()), (2.0, ())), overhead=5.0, notes=()).wall_seconds(2) == 7
    assert Plan((), (), overhead=5.0, notes=()).wall_seconds(2) == 0


def test_data_and_curves_cost_time_besides_training(tmp_path):
    def overhead(changes):
        study = small_study(tmp_path / "studies", changes)
        found = plan([study], tmp_path / "results", "cpu")
        assert sum(row.trials for row in found.rows) == 8
        return found.overhead

    usual = overhead({"fixed.evaluations": 1})
    assert usual == pytest.approx(START_SECONDS + 8 * 2 * ROW_SECONDS)
    assert overhead({"fixed.evaluations": 1000}) == pytest.approx(
        START_SECONDS + 8 * 1001 * ROW_SECONDS
    )
    digits = {"study.tasks": ["digits"], "task": {}, "fixed.evaluations": 1}
    assert overhead(digits) == pytest.approx(usual + 1797 * 64 * VALUE_SECONDS)


def test_final_stacks_wait_for_their_tuning(tmp_path):
    study = small_study(tmp_path / "studies", {"study.seeds": 25})
    found = plan([study], tmp_path / "results", "cpu")
    assert [len(then) for _, then in found.chains] == [3, 3]
    (row,) = found.rows
    assert row.seconds == pytest.approx(makespan(found.chains, 1), abs=0.001)
    study = small_study(tmp_path / "studies", {"nuisance.learning_rate": [0.1]})
    assert [then for _, then in plan([study], tmp_path / "results", "cpu").chains] == [(), ()]
