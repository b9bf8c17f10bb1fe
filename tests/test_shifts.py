"""Parts of a report that several processes make are those that one makes."""

from functools import partial

import matplotlib as mpl
import pytest
from golden import GOLDEN
from matplotlib.figure import Figure

from report.contents import build_report
from report.drawing import draw, house_style
from report.page import render_html
from report.shifts import in_processes
from report.tables import read_results


def fontsize():
    return mpl.rcParams["font.size"]


def drawn(name):
    figure = Figure()
    figure.subplots().plot([1, 2], [1, 2])
    return draw(figure, name)


def test_parts_come_back_in_their_order_in_the_style_of_who_asked():
    with house_style():
        mpl.rcParams["font.size"] = 7.5
        parts = [partial(abs, -3), partial(fontsize), partial(drawn, "a"), partial(drawn, "b")]
        here, there = in_processes(parts, 1), in_processes(parts, 2)
    assert here == there
    assert here[:2] == [3, 7.5]


def test_a_few_parts_are_made_here():
    with house_style():
        mpl.rcParams["font.size"] = 7.5
        assert in_processes([partial(drawn, "a")], 8)[0].figure is not None


def test_what_goes_wrong_in_a_process_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        in_processes([partial(divmod, 1, 0)] * 3, 2)


@pytest.mark.slow
def test_a_page_has_the_same_bytes_however_many_processes_made_it():
    results = read_results(GOLDEN / "results")
    with house_style():
        pages = {render_html(build_report(results, processes)) for processes in (1, 2)}
    assert len(pages) == 1
