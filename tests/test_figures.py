"""Figures: what is drawn is what the frame holds, and what is inlined is safe to inline."""

import io
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from report import axes, factorial, forests, heat_maps, learning, sensitivity, tiles, walls
from report.drawing import draw, house_style
from report.palette import CONTEXT, INK, PAPER, SERIES, THEME, colours_of
from report.wall_pictures import columns_for


@pytest.fixture(autouse=True)
def house():
    with house_style():
        yield


def sheet():
    figure = Figure(figsize=(4, 3), layout="constrained")
    return figure, figure.subplots()


def contrasts():
    return pd.DataFrame(
        {
            "label": ["tanh", "gelu", "identity"],
            "value": [4.0, 0.5, -8.0],
            "low": [2.0, -1.0, -10.0],
            "high": [6.0, 2.0, -6.0],
            "resolved": [True, False, True],
        }
    )


def drawn_text(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


def test_forest_plots_rank_by_value_and_grey_what_is_not_resolved():
    _, ax = sheet()
    forests.plot_contrasts(ax, contrasts(), unit="percentage points", baseline="relu")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["identity", "gelu", "tanh"]
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 2]
    assert [tuple(bar.get_xdata()) for bar in bars] == [(-10, -6), (-1, 2), (2, 6)]
    assert [to_hex(bar.get_color()) for bar in bars] == [SERIES[1], CONTEXT, SERIES[0]]
    assert ax.get_xlabel() == "difference from relu (percentage points)"


def test_a_difference_that_dwarfs_the_others_is_an_arrow_with_its_value():
    figure, ax = sheet()
    labels = [f"level {i}" for i in range(6)]
    value = np.array([-49.0, -1, 0, 0.5, 1, 2])
    frame = pd.DataFrame({"label": labels, "value": value, "low": value - 1, "high": value + 1})
    forests.plot_contrasts(ax, frame.assign(resolved=True), unit="points", baseline="relu")
    low, high = ax.get_xlim()
    assert low > -3
    assert high < 4
    assert "−49" in drawn_text(figure)
    assert [line.get_marker() for line in ax.lines].count("<") == 1


def test_beside_cells_that_do_not_differ_at_all_a_difference_keeps_its_place():
    """Where most are identical nothing is usual, and an arrow would stand on the zero line."""
    value = np.array([0.0, 0, 0, 0, 0, 3])
    frame = pd.DataFrame({"label": list("abcdef"), "value": value, "low": value, "high": value})
    assert forests.contrast_window(frame) == (0, 3)


def test_no_axis_of_accuracy_goes_beyond_a_hundred():
    _, ax = sheet()
    frame = curves(["a"]).assign(value=99.0, low=97.0, high=103.0)
    colours = {"a": INK}
    learning.plot_learning_curves(ax, frame, colours=colours, response="%", ceiling=100.0)
    assert ax.get_ylim()[1] < 100.5


def curves(labels):
    steps = np.tile([0, 50, 100], len(labels))
    value = np.concatenate([[0, 40 + i, 50 + i] for i in range(len(labels))]).astype(float)
    names = np.repeat(labels, 3)
    return pd.DataFrame(
        {"label": names, "step": steps, "value": value, "low": value - 1, "high": value + 1}
    )


numbers = st.floats(-1e300, 1e300)


@given(st.tuples(numbers, numbers).map(sorted), st.floats(0, 0.2))
def test_limits_of_an_axis_differ_and_hold_what_is_drawn(span, share):
    low, high = axes.padded(*span, share)
    assert low < high
    assert low <= span[0] <= span[1] <= high


@pytest.mark.parametrize("value", [0.0, 0.5, -3e17, 1e-300])
def test_no_plot_of_a_single_value_has_identical_limits(value):
    _, ax = sheet()
    one = curves(["a"]).assign(step=0, value=value, low=np.nan, high=np.nan)
    learning.plot_learning_curves(ax, one, colours={"a": INK}, response="%")
    _, ax = sheet()
    frame = contrasts().assign(value=value, low=np.nan, high=np.nan, resolved=False)
    forests.plot_contrasts(ax, frame, unit="points", baseline="relu")
    _, ax = sheet()
    speed = frame.assign(value=1.0)
    forests.plot_speeds(ax, speed, labels=["tanh", "gelu", "identity"], limits=(1.0, 1.0))
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1]


def test_a_difference_without_an_interval_is_a_hollow_mark_without_a_bar():
    _, ax = sheet()
    frame = contrasts().assign(low=[2.0, np.nan, -10.0], high=[6.0, np.nan, -6.0])
    forests.plot_contrasts(ax, frame, unit="points", baseline="relu")
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 2]
    assert [tuple(bar.get_xdata()) for bar in bars] == [(-10, -6), (2, 6)]
    faces = [to_hex(line.get_markerfacecolor()) for line in ax.lines if line.get_marker() == "o"]
    assert faces == [SERIES[1], PAPER, SERIES[0]]


