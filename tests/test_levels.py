"""Names of factors and levels, and what is said to someone who misspells one."""

import subprocess
import sys
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.levels import (
    FACTORS,
    TASKS,
    Count,
    Level,
    LevelError,
    Named,
    Setting,
    Switch,
    one_of,
    suggest,
    task_kind,
    text,
)

NAMED = sorted(name for name, kind in FACTORS.items() if isinstance(kind, Named))
LEVELS = [(factor, level) for factor in NAMED for level in FACTORS[factor].levels]


def test_the_fifteen_factors_stand_in_their_order():
    assert list(FACTORS) == [
        "activation", "optimizer", "depth", "width", "residual", "network", "pooling", "init",
        "norm", "regularisation", "loss", "minibatch", "train_size", "schedule", "augmentation",
    ]  # fmt: skip


@pytest.mark.parametrize(("factor", "level"), LEVELS)
def test_a_bare_level_has_every_default(factor, level):
    kind = FACTORS[factor]

    parsed = kind.parse(factor, level)

    assert text(parsed) == level
    defaults = {key: setting.default for key, setting in kind.levels[level].items()}
    assert kind.settings(parsed) == defaults
    spelled_out = kind.parse(factor, {"name": level, **defaults})
    assert kind.settings(spelled_out) == defaults
    assert kind.shortened(spelled_out) == parsed


@pytest.mark.parametrize(("factor", "level"), LEVELS)
def test_every_default_lies_within_its_own_bounds(factor, level):
    for key, setting in FACTORS[factor].levels[level].items():
        assert setting.check(factor, key, setting.default) == setting.default


def test_a_level_with_settings_is_shown_in_the_order_of_the_settings():
    level = FACTORS["optimizer"].parse("optimizer", {"beta2": 0.99, "name": "adam", "beta1": 0})

    assert text(level) == "adam(beta1=0.0, beta2=0.99)"
    assert level == Level("adam", (("beta1", 0.0), ("beta2", 0.99)))


def test_a_setting_equal_to_its_default_is_shown_but_changes_nothing():
    kind = FACTORS["regularisation"]
    level = kind.parse("regularisation", {"name": "dropout", "rate": 0.3})

    assert text(level) == "dropout(rate=0.3)"
    assert kind.shortened(level) == Level("dropout")


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "true"), (False, "false"), (7, "7"), ("full", "full"), (0.1, "0.1")]
)
def test_a_value_is_shown_as_toml_spells_it(value, shown):
    assert text(value) == shown


