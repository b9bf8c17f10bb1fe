"""A study file is read, or refused in one line: file, key, value, reason and remedy."""

import json
from copy import deepcopy
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablations.design import DesignError, Study, cells_of, trials_of
from ablations.levels import Level, text
from ablations.records import canonical_json
from ablations.studyfile import PROFILES, find_studies, load_study, study_groups

REMOVE = object()
STUDY = {
    "study": {
        "name": "tiny",
        "question": "Which activation?",
        "tasks": ["spiral"],
        "seeds": 2,
        "tuning_seeds": 1,
    },
    "task": {"spiral": {"points": 8, "validation_points": 8, "test_points": 8}},
    "factors": {"activation": ["relu", "tanh"]},
    "nuisance": {"learning_rate": [0.01, 0.1]},
    "fixed": {"depth": 1, "width": 4, "steps": 3, "evaluations": 2},
}


def changed(changes):
    """The small study with some values replaced: `{"study.seeds": 3, "fixed.depth": REMOVE}`."""
    content = deepcopy(STUDY)
    for path, value in changes.items():
        table = content
        *parents, last = path.split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
        if value is REMOVE:
            table.pop(last, None)
        else:
            table[last] = deepcopy(value)
    return content


def toml(value):
    """A value as TOML spells it, tables inline."""
    match value:
        case dict():
            pairs = (f"{toml(key)} = {toml(each)}" for key, each in value.items())
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    return value.isoformat()