def test_learning_curves_name_what_is_coloured_and_only_that():
    figure, ax = sheet()
    labels = [f"level {i}" for i in range(12)]
    colours = colours_of(labels, baseline="level 0", shown=labels)
    learning.plot_learning_curves(ax, curves(labels), colours=colours, response="accuracy (%)")
    named = [text for text in drawn_text(figure) if text.startswith("level")]
    assert sorted(named) == sorted(label for label, colour in colours.items() if colour != CONTEXT)
    assert len(named) == len(SERIES) + 1
    assert colours["level 0"] == INK


def test_a_curve_that_ends_early_is_marked_there_and_led_to_its_name():
    figure, ax = sheet()
    frame = curves(["a", "b"])
    frame = frame[(frame["label"] == "a") | (frame["step"] < 100)]  # b ends at step 50
    learning.plot_learning_curves(ax, frame, colours={"a": INK, "b": SERIES[0]}, response="%")
    (dotted,) = (line for line in ax.lines if line.get_linestyle() == ":")
    assert list(dotted.get_xdata()) == [50, 100]
    assert sorted(t for t in drawn_text(figure) if t in "ab") == ["a", "b"]


def test_what_lacks_trials_is_drawn_faint():
    _, ax = sheet()
    frame = contrasts().assign(partial=[False, True, False])
    forests.plot_contrasts(ax, frame, unit="points", baseline="relu")
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [(line.get_alpha() or 1) < 1 for line in dots] == [False, True, False]  # gelu
    _, ax = sheet()
    shown = {"a": INK, "b": SERIES[0]}
    learning.plot_learning_curves(
        ax, curves(["a", "b"]), colours=shown, response="%", partial={"b"}
    )
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert {line.get_linestyle(): to_hex(line.get_color()) for line in drawn} == {
        "-": INK,
        "--": SERIES[0],
    }
    _, ax = sheet()
    cells = pd.DataFrame({"row": "1", "column": ["4", "8"], "value": [1.0, 2.0], "text": ""})
    heat_maps.plot_heat_map(
        ax, cells.assign(span=1, partial=[True, False]), row="depth", column="width"
    )
    assert [patch.get_alpha() < 1 for patch in ax.patches] == [True, False]


def test_names_of_groups_of_levels_never_touch():
    figure, ax = sheet()
    names = ["activation", "optimizer", "width", "regularisation", "norm"]
    frame = pd.DataFrame({"factor": np.repeat(names, 2), "level": ["a", "b"] * 5, "value": 1.0})
    factorial.plot_main_effects(ax, frame.assign(low=0.9, high=1.1), response="accuracy (%)")
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text() in names]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in pairwise(sorted(boxes, key=lambda box: box.x0)))


def test_the_name_of_a_curve_that_ended_far_below_the_window_stands_at_its_edge():
    """It diverged at once: the axis is fitted to where the others end."""
    figure, ax = sheet()
    frame = curves(["a", "b"])
    frame = frame[(frame["label"] == "a") | (frame["step"] == 0)]
    frame.loc[frame["label"] == "b", ["value", "low", "high"]] = -1000.0
    learning.plot_learning_curves(ax, frame, colours={"a": INK, "b": SERIES[0]}, response="%")
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    assert low > -1000
    assert all(low <= text.get_position()[1] <= high for text in ax.texts)


def test_names_of_curves_never_overlap_and_stay_inside_the_figure():
    figure, ax = sheet()
    labels = [f"level {i} of many" for i in range(9)]
    colours = colours_of(labels, baseline=labels[0], shown=labels)
    same = curves(labels).assign(value=90.0, low=89.0, high=91.0)
    learning.plot_learning_curves(ax, same, colours=colours, response="accuracy (%)")
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.texts]
    assert len(boxes) == 9
    for i, box in enumerate(boxes):
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).map(sorted))
def test_spreading_keeps_order_distance_and_room(places):
    spaced = learning.spread(places, gap=0.1, low=0.0, high=1.0)
    assert len(spaced) == len(places)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(spaced))
    assert spaced[-1] <= 1 + 1e-9


def test_spreading_leaves_alone_what_is_apart():
    assert learning.spread([0.1, 0.5, 0.9], gap=0.2, low=0, high=1) == [0.1, 0.5, 0.9]


def rates():
    return pd.DataFrame(
        {
            "label": ["adam"] * 3 + ["sgd"] * 3,
            "learning_rate": [0.001, 0.01, 0.1] * 2,
            "value": [0.5, 0.2, 0.4, 0.6, 0.3, np.nan],
            "low": np.nan,
            "high": np.nan,
            "n": 2,
            "diverged": [0, 0, 0, 0, 0, 2],
            "chosen": [False, True, False, False, True, False],
        }
    )


