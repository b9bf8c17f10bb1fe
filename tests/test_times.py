"""times.csv holds what timings.csv says, by another computation."""

import statistics

import pandas as pd
import pytest
from golden import small_plans
from simulated_results import write_results

from report.exports import write_tables
from report.tables import read_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("times")
    write_results(folder, studies=small_plans()[:1])
    (folder / "report").mkdir()
    write_tables(read_results(folder), folder / "report")
    return folder


def test_every_workload_but_twins_has_a_row_with_its_spread(folder):
    raw = pd.read_csv(folder / "timings.csv")
    raw["each"] = raw["seconds"] / raw["iterations"]
    rows = pd.read_csv(folder / "report" / "times.csv").set_index(["device", "mode", "workload"])
    raw = raw[~raw["workload"].str.endswith(" (again)")]
    groups = {
        key: group["each"].tolist() for key, group in raw.groupby(["device", "mode", "workload"])
    }
    assert set(rows.index) == set(groups)
    for key, each in groups.items():
        row, middle = rows.loc[key], statistics.median(each)
        assert row["n"] == len(each)
        assert row["minimum"] == min(each)
        assert row["median"] == pytest.approx(middle, rel=1e-12)
        assert row["mad"] == pytest.approx(
            statistics.median(abs(x - middle) for x in each), rel=1e-9
        )
        cov = statistics.stdev(each) / statistics.fmean(each)
        assert row["cov"] == pytest.approx(cov, rel=1e-9)
        assert row["minimum"] <= row["low"] <= row["median"] <= row["high"]


def test_without_timings_it_has_a_header_alone(tmp_path):
    write_results(tmp_path, studies=small_plans()[:1])
    (tmp_path / "timings.csv").unlink()
    (tmp_path / "report").mkdir()
    write_tables(read_results(tmp_path), tmp_path / "report")
    assert (tmp_path / "report" / "times.csv").read_text().count("\n") == 1
