"""The whole standard profile against a notebook, and ways that failed, in the report."""

import pandas as pd
import pytest
from test_throughput import SPEED_NOTES, rounds, words_of

from report import speedups
from report.speedup_section import speedup_section

# Two of three stacks of a, all two of b, on two cores, ten trials each: (stacked, two trials)
SECONDS = [(2.0, 1.0), (4.0, 2.0), (2.0, 2.0), (8.0, 3.0)]
NOTE = {
    "cores": 2,
    "sampled": ["a", "b", "a", "b"],
    "strata": {"a": {"stacks": 3}, "b": {"stacks": 2}},
}


def profile():
    rows = [
        {"case": "whole", "way": way, "round": n, "order": 0, "trials": trials, "steps": 10,
         "seconds": seconds, "compile_seconds": 0.0, "loss": 0.5}
        for n, both in enumerate(SECONDS)
        for way, seconds, trials in zip(("stacked", "notebook"), both, (10, 2), strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_total_weights_each_stratum_by_its_stacks():
    """By hand: 3 x 1 + 2 x 3 and 3 x 7.5 + 2 x 12.5 s; only a has an error, 12.5 of 5 and 10."""
    [row] = speedups.sampled(profile(), {"cases": {"whole": NOTE}}).to_dict("records")
    assert (row["stacked"], row["notebook"]) == pytest.approx((9, 47.5))
    error = (9 * (1 - 2 / 3) * 12.5 / 2) ** 0.5 / 9
    assert (row["value"], row["value"] - row["low"]) == pytest.approx((47.5 / 9, 4.30265 * error))
    assert (row["stacks"], row["sampled"]) == (5, 4)


def test_a_profile_is_a_sentence_and_no_row_of_the_table():
    both = pd.concat([rounds({"stacked": 1.0, "notebook": 4.0}), profile()], ignore_index=True)
    notes = {"cases": {**SPEED_NOTES["cases"], "whole": NOTE}}
    section, findings = speedup_section(both, notes)
    words = words_of(section.blocks)
    [sentence] = [line for line in words if "The whole of the core group" in line]
    assert "takes the stacks on 2 cores 9 s of training, 5.3 times less (95% t interval" in sentence
    assert "4 of 5 stacks sampled" in sentence
    assert not any(line.startswith("whole | ") for line in words)
    assert "of 1 case in which" in findings[0].lines[0] or "1 case" in findings[0].lines[0]


def test_a_profile_alone_makes_the_section():
    section, findings = speedup_section(profile(), {"cases": {"whole": NOTE}})
    assert any("The whole of the core group" in line for line in words_of(section.blocks))
    assert findings == []


@pytest.mark.parametrize(
    "note", [{"strata": {}}, {"strata": 3, "cores": 2}, {**NOTE, "sampled": []}]
)
def test_a_note_that_cannot_be_read_makes_no_sentence(note):
    assert speedups.sampled(profile(), {"cases": {"whole": note}}).empty


def test_a_way_that_failed_is_named_with_its_reason():
    case = {**SPEED_NOTES["cases"]["c"], "left_out": {"joblib": "TerminatedWorkerError: killed"}}
    section, _ = speedup_section(rounds({"stacked": 1.0, "notebook": 4.0}), {"cases": {"c": case}})
    line = "c: that loop under joblib, all cores failed and is left out"
    assert any(line in each and "killed" in each for each in words_of(section.blocks))