def test_sensitivity_marks_the_chosen_rate_and_where_trials_diverged():
    figure = Figure()
    ax = figure.add_axes((0, 0, 1, 1))
    colours = {"adam": INK, "sgd": SERIES[0]}
    size = sensitivity.grid_size(2, 2, width=6.0)
    sensitivity.plot_rate_sensitivity(
        ax, rates(), colours=colours, response="loss", columns=2, size=size
    )
    curves = [line for line in ax.lines if line.get_markersize() == 3]
    rings = [line for line in ax.lines if line.get_markersize() == 8]
    for curve, ring in zip(curves, rings, strict=True):
        x, y = curve.get_data()
        assert ring.get_xdata().tolist() == [x[1]], "the middle rate is the chosen one"
        assert ring.get_ydata().tolist() == [y[1]]
        assert y[1] == min(v for v in y if np.isfinite(v))
        assert x[2] - x[1] == pytest.approx(x[1] - x[0]), "the axis is logarithmic"
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in crosses] == [0, 1]
    assert crosses[1].get_xdata()[0] == curves[1].get_xdata()[2]


def test_heat_map_writes_every_value_and_draws_a_shared_network_once():
    cells = pd.DataFrame(
        {
            "row": ["0", "1", "1"],
            "column": ["8", "8", "32"],
            "value": [50.0, 80.0, 90.0],
            "text": ["50", "80", "90"],
            "span": [2, 1, 1],
        }
    )
    _, ax = sheet()
    heat_maps.plot_heat_map(ax, cells, row="depth", column="width")
    assert [text.get_text() for text in ax.texts] == ["50", "80", "90"]
    assert [patch.get_width() for patch in ax.patches] == [2, 1, 1]


def region(quality=1):
    values = np.zeros((4, 4), dtype=np.uint8)
    values[:, 2:] = 85 + 84 * quality  # the second of three classes, quite sure
    return tiles.Tile("relu", "95.0%", values, (-1.0, 1.0, -1.0, 1.0), 3, True)


def test_regions_decode_winner_and_certainty():
    colours = walls._region_colours(region())
    unsure = walls._region_colours(region(quality=0))
    assert np.allclose(colours[0, 0], colours[3, 1])
    assert colours[0, 3].sum() < unsure[0, 3].sum(), "certain is deeper"
    assert not np.allclose(colours[0, 0], unsure[0, 3]), "another class, another hue"


def test_of_a_dozen_titles_none_is_cut():
    titles = ["adamw(weight_decay=0.01)", *["adam"] * 10]
    columns = columns_for(titles, most=6)
    width = axes.WIDE / (columns + walls.GAP * (columns - 1))
    assert len(titles[0]) <= int(width / 0.073)


def test_walls_put_pictures_and_points_where_they_belong():
    figure = Figure()
    ax = figure.add_axes((0, 0, 1, 1))
    points = pd.DataFrame({"x": [0.0, 9.0], "y": [0.0, 0.0], "label": [0.0, 1.0]})
    size = walls.wall_size(1, 1, width=2.0)
    walls.plot_regions(ax, [region()], points, columns=1, size=size)
    offsets = ax.collections[0].get_offsets()
    assert offsets.tolist() == [[1.0, 1.0]], "the middle of the tile; the outlier is left out"
    assert ax.images[0].get_extent() == [0, 2, 0, 2]


def test_fitted_curves_map_bytes_to_the_range_they_came_from():
    figure = Figure()
    ax = figure.add_axes((0, 0, 1, 1))
    values = np.array([[0, 255]], dtype=np.uint8)
    tile = tiles.Tile("relu", "0.9", values, (-1.0, 1.0, 0.0, 10.0), 0)
    points = pd.DataFrame({"x": [-1.0, 1.0], "y": [0.0, 10.0]})
    size = walls.wall_size(1, 1, width=2.0, aspect=0.72)
    walls.plot_fits(ax, [tile], points, columns=1, size=size)
    low, high = ax.lines[0].get_ydata()
    at = [float(y) for _, y in ax.collections[0].get_offsets()]
    assert [low, high] == pytest.approx(at), "a curve through both points passes through both"


def test_confusions_show_mistakes_and_not_the_diagonal():
    values = np.array([[200, 55], [0, 255]], dtype=np.uint8)
    tile = tiles.Tile("relu", "90%", values, (0, 1, 0, 1), 2)
    assert walls._mistakes(tile).tolist() == [[0.0, 55 / 255], [0.0, 0.0]]