SETTINGS = {
    "word": (Setting("uniform", choices=("uniform", "normal")), "gauss", "choose 'uniform' or"),
    "no word": (Setting("uniform", choices=("uniform", "normal")), 3, "got 3; choose 'uniform'"),
    "text for a number": (Setting(0.5), "much", "needs a number, got 'much'"),
    "truth for a number": (Setting(0.5), True, "needs a number, got True"),
    "fraction for a count": (Setting(5), 5.5, "needs a whole number, got 5.5"),
    "truth for a count": (Setting(5), True, "needs a whole number, got True"),
    "count for a truth": (Setting(True), 1, "needs true or false, got 1"),
    "list": (Setting(0.5), [0.5], "needs a number, got [0.5]"),
    "below": (Setting(5, low=1), 0, "got 0; give a number from 1"),
    "above": (Setting(0.5, high=1.0), 1.5, "got 1.5; give a number at most 1"),
    "outside": (Setting(0.5, low=0.0, high=1.0), -0.5, "got -0.5; give a number from 0 up to 1"),
    "open": (Setting(1.0, low=0.0, open_low=True), 0.0, "got 0.0; give a number above 0"),
    "nearly 1": (
        Setting(0.5, low=0.0, high=0.9999999),
        1.0,
        "got 1.0; give a number from 0 up to 0.9999999",
    ),
    "too many": (Setting(5, low=2, high=1_000_000), 1, "give a number from 2 up to 1,000,000"),
    "not a number": (Setting(0.5), nan, "got nan; give a number that is finite"),
    "infinite": (Setting(0.5), inf, "got inf; give a number that is finite"),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_bad_setting_says_what_to_give(setting):
    known, value, message = SETTINGS[setting]
    with pytest.raises(LevelError) as error:
        known.check("owner", "size", value)
    assert str(error.value).startswith("owner setting 'size' ")
    assert message in str(error.value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(), st.floats(), st.booleans())
def test_a_setting_holds_exactly_what_lies_between_its_bounds(value, low, high, open_low):
    setting = Setting(0.0, low=low, high=high, open_low=open_low)
    fits = (value > low if open_low else value >= low) and value <= high
    if fits:
        assert setting.check("owner", "size", value) == value
    else:
        with pytest.raises(LevelError):
            setting.check("owner", "size", value)


def test_a_whole_number_may_stand_for_a_fraction():
    value = Setting(0.5).check("owner", "size", 2)
    assert (value, type(value)) == (2.0, float)


BAD_LEVELS = {
    "misspelt": ("activation", "rellu", "unknown level 'rellu' of activation; did you mean 'relu'"),
    "far off": ("pooling", "zzz", "unknown level 'zzz' of pooling; there is max, average"),
    "number": ("activation", 3, "unknown level 3 of activation; there is identity, relu"),
    "nameless": ("activation", {"slope": 1}, "has no name: {'slope': 1}; give it a name = ..."),
    "name is a list": ("activation", {"name": ["relu"]}, "unknown level ['relu'] of activation"),
    "setting": (
        "regularisation",
        {"name": "dropout", "rats": 0.1},
        "unknown setting 'rats' of regularisation 'dropout'; did you mean 'rate'?",
    ),
    "setting of none": (
        "activation",
        {"name": "tanh", "zzz": 0.1},
        "unknown setting 'zzz' of activation 'tanh'; it has no settings",
    ),
    "rate too high": (
        "regularisation",
        {"name": "dropout", "rate": 1},
        "regularisation 'dropout' setting 'rate' got 1.0; give a number from 0 up to 0.999",
    ),
    "width too large": ("width", 1 << 62, "width must be at most 1,000,000, got 4,611,686,018,427"),
    "depth too large": ("depth", 1001, "depth must be at most 1,000, got 1,001"),
    "width 0": ("width", 0, "width must be at least 1, got 0"),
    "negative depth": ("depth", -1, "depth must be at least 0, got -1"),
    "fraction": ("depth", 1.0, "depth needs a whole number, got 1.0"),
    "truth": ("depth", True, "depth needs a whole number, got True"),
    "word": ("minibatch", "all", "minibatch needs a whole number or 'full', got 'all'"),
    "minibatch 0": ("minibatch", 0, "minibatch must be at least 1 or 'full', got 0"),
    "switch": ("residual", 1, "residual needs true or false, got 1"),
}


@pytest.mark.parametrize("case", BAD_LEVELS)
def test_a_bad_level_says_what_to_give(case):
    factor, value, message = BAD_LEVELS[case]
    with pytest.raises(LevelError) as error:
        FACTORS[factor].parse(factor, value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Count(2, 0, "about"), 0), (Count("full", 1, "about", word="full"), "full"),
     (Count("full", 1, "about", word="full"), 7), (Switch(False, "about"), True)],
)  # fmt: skip
def test_a_good_level_comes_back_as_it_is(kind, value):
    assert kind.parse("factor", value) is value


def test_names_are_listed_as_a_person_would():
    assert one_of(("a",)) == "'a'"
    assert one_of(("a", "b", "c")) == "'a', 'b' or 'c'"


def test_suggestions_name_the_close_match_or_all_there_are():
    assert suggest("wdith", {"width": 0, "depth": 0}) == "did you mean 'width'?"
    assert suggest("zzz", ("width", "depth")) == "there is width, depth"
    assert suggest("zzz", {}) == "it has no settings"


@given(st.text(max_size=30) | st.text(max_size=9).map("imagefolder:{}".format))
def test_any_text_is_a_task_or_a_clear_message(name):
    if name in TASKS and name != "imagefolder":
        assert task_kind(name) is TASKS[name]
    elif name.startswith("imagefolder:") and name != "imagefolder:" and name.isprintable():
        assert task_kind(name) is TASKS["imagefolder"]
    else:
        with pytest.raises(LevelError, match="; "):
            task_kind(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "unknown task 'digit'; did you mean 'digits'?"),
        ("digits:x", "unknown task 'digits:x'; did you mean 'digits'?"),
        ("imagefolder", "task 'imagefolder' needs a folder; write 'imagefolder:PATH'"),
        ("imagefolder:", "task 'imagefolder' needs a folder; write 'imagefolder:PATH'"),
        (
            "imagefolder:a\rb",
            r"task 'imagefolder:a\rb' has a character that cannot be shown; rename the folder",
        ),
    ],
)
def test_a_bad_task_says_what_to_write(name, message):
    with pytest.raises(LevelError, match="task") as error:
        task_kind(name)
    assert str(error.value) == message


def test_names_levels_and_studies_are_read_without_torch():
    """`list` and `--help` answer at once."""
    code = (
        "import sys; from ablations.__main__ import main; main(['list']); "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'pandas', 'sklearn')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)