def write_toml(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{toml(key)} = {toml(value)}\n" for key, value in content.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def write_study(folder, changes=None, name="study.toml"):
    """The file of the small study, some values replaced."""
    return write_toml(folder / name, changed(changes or {}))


def small_study(folder, changes=None, profile="standard"):
    """The small study as `load_study` reads it."""
    return load_study(write_study(folder, changes), profile)


def test_a_study_is_read_as_it_is_written(tmp_path):
    study = small_study(tmp_path / "group")

    assert (study.name, study.group, study.question) == ("tiny", "group", "Which activation?")
    assert study.design == "full-factorial"
    assert [task.name for task in study.tasks] == ["spiral"]
    settings_of_task = dict(study.tasks[0].settings)
    assert (settings_of_task["points"], settings_of_task["noise"]) == (8, 0.2)
    assert study.tasks[0].split == (0.6, 0.2, 0.2)
    assert study.factors[0].levels == (Level("relu"), Level("tanh"))
    assert study.rates.values == (("", (0.01, 0.1)),)
    assert study.fixed == (("depth", 1), ("width", 4))
    assert (study.steps, study.epochs, study.evaluations) == (3, None, 2)
    assert (study.seeds, study.tuning_seeds, study.seed) == (2, 1, 0)
    assert study.response(study.tasks[0]) == "test_accuracy"


@pytest.mark.parametrize("change", [b"\xef\xbb\xbf%s", b"%s"], ids=["BOM", "CRLF"])
def test_a_file_is_read_as_windows_editors_write_it(tmp_path, change):
    path = write_study(tmp_path)
    plain, content = load_study(path), path.read_bytes()
    path.write_bytes((change % content).replace(b"\n", b"\r\n"))
    assert load_study(path) == plain


def test_defaults_are_those_of_the_design_page(tmp_path):
    removed = ["study.seeds", "study.tuning_seeds", "fixed.steps", "fixed.evaluations"]
    study = small_study(tmp_path, dict.fromkeys(removed, REMOVE))
    assert (study.seeds, study.tuning_seeds, study.steps, study.evaluations) == (10, 2, 400, 20)


def test_epochs_may_stand_for_steps(tmp_path):
    study = small_study(tmp_path, {"fixed.steps": REMOVE, "fixed.epochs": 3})
    assert (study.steps, study.epochs) == (None, 3)


def test_a_profile_overrides_and_leaves_the_others_alone(tmp_path):
    quick = {
        "seeds": 1,
        "steps": 2,
        "width": 8,
        "learning_rate": [0.5],
        "tasks": ["spiral", "line"],
        "factors": {"activation": ["gelu", "relu"]},
        "task": {"spiral": {"points": 9}},
    }
    path = write_study(tmp_path, {"profile.quick": quick})

    study, standard = load_study(path, "quick"), load_study(path, "standard")

    assert (study.seeds, study.steps, study.profile) == (1, 2, "quick")
    assert dict(study.fixed) == {"depth": 1, "width": 8}
    assert study.rates.values == (("", (0.5,)),)
    assert [task.name for task in study.tasks] == ["spiral", "line"]
    assert study.factors[0].levels == (Level("gelu"), Level("relu"))
    spiral = dict(study.tasks[0].settings)
    assert (spiral["points"], spiral["test_points"]) == (9, 8)
    assert (standard.seeds, standard.steps, dict(standard.fixed)["width"]) == (2, 3, 4)


def test_rates_by_level_follow_the_level_whatever_its_settings(tmp_path):
    study = small_study(
        tmp_path,
        {
            "factors": {"optimizer": ["sgd", {"name": "adam", "beta1": 0.8}]},
            "nuisance.learning_rate": {"adam": [0.02, 0.01], "sgd": [1, 3]},
        },
    )
    rates = {text(cell.optimizer): study.rates.of(cell) for cell in cells_of(study, study.tasks[0])}
    assert rates == {"sgd": (1.0, 3.0), "adam(beta1=0.8)": (0.01, 0.02)}
    assert study.rates.by == "optimizer"


def test_skip_by_bare_name_reaches_every_setting_of_a_level(tmp_path):
    levels = ["none", {"name": "dropout", "rate": 0.1}, {"name": "dropout", "rate": 0.5}, "l1"]
    study = small_study(
        tmp_path,
        {
            "factors": {"regularisation": levels},
            "task.spiral.skip": {"regularisation": ["dropout"]},
        },
    )
    shown = [text(cell.regularisation) for cell in cells_of(study, study.tasks[0])]
    assert shown == ["none", "l1"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_study_that_comes_along_can_be_read(profile):
    files = [file for group in study_groups().values() for file in group]
    assert files
    for file in files:
        study = load_study(file, profile)
        assert study.name == file.stem
        assert sum(1 for _ in trials_of(study)) > 1


@pytest.mark.parametrize("name", ["Größe + Tiefe", "深さ", "a b.c-d_e+f", "x" * 100, "ü" * 100])
def test_a_study_may_be_named_in_any_language(tmp_path, name):
    assert small_study(tmp_path, {"study.name": name}).name == name


WAVE = {"study.tasks": ["wave"], "task": {}}
DIGITS = {"study.tasks": ["digits"], "task": {}}
FIRST_RATES = "nuisance.learning_rate"
SKIP = " skip the level with [task.{}] skip = {{ factor = [...] }}"
OUT = " change it or leave the task out"
CANNOT_NAME = " cannot name a folder; use letters, digits, spaces and . _ + -"
SHARES = "; give shares of training, validation and test such as [0.6, 0.2, 0.2], or 'none'"
FILLED = "choose from train_loss, val_loss, test_loss, train_accuracy, val_accuracy, test_accuracy"


SIDES = {"better": {"activation": "relu"}, "worse": {"activation": "tanh"}}


def claim(**content):
    return {"claims": [{"statement": "s", **content}]}


BAD = {
    "unknown section": ({"factor": {}}, "unknown section 'factor'; did you mean 'factors'?"),
    "unknown key": ({"study.sedes": 3}, "unknown [study] key 'sedes'; did you mean 'seeds'?"),
    "unknown fixed key": (
        {"fixed.witdh": 8},
        "unknown [fixed] key 'witdh'; did you mean 'width'?",
    ),
    "unknown factor": (
        {"factors.activaton": ["relu", "tanh"]},
        "unknown factor 'activaton'; did you mean 'activation'?",
    ),
    "unknown level": (
        {"factors.activation": ["relu", "tahn"]},
        "unknown level 'tahn' of activation; did you mean 'tanh'?",
    ),
    "unknown setting": (
        {"fixed.regularisation": {"name": "dropout", "rat": 0.3}},
        "unknown setting 'rat' of regularisation 'dropout'; did you mean 'rate'?",
    ),
    "unknown task": ({"study.tasks": ["spirl"]}, "unknown task 'spirl'; did you mean 'spiral'?"),
    "unknown task setting": (
        {"task.spiral.point": 3},
        "unknown [task.spiral] key 'point'; did you mean 'points'?",
    ),
    "settings of another task": (
        {"task.digits": {}},
        "unknown [task] of the study 'digits'; there is spiral",
    ),
    "unknown profile": (
        {"profile.quik": {}},
        "unknown profile 'quik'; did you mean 'quick'?",
    ),
    "unknown profile key": (
        {"profile.standard": {"stepz": 1}},
        "unknown [profile.standard] key 'stepz'; did you mean 'steps'?",
    ),
    "unknown design": (
        {"study.design": "factorial"},
        "unknown design 'factorial'; choose 'full-factorial' or 'leave-one-out'",
    ),
    "no factors": (
        {"factors": {}},
        "[factors] is empty; name at least one factor with two levels",
    ),
    "empty factor": (
        {"factors.activation": []},
        "factor 'activation' needs two distinct levels, got []; "
        "a value that never changes belongs under [fixed]",
    ),
    "single level": (
        {"factors.activation": ["relu"]},
        "factor 'activation' needs two distinct levels, got ['relu']; "
        "a value that never changes belongs under [fixed]",
    ),
    "level twice": (
        {"factors.activation": ["relu", "tanh", "relu"]},
        "factor 'activation' lists 'relu' twice; each must differ from the others",
    ),
    "levels not a list": (
        {"factors.activation": "relu"},
        "factor 'activation' needs a list of levels, got 'relu'",
    ),
    "no tasks": ({"study.tasks": []}, "[study] tasks is empty; name at least one task"),
    "task twice": (
        {"study.tasks": ["spiral", "spiral"]},
        "[study] tasks lists 'spiral' twice; each must differ from the others",
    ),
    "task not a word": (
        {"study.tasks": [3]},
        "[study] tasks entry needs text in quotes, got 3",
    ),
    "seeds in words": ({"study.seeds": "ten"}, "[study] seeds needs a whole number, got 'ten'"),
    "seeds true": ({"study.seeds": True}, "[study] seeds needs a whole number, got True"),
    "no seeds": ({"study.seeds": 0}, "[study] seeds must be at least 1, got 0"),
    "seeds that reach the tuning seeds": (
        {"study.seeds": 1001},
        "[study] seeds must be at most 1000, got 1001",
    ),
    "no tuning seeds": (
        {"study.tuning_seeds": 0},
        "[study] tuning_seeds must be at least 1, got 0",
    ),
    "negative seed": ({"study.seed": -1}, "[study] seed must be at least 0, got -1"),
    "no steps": ({"fixed.steps": 0}, "[fixed] steps must be at least 1, got 0"),
    "too many evaluations": (
        {"fixed.evaluations": 100_000},
        "[fixed] evaluations must be at most 10000, got 100000",
    ),
    "steps and epochs": (
        {"fixed.epochs": 3},
        "[fixed] sets both steps and epochs; leave one of them out",
    ),
    "no name": ({"study.name": REMOVE}, '[study] needs name; add name = "my-study"'),
    "no question": (
        {"study.question": REMOVE},
        '[study] needs question; add question = "Which ... learns best?"',
    ),
    "negative rate": (
        {FIRST_RATES: [0.1, -0.1]},
        "[nuisance] learning_rate got -0.1; give a rate above 0",
    ),
    "rate in words": (
        {FIRST_RATES: ["fast"]},
        "[nuisance] learning_rate needs numbers, got 'fast'",
    ),
    "rate true": ({FIRST_RATES: [True]}, "[nuisance] learning_rate needs numbers, got True"),
    "infinite rate": (
        {FIRST_RATES: [float("inf")]},
        "'nuisance.learning_rate' got inf; give a finite number",
    ),
    "rate twice": (
        {FIRST_RATES: [0.1, 0.1]},
        "[nuisance] learning_rate lists '0.1' twice; each must differ from the others",
    ),
    "no rates": ({FIRST_RATES: []}, "[nuisance] learning_rate is empty; give at least one rate"),
    "rate without a list": (
        {FIRST_RATES: 0.1},
        "[nuisance] learning_rate got 0.1; give a list such as [0.001, 0.01]",
    ),
    "no nuisance": (
        {"nuisance": REMOVE},
        "[nuisance] needs learning_rate; give a list such as [0.001, 0.01]",
    ),
    "unknown nuisance": (
        {"nuisance.momentum": [0.9]},
        "unknown [nuisance] key 'momentum'; there is learning_rate",
    ),
    "nuisance and factor": (
        {"nuisance.activation": [0.1]},
        "'activation' is a nuisance and a factor; a factor is interpreted, a nuisance is tuned "
        "away: leave one of them out",
    ),
    "factor and fixed": (
        {"fixed.activation": "relu"},
        "'activation' is a factor and under [fixed]; leave one of them out",
    ),
    "unequal budgets": (
        {FIRST_RATES: {"relu": [0.1], "tanh": [0.1, 0.2]}},
        "[nuisance] learning_rate gives unequal budgets (relu: 1, tanh: 2); a fair comparison "
        "tries the same number of rates for every level",
    ),
    "level without rates": (
        {FIRST_RATES: {"relu": [0.1]}},
        "[nuisance] learning_rate has no list for activation 'tanh'",
    ),
    "rates of no factor": (
        {FIRST_RATES: {"adam": [0.1], "sgd": [0.1]}},
        "[nuisance] learning_rate lists 'adam', 'sgd', which are not the levels of one factor of "
        "the study",
    ),
    "rates by no factor": (
        {FIRST_RATES: {"from": "optimizer", "by": "optimiser"}},
        "[nuisance] learning_rate by: unknown factor 'optimiser'; did you mean 'optimizer'?",
    ),
    "width 0": ({"fixed.width": 0}, "width must be at least 1, got 0"),
    "width in words": ({"fixed.width": "8"}, "width needs a whole number, got '8'"),
    "few arms": (
        {"task.spiral.arms": 1},
        "task 'spiral' setting 'arms' got 1; give a number from 2 up to 64",
    ),
    "half a point": (
        {"task.spiral.points": 8.5},
        "task 'spiral' setting 'points' needs a whole number, got 8.5",
    ),
    "one point": (
        {"task.spiral.points": 1},
        "task 'spiral' setting 'points' got 1; give a number from 2 up to 1,000,000",
    ),
    "one point to validate on": (
        {"task.spiral.validation_points": 1},
        "task 'spiral' setting 'validation_points' got 1; give a number from 2 up to 1,000,000",
    ),
    "coefficient that overflows": (
        {"study.tasks": ["line"], "task": {"line": {"slope": 1e39}}},
        "task 'line' setting 'slope' got 1e+39; give a number from -1,000,000 up to 1,000,000",
    ),
    "one arm on another": (
        {"task.spiral.spacing": 0.5},
        "task 'spiral' spacing got 0.5, which puts arm 3 of 3 on the first; give 0 to space the "
        "arms evenly",
    ),
    "targets that never change": (
        {"study.tasks": ["line"], "task": {"line": {"slope": 0, "noise": 0}}},
        "task 'line' slope and noise are both 0, so every target is the same; give one of them "
        "another value",
    ),
    "shares of parts that are drawn": (
        {"task.spiral.split": [0.6, 0.2, 0.2]},
        "task 'spiral' split got [0.6, 0.2, 0.2], but its parts are drawn apart; set points, "
        "validation_points and test_points, or split = 'none'",
    ),
    "split in words": (
        {"task.spiral.split": "all"},
        "task 'spiral' split got 'all', but its parts are drawn apart; set points, "
        "validation_points and test_points, or split = 'none'",
    ),
    "shares beyond 1": (
        {**DIGITS, "task.digits.split": [0.8, 0.1, 0.2]},
        "task 'digits' split got [0.8, 0.1, 0.2], whose sum is 1.1; give shares that sum to 1 "
        "such as [0.6, 0.2, 0.2]",
    ),
    "counts for shares": (
        {**DIGITS, "task.digits.split": [1000, 400, 397]},
        "task 'digits' split got [1000, 400, 397], whose sum is 1797; give shares that sum to 1 "
        "such as [0.6, 0.2, 0.2]",
    ),
    "share without examples": (
        {**DIGITS, "task.digits.split": [0.999, 0.0005, 0.0005]},
        "task 'digits': split [0.999, 0.0005, 0.0005] of 1,797 examples leaves 1795 to train on, "
        "1 to validate on, 1 to test on; give each at least 2",
    ),
    "more to learn from than there is": (
        {"fixed.train_size": 25},
        "task 'spiral': train_size 25 is more than the 24 training examples; give at most 24, or "
        "'all', or leave the task out",
    ),
    "a level of more than there is": (
        {**DIGITS, "factors.train_size": ["all", 1079]},
        "task 'digits': train_size 1079 is more than the 1,078 training examples; give at most "
        "1078, or 'all', or" + SKIP.format("digits"),
    ),
    "more than is in a file not yet read": (
        {"study.tasks": ["mnist"], "task": {}, "fixed.train_size": 45_001},
        "task 'mnist': train_size 45001 is more than the 45,000 training examples; give at most "
        "45000, or 'all', or leave the task out",
    ),
    "batch norm of one example left over": (
        {"fixed.norm": "batch", "fixed.train_size": 15, "fixed.minibatch": 7},
        "task 'spiral': batch norm has no variance in a minibatch of 1, and 15 training examples "
        "in minibatches of 7 leave 1 over; choose another minibatch or train_size, or layer norm, "
        "or leave the task out",
    ),
    "batch norm of all of one example": (
        {"fixed.train_size": 1, "factors": {"norm": ["none", "batch"]}},
        "task 'spiral': batch norm has no variance in a minibatch of 1, and there is 1 training "
        "example; choose another minibatch or train_size, or layer norm, or"
        + SKIP.format("spiral"),
    ),
    "too many blocks for images of a folder": (
        {
            "study.tasks": ["imagefolder:x"],
            "task": {"imagefolder:x": {"size": 16}},
            "fixed.network": "cnn",
            "fixed.depth": 5,
        },
        "task 'imagefolder:x': depth 5 halves the image away; a cnn here has at most 4 blocks, or "
        "leave the task out",
    ),
    "unknown key of another profile": (
        {"profile.quick": {"sedes": 3}},
        "unknown [profile.quick] key 'sedes'; did you mean 'seeds'?",
    ),
    "no seeds in another profile": (
        {"profile.full": {"seeds": 0}},
        "[profile.full]: [study] seeds must be at least 1, got 0",
    ),
    "unknown level in another profile": (
        {"profile.quick": {"factors": {"activation": ["relu", "tahn"]}}},
        "[profile.quick]: unknown level 'tahn' of activation; did you mean 'tanh'?",
    ),
    "another profile without the level of a claim": (
        {
            **claim(better={"activation": "relu"}, worse={"activation": "tanh"}),
            "profile.quick": {"factors": {"activation": ["relu", "elu"]}},
        },
        "[profile.quick]: claim 's': 'tanh' is not a level of activation; there is elu, relu",
    ),
    "another profile with too few examples": (
        {"fixed.train_size": 20, "profile.quick": {"task": {"spiral": {"points": 6}}}},
        "[profile.quick]: task 'spiral': train_size 20 is more than the 18 training examples; give "
        "at most 18, or 'all', or leave the task out",
    ),
    "a mistake that no profile makes": (
        {"study.seeds": 0, "profile.standard": {"steps": 3}, "profile.quick": {"steps": 1}},
        "[study] seeds must be at least 1, got 0",
    ),
    "no task section": ({"task.spiral": 3}, "[task.spiral] needs a table, got 3"),
    "two shares": (
        {**DIGITS, "task.digits.split": [0.5, 0.5]},
        f"task 'digits' split got [0.5, 0.5]{SHARES}",
    ),
    "negative share": (
        {**DIGITS, "task.digits.split": [0.5, 0.5, -1]},
        f"task 'digits' split got [0.5, 0.5, -1]{SHARES}",
    ),
    "share true": (
        {**DIGITS, "task.digits.split": [True, 1, 1]},
        f"task 'digits' split got [True, 1, 1]{SHARES}",
    ),
    "tuning without validation": (
        {"task.spiral.split": "none"},
        "task 'spiral': split = 'none' leaves no validation data to tune the learning rate on; "
        "give one rate",
    ),
    "stopping without validation": (
        {"task.spiral.split": "none", FIRST_RATES: [1], "fixed.regularisation": "early_stopping"},
        "task 'spiral': regularisation 'early_stopping' needs validation data, and split = 'none' "
        "has none;" + OUT,
    ),
    "skip of no factor": (
        {"task.spiral.skip": {"optimizer": ["sgd"]}},
        "[task.spiral] skip: unknown factor 'optimizer'; there is activation",
    ),
    "skip of no level": (
        {"task.spiral.skip": {"activation": ["tahn"]}},
        "[task.spiral] skip: 'tahn' is not a level of activation; did you mean 'tanh'?",
    ),
    "skip of the baseline": (
        {"task.spiral.skip": {"activation": ["relu"]}},
        "[task.spiral] skip: 'relu' is the baseline of activation, which every task needs; make "
        "another level the first",
    ),
    "unknown response": (
        {"study.response": {"spiral": "test_acuracy"}},
        "[study] response: unknown response 'test_acuracy'; did you mean 'test_accuracy'?",
    ),
    "empty response": (
        {"study.response": {"spiral": "test_r2"}},
        f"[study] response: 'test_r2' is empty on task 'spiral'; {FILLED}",
    ),
    "response of no task": (
        {"study.response": {"digits": "test_accuracy"}},
        "unknown [study] response of task 'digits'; there is spiral",
    ),
    "claim on no column": (
        claim(response="test_acc"),
        "claim 's': response: unknown response 'test_acc'; did you mean 'test_accuracy'?",
    ),
    "claim on an empty column": (
        claim(response="test_r2"),
        f"claim 's': response: 'test_r2' is empty on task 'spiral'; {FILLED}",
    ),
    "claim on no factor": (
        claim(better={"activaton": "relu"}),
        "claim 's': unknown factor 'activaton'; did you mean 'activation'?",
    ),
    "claim on no level": (
        claim(worse={"activation": "tahn"}),
        "claim 's': 'tahn' is not a level of activation; did you mean 'tanh'?",
    ),
    "claim without a side": (
        claim(better={"activation": "relu"}),
        "claim 's' has better; give better and worse, or trend",
    ),
    "claim on nothing": (
        claim(),
        "claim 's' has neither a contrast nor a trend; give better and worse, or trend",
    ),
    "trend of no factor": (
        claim(trend={"factor": "dept"}),
        "claim 's': unknown factor 'dept'; there is activation",
    ),
    "trend without a direction": (
        claim(trend={"factor": "activation"}),
        "claim 's': trend needs direction; add direction = 'rises' or 'falls'",
    ),
    "trend in no direction": (
        claim(trend={"factor": "activation", "direction": "up"}),
        "claim 's': trend direction got 'up'; choose 'rises' or 'falls'",
    ),
    "trend key": (
        claim(trend={"factor": "activation", "direction": "rises", "by": 1}),
        "unknown claim 's': trend key 'by'; there is factor, direction",
    ),
    "trend over words": (
        claim(trend={"factor": "activation", "direction": "rises"}),
        "claim 's': 'relu' of activation is not a number, so its levels have no order; "
        "give better and worse",
    ),
    "claim of less than nothing": (
        claim(**SIDES, by=-0.1),
        "claim 's': by got -0.1; give 0 or more, or swap the sides",
    ),
    "claim of no difference": (
        claim(**SIDES, equal_within=0),
        "claim 's': equal_within got 0; give a number above 0",
    ),
    "claim with two margins": (
        claim(**SIDES, by=0.1, equal_within=0.1),
        "claim 's' has by and equal_within; leave one of them out",
    ),
    "claim on no table": (
        claim(**SIDES, table="curves"),
        "claim 's': table got 'curves'; choose 'trials', the default, or 'timings'",
    ),
    "claim on a trend of the timings": (
        claim(trend={"factor": "depth", "direction": "rises"}, table="timings")
        | {"factors.depth": [1, 2], "fixed.depth": REMOVE},
        "claim 's': a claim on the timings has no trend; give better and worse",
    ),
    "claim that all time is saved": (
        claim(**SIDES, table="timings", by=1),
        "claim 's': by got 1; on the timings it is the share of time saved, such as 0.1",
    ),
    "claims of one id": (
        {"claims": [{"statement": s, "id": "C1", **SIDES} for s in ("s", "t")]},
        "[[claims]] id lists 'C1' twice; each must differ from the others",
    ),
    "claim that a network beats itself": (
        claim(better={"activation": "relu"}, worse={}),
        "claim 's': better and worse are the same network; name two that are different",
    ),
    "claim on a cell that the design leaves out": (
        {
            **claim(better={"activation": "tanh", "depth": 2}, worse={}),
            "study.design": "leave-one-out",
            "factors.depth": [1, 2],
            "fixed.depth": REMOVE,
        },
        "claim 's': no task of the study trains the cell that is better; name one that the "
        "design has",
    ),
    "claim on a level that its task skips": (
        {
            **claim(**SIDES),
            "factors.activation": ["relu", "tanh", "elu"],
            "task.spiral.skip": {"activation": ["tanh"]},
        },
        "claim 's': no task of the study trains the cell that is worse; name one that the "
        "design has",
    ),
    "claim on no task": (
        claim(task="spirals"),
        "claim 's': unknown task 'spirals'; did you mean 'spiral'?",
    ),
    "claim by words": (claim(by="much"), "claim 's': by needs a number, got 'much'"),
    "claim key": (claim(bettr={}), "unknown [[claims]] key 'bettr'; did you mean 'better'?"),
    "claim without words": (
        {"claims": [{"task": "spiral"}]},
        '[[claims]] needs statement; add statement = "..."',
    ),
    "one claim": (
        {"claims": {"statement": "s"}},
        "[[claims]] needs a list, got {'statement': 's'}",
    ),
    "smoothing of numbers": (
        {**WAVE, "fixed.regularisation": "label_smoothing"},
        "task 'wave': regularisation 'label_smoothing' needs classes;" + OUT,
    ),
    "classes' loss on numbers": (
        {**WAVE, "fixed.loss": "nll"},
        "task 'wave': loss 'nll' is not for regression; choose from mse, l1, huber, or "
        "leave the task out",
    ),
    "numbers' loss on classes": (
        {"fixed.loss": "huber"},
        "task 'spiral': loss 'huber' is not for classification; choose from cross_entropy, nll, "
        "bce, mse, quadratic, or leave the task out",
    ),
    "convolutions of points": (
        {"fixed.network": "cnn"},
        "task 'spiral': network 'cnn' needs images;" + OUT,
    ),
    "shifted points": (
        {"fixed.augmentation": {"name": "shift", "pixels": 2}},
        "task 'spiral': augmentation 'shift(pixels=2)' needs images;" + OUT,
    ),
    "too many blocks": (
        {**DIGITS, "fixed.network": "cnn", "fixed.depth": 4},
        "task 'digits': depth 4 halves the image away; a cnn here has at most 3 blocks, or "
        "leave the task out",
    ),
    "norm set both ways": (
        {"fixed.regularisation": "batch_norm", "fixed.norm": "layer"},
        "task 'spiral': regularisation 'batch_norm' and norm 'layer' set the norm in two ways; "
        "leave one of them out, or leave the task out",
    ),
    "weight decay set both ways": (
        {
            "fixed.regularisation": "weight_decay",
            "fixed.optimizer": {"name": "adamw", "weight_decay": 0.1},
        },
        "task 'spiral': regularisation 'weight_decay' and optimizer 'adamw(weight_decay=0.1)' set "
        "the weight decay in two ways; leave one of them out, or leave the task out",
    ),
    "batch norm of one example": (
        {"fixed.norm": "batch", "fixed.minibatch": 1},
        "task 'spiral': batch norm has no variance in a minibatch of 1; use layer norm or larger "
        "minibatches, or leave the task out",
    ),
    "nothing to compare": (
        {"fixed.depth": 0},
        "task 'spiral': all 2 cells describe the same network; there is nothing to compare",
    ),
    "too many trials": (
        {"fixed.width": REMOVE, "factors.width": list(range(1, 301)), "study.seeds": 200},
        "the grid has 121,200 trials, more than the limit of 100,000; take fewer levels or seeds, "
        "or design = 'leave-one-out'",
    ),
    "too many cells": (
        {
            "fixed.width": REMOVE,
            "factors.width": list(range(1, 1001)),
            "factors.minibatch": list(range(1, 1001)),
            "factors.train_size": list(range(1, 1001)),
        },
        "the grid has 2,000,000,000 cells, more than the limit of 100,000; take fewer levels or "
        "seeds, or design = 'leave-one-out'",
    ),
    "date": (
        {"study.question": date(2026, 1, 1)},
        "'study.question' got the date or time 2026-01-01; write it in quotes",
    ),
    "date in a claim": (
        claim(expected=[date(2026, 1, 1)]),
        "'claims.expected' got the date or time 2026-01-01; write it in quotes",
    ),
    "number of 65 bits": (
        {"study.seed": 2**63},
        "'study.seed' holds a number that is too large; give one of 64 bits",
    ),
    "name above": ({"study.name": "../../x"}, "[study] name '../../x'" + CANNOT_NAME),
    "absolute name": ({"study.name": "/tmp/x"}, "[study] name '/tmp/x'" + CANNOT_NAME),
    "name with NUL": ({"study.name": "a\0b"}, r"[study] name 'a\x00b'" + CANNOT_NAME),
    "name of two lines": ({"study.name": "a\nb"}, r"[study] name 'a\nb'" + CANNOT_NAME),
    "hidden name": ({"study.name": ".x"}, "[study] name '.x'" + CANNOT_NAME),
    "name ending in a dot": ({"study.name": "x."}, "[study] name 'x.'" + CANNOT_NAME),
    "empty name": ({"study.name": ""}, "[study] name ''" + CANNOT_NAME),
    "name of 101 letters": (
        {"study.name": "x" * 101},
        f"[study] name '{'x' * 101}' is too long to name a folder; shorten it",
    ),
    "name of 300 bytes": (
        {"study.name": "深" * 100},
        f"[study] name '{'深' * 100}' is too long to name a folder; shorten it",
    ),
    "name of the report": ({"study.name": "Report"}, "[study] name 'Report'" + CANNOT_NAME),
    "name of a results file": (
        {"study.name": "machine.json"},
        "[study] name 'machine.json'" + CANNOT_NAME,
    ),
    "profile that renames": (
        {"profile.standard": {"name": "x"}},
        "[profile.standard] cannot change the study's name",
    ),
    "profile with seeds in words": (
        {"profile.standard": {"seeds": "ten"}},
        "[profile.standard] seeds needs a whole number, got 'ten'",
    ),
    "profile without levels": (
        {"profile.standard": {"factors": 3}},
        "[profile.standard] factors needs a table, got 3",
    ),
    "profile without settings": (
        {"profile.standard": {"task": {"spiral": 3}}},
        "[profile.standard]: [task.spiral] needs a table, got 3",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_study_is_refused_in_one_line_that_says_what_to_do(tmp_path, case):
    changes, message = BAD[case]
    path = write_study(tmp_path, changes)

    with pytest.raises(DesignError) as error:
        load_study(path)

    assert str(error.value) == f"{path}: {message}"


BAD_FILES = {
    "not TOML": (b"[study\n", "is not valid TOML; "),
    "key twice": (b"a = 1\na = 2\n", "is not valid TOML; Cannot overwrite a value (at line 2"),
    "not UTF-8": (b'name = "\xff"\n', "is not valid TOML; 'utf-8' codec can't decode byte 0xff"),
    "NUL": (b"name = \0\n", "is not valid TOML; "),
    "too deep": (b"a = " + b"[" * 5000 + b"]" * 5000, "is not valid TOML; "),
    "endless number": (b"a = " + b"9" * 5000, "is not valid TOML; "),
    "endless hexadecimal number": (
        b"[study]\nseeds = 0x" + b"f" * 5000,
        "'study.seeds' holds a number that is too large; give one of 64 bits",
    ),
    "empty": (b"", '[study] needs tasks; add tasks = ["spiral"]'),
    "table for a section": (b"study = 3\n", "[study] needs a table, got 3"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_study_says_so(tmp_path, case):
    content, message = BAD_FILES[case]
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(DesignError) as error:
        load_study(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path, monkeypatch):
    (tmp_path / "folder.toml").mkdir()
    locked = write_study(tmp_path)
    read = Path.open

    def refuse(path, *args):
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return read(path, *args)

    monkeypatch.setattr(Path, "open", refuse)
    for name, message in {
        "none.toml": "no such study file; `ablations list` shows the studies",
        "folder.toml": "is a folder without studies; give a .toml file",
        "study.toml": "cannot be read; Permission denied",
    }.items():
        with pytest.raises(DesignError) as error:
            load_study(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: {message}"


ACCEPTED = {
    "thirds of six digits": {**DIGITS, "task.digits.split": [0.333333, 0.333333, 0.333333]},
    "all but one example": {"fixed.train_size": 24},
    "no batch norm": {"fixed.train_size": 15, "fixed.minibatch": 7},
    "nor a hidden layer": {
        "factors": {"optimizer": ["adam", "sgd"]},
        "fixed": {"depth": 0, "norm": "batch", "minibatch": 1},
    },
    "one image has many values per channel": {
        **DIGITS,
        "fixed.network": "cnn",
        "fixed.train_size": 15,
        "fixed.minibatch": 7,
    },
    "an image at a time": {**DIGITS, "fixed.network": "cnn", "fixed.minibatch": 1},
    "more to learn from without a split": {
        **DIGITS,
        FIRST_RATES: [0.1],
        "task.digits.split": "none",
        "fixed.train_size": 1797,
    },
    "arms that do not meet": {"task.spiral.spacing": 0.3},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_only_looks_like_a_mistake_is_accepted(tmp_path, case):
    assert small_study(tmp_path, ACCEPTED[case]).name == "tiny"


def test_shares_are_what_the_file_says(tmp_path):
    study = small_study(tmp_path, {**DIGITS, "task.digits.split": [0.5, 0.2, 0.3]})
    assert study.tasks[0].split == (0.5, 0.2, 0.3)


def test_studies_are_found_by_name_group_file_and_folder(tmp_path):
    file = write_study(tmp_path)
    core = study_groups()["core"]

    assert find_studies("core") == core
    assert find_studies("depth-width") == [path for path in core if path.stem == "depth-width"]
    assert find_studies(str(file)) == [file]
    assert find_studies(str(tmp_path)) == [file]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("activaton", "unknown study 'activaton'; did you mean 'activation'?"),
        ("cor", "unknown study 'cor'; did you mean 'core'?"),
        (
            "x" * 5000,
            f"study '{'x' * 5000}': File name too long; `ablations list` shows the studies",
        ),
    ],
)
def test_an_unknown_study_is_named_with_what_was_meant(asked, message):
    with pytest.raises(DesignError) as error:
        find_studies(asked)
    assert str(error.value) == message


RICH = changed(
    {
        "study.tasks": ["spiral", "digits"],
        "study.seed": 3,
        "study.design": "full-factorial",
        "study.response": {"spiral": "test_loss"},
        "task.digits": {"split": [0.5, 0.25, 0.25], "standardise": False},
        "task.spiral.skip": {"regularisation": ["l1"]},
        "factors.regularisation": ["none", {"name": "dropout", "rate": 0.2}, "l1"],
        "nuisance.learning_rate": {"relu": [0.1, 0.2], "tanh": [0.1, 0.3]},
        "profile.standard": {
            "seeds": 3,
            "steps": 4,
            "task": {"spiral": {"points": 9}},
            "factors": {"activation": ["tanh", "relu"]},
        },
        "claims": [
            {
                "statement": "s",
                "task": "spiral",
                "response": "test_loss",
                "better": {"activation": "relu"},
                "worse": {"activation": "tanh"},
                "by": 0.1,
            }
        ],
        "published": [{"id": "R1", "values": [1.0]}],
    }
)


def places(value, path=()):
    """The path of every value inside a study, tables and lists included."""
    inside = value.items() if isinstance(value, dict) else []
    inside = enumerate(value) if isinstance(value, list) else inside
    return [path, *(found for key, each in inside for found in places(each, (*path, key)))]


WORDS = st.sampled_from(
    [
        "relu",
        "none",
        "default",
        "full",
        "all",
        "name",
        "from",
        "by",
        "spiral",
        "digits",
        "dropout",
        "adam",
        "test_loss",
        "l1",
        "",
        "../../x",
        "/x",
        "imagefolder:x",
        "a\nb",
    ]
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.one_of(
    WORDS, TEXT, st.integers(), st.integers(-2, 70), st.floats(), st.booleans(), st.dates(),
    st.datetimes(), st.times(), st.just(10**400), st.just(2**62),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(WORDS | TEXT, each, max_size=3),
    max_leaves=6,
)


def study_or_refusal(path):
    try:
        return load_study(path)
    except DesignError as error:
        return str(error)


def replaced(content, path, value):
    content = deepcopy(content)
    table = content
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return content


@given(place=st.sampled_from([path for path in places(RICH) if path]), value=VALUES)
@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_study_with_anything_anywhere_is_read_or_refused(tmp_path, place, value):
    """Nothing but a Study or a DesignError, whatever TOML can say."""
    path = write_toml(tmp_path / "study.toml", replaced(RICH, place, value))
    study = study_or_refusal(path)
    if isinstance(study, str):
        assert study.startswith(f"{path}: ")
        return
    assert isinstance(study, Study)
    assert len({trial.name for trial in trials_of(study)}) == sum(1 for _ in trials_of(study))
    canonical_json([study.claims, study.published, study.rates.values])


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_in_words(tmp_path, content):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(DesignError):
        load_study(path)


# Published results, networks by their layers, and what is watched


PUBLISHED = {"id": "R1", "task": "spiral", "response": "train_loss", "values": [0.5]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": [1.0]}, "unknown [[published]] 'R1' key 'value'; did you mean 'values'?"),
        ({"task": "spirals"}, "[[published]] 'R1': unknown task 'spirals'; did you mean 'spiral'?"),
        ({"values": []}, "[[published]] 'R1' values got []; give the published numbers"),
        ({"values": ["x"]}, "[[published]] 'R1' values got ['x']; give the published numbers"),
        ({"response": "train_los"}, "unknown response 'train_los'; did you mean 'train_loss'?"),
        ({"response": "running_loss"}, "unknown response 'running_loss'"),
        ({"response": "gap", "last": 2}, "unknown response 'gap'"),
        ({"last": 0}, "last must be at least 1, got 0"),
        ({"cell": {"depht": 1}}, "unknown factor 'depht'"),
        ({"cell": {"activation": "rleu"}}, "'rleu' is not a level of activation"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_published_result_that_cannot_be_held_against_anything_is_refused(
    tmp_path, change, message
):
    path = write_study(tmp_path, {"published": [PUBLISHED | change]})
    with pytest.raises(DesignError) as error:
        load_study(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {**DIGITS, "task.digits.split": "test"},
            "split 'test' needs a data set with a test part of its own",
        ),
        (
            {"task.spiral.split": "test"},
            "split 'test' needs a data set with a test part of its own",
        ),
        (
            {**DIGITS, "study.tasks": ["mnist"], "task.mnist.split": "test"},
            "split = 'test' leaves no validation data to tune the learning rate on",
        ),
        (
            {"fixed.network": {"name": "sequential", "layers": "conv 3@3"}},
            "needs images",
        ),
        (
            {
                **DIGITS,
                "fixed.network": {"name": "sequential", "layers": "conv 3@9"},
            },
            "leaves nothing of 8 x 8 pixels",
        ),
        (
            {"fixed.network": {"name": "sequential", "layers": "liner 3"}},
            "network layer 'liner 3' is not known",
        ),
        (
            {
                **DIGITS,
                "fixed.network": "cnn",
                "fixed.regularisation": "auxiliary_loss",
            },
            "'auxiliary_loss' is for network 'mlp', not 'cnn'",
        ),
        ({"fixed.running_loss": 1}, "[fixed] running_loss needs true or false, got 1"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_trained_or_watched_is_refused(tmp_path, change, message):
    path = write_study(tmp_path, change)
    with pytest.raises(DesignError) as error:
        load_study(path)
    assert message in str(error.value)