@pytest.mark.parametrize(("values", "shape"), [("AAAA", "2x2"), ("!!", "1x1"), ("AA==", "x")])
def test_a_picture_that_is_not_what_it_says_is_refused(values, shape):
    with pytest.raises(tiles.PictureError, match="delete pictures"):
        tiles.read_values(values, shape)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("-1,1,0,2", (-1, 1, 0, 2)),
        ("3,3,0,2", (1.5, 4.5, 0, 2)),
        ("0,0,-2,-2", (-0.5, 0.5, -3, -1)),
        ("0,1", (0, 1, 0, 1)),
    ],
)
def test_ranges_are_read_and_empty_ones_widened(text, bounds):
    assert tiles.read_range(text) == bounds


@pytest.mark.parametrize("text", ["", "1,2,3", "2,1,0,1", "nan,nan,0,1", "0,inf,0,1", "a,b,c,d"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(tiles.PictureError, match="not four numbers"):
        tiles.read_range(text)


def test_main_effects_name_factors_and_levels():
    figure, ax = sheet()
    frame = pd.DataFrame(
        {
            "factor": ["depth", "depth", "width", "width"],
            "level": ["1", "2", "8", "32"],
            "value": [1.0, 2, 3, 4],
            "low": [0.5, 1, 2, 3],
            "high": [1.5, 3, 4, 5],
        }
    )
    factorial.plot_main_effects(ax, frame, response="accuracy")
    texts = drawn_text(figure)
    assert {"depth", "width", "1", "2", "8", "32", "accuracy"} <= set(texts)


def test_shares_draw_noise_in_grey_and_nothing_below_zero():
    _, ax = sheet()
    frame = pd.DataFrame(
        {"term": ["a", "b", "noise"], "share": [60.0, -0.3, 40.0], "noise": [False, False, True]}
    )
    factorial.plot_shares(ax, frame)
    assert [patch.get_width() for patch in ax.patches] == [40.0, 0.0, 60.0]
    assert to_hex(ax.patches[0].get_facecolor()) == CONTEXT


# What becomes of a figure


def drawing(name="one"):
    figure, ax = sheet()
    forests.plot_contrasts(ax, contrasts(), unit="percentage points", baseline="relu")
    ax.imshow(np.zeros((2, 2)), extent=(0, 1, 0, 1))
    return draw(figure, name)


def test_ids_of_two_drawings_never_meet_and_every_link_has_its_target():
    first, second = drawing("one"), drawing("two")
    ids = [set(re.findall(r'\bid="([^"]+)"', d.svg)) for d in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for d, own in zip((first, second), ids, strict=True):
        links = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', d.svg))
        assert {a or b for a, b in links} <= own


def test_a_drawing_has_no_style_no_date_and_no_address():
    svg = drawing().svg
    assert "style" not in svg
    assert "http" not in svg
    assert "<metadata" not in svg
    assert set(re.findall(r'href="(.)', svg)) <= {"#", "d"}
    ET.fromstring(svg)


def test_colours_follow_the_theme_and_text_stays_text():
    svg = drawing().svg
    assert "currentColor" in svg
    assert f"var(--{THEME[SERIES[0]][0]})" in svg
    assert ">tanh</text>" in svg
    assert "font-family" not in svg


def test_the_same_figure_gives_the_same_bytes():
    assert drawing() == drawing()


def test_png_is_opaque():
    image = Image.open(io.BytesIO(drawing().png)).convert("RGBA")
    assert image.getchannel("A").getextrema() == (255, 255)
    assert image.getpixel((0, 0)) == (255, 255, 255, 255)


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "$x^2_",
        "\u202egnp.exe",
        "a\x07b",
        "日本語",
        "x" * 5000,
        "a&b\"'",
    ],
)
def test_any_name_can_be_drawn(name):
    figure, ax = sheet()
    frame = contrasts().assign(label=[name, "b", "c"])
    forests.plot_contrasts(ax, frame, unit="points", baseline=name)
    svg = draw(figure, "hostile").svg
    ET.fromstring(svg)
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert max(map(len, re.findall(r"<text[^>]*>([^<]*)<", svg))) < 100


def test_labels_read_on_white_and_on_the_dark_page():
    """WCAG AA: 4.5 for text; every colour of the theme but lines and paper is used for text."""
    for light, (name, dark) in THEME.items():
        if name in ("edge", "grid", "paper", "context"):
            continue
        assert contrast_ratio(light, PAPER) >= 4.5, name
        assert contrast_ratio(dark, THEME[PAPER][1]) >= 4.5, name
    assert contrast_ratio(CONTEXT, PAPER) >= 3
    assert contrast_ratio(THEME[CONTEXT][1], THEME[PAPER][1]) >= 3


def contrast_ratio(one, other):
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour):
    channels = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
