"""Records hold exactly what was put in; whatever happens to a file is found."""

import builtins
import csv
import errno
import json
import math
import os
import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import stack_of
from hypothesis import given
from hypothesis import strategies as st
from test_studyfile import small_study

from ablations import provenance
from ablations.design import trained_cells
from ablations.levels import FACTORS, Level
from ablations.outcome import Outcome
from ablations.records import (
    TRIALS,
    RecordError,
    collect,
    csv_field,
    is_done,
    key_of,
    read_record,
    record_path,
    seal,
    try_lock,
    unlock,
    unseal,
    write_atomically,
    write_csv,
    write_if_changed,
)
from ablations.running import record_context
from ablations.stacking import final_stacks, tuning_stack

CONTEXT = {"data": "generated", "code": "c", "torch": "2.13", "device": "cpu", "threads": 1}
CLOCK = {"way": "stacked", "worker": 0, "attempt": 1, "seconds": 0.25}


def outcome_of(stack, **numbers):
    """What training might leave behind, with chosen numbers in every row."""
    rows = [
        {"trial": m.name, "seed": m.seed, "learning_rate": m.learning_rate, "status": "finished"}
        | {"train_loss": 0.5, "val_loss": 0.25, **numbers}
        for m in stack.members
    ]
    curves = [{"trial": m.name, "step": 0, "train_loss": 1.5} for m in stack.members]
    return Outcome(rows, curves)


def written(folder, stack=None, outcome=None):
    """A sealed record on disk: its path and key."""
    stack = stack or stack_of(seeds=(0, 1))
    key = key_of(stack, CONTEXT)
    path = record_path(folder, key)
    write_atomically(path, seal(stack, key, outcome or outcome_of(stack), CONTEXT, CLOCK))
    return path, key


def bits(value):
    return struct.pack(">d", value)


NASTY = [5e-324, 2.2250738585072014e-308, 1e308, -1e308, 0.1, -0.0, 0.0, 1 / 3, 1e-320, 2.0**53 + 2]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1) | st.just(NASTY))
def test_numbers_come_back_to_the_bit(values):
    stack = stack_of()
    outcome = Outcome(rows=[{"trial": "t", "train_loss": value} for value in values])
    key = key_of(stack, CONTEXT)

    payload = unseal(seal(stack, key, outcome, CONTEXT, CLOCK).encode(), key)

    back = [row["train_loss"] for row in payload["outcome"]["rows"]]
    assert list(map(bits, back)) == list(map(bits, values))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(NASTY))
def test_numbers_come_back_from_csv_to_the_bit(value):
    assert bits(float(csv_field(value))) == bits(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value):
    stack = stack_of()
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal(stack, "k", Outcome(rows=[{"train_loss": value}]), CONTEXT, CLOCK)


def test_a_record_carries_what_it_was_made_from(tmp_path):
    stack = stack_of(seeds=(0, 1), activation="tanh")
    path, key = written(tmp_path, stack)

    assert path == tmp_path / "records" / key[:2] / f"{key}.json"
    payload = read_record(tmp_path, key, pytest.fail)
    assert payload["key"] == key
    assert payload["config"]["cell"]["activation"] == {"name": "tanh"}
    assert payload["config"]["code"] == "c"
    assert [m["seed"] for m in payload["config"]["members"]] == [0, 1]
    assert payload["clock"] == CLOCK
    assert is_done(payload)


@pytest.mark.parametrize(
    ("status", "done"),
    [("finished", True), ("diverged", True), ("failed", False), ("timed_out", False),
     ("out_of_memory", False)],
)  # fmt: skip
def test_only_what_ended_by_itself_is_done(status, done):
    rows = [{"status": "finished"}, {"status": status}]
    assert is_done({"outcome": {"rows": rows}}) is done
    assert not is_done(None)


def test_a_missing_record_is_none_and_nothing_is_said(tmp_path):
    assert read_record(tmp_path, "ab" * 12, pytest.fail) is None


def found_damaged(folder, path, key, content):
    """Put content in place of a record and read it: it must be set aside, never used."""
    path.write_bytes(content)
    said = []
    payload = read_record(folder, key, said.append)
    aside = list(path.parent.glob("*.damaged-*"))
    for each in aside:
        each.unlink()
    return (
        payload is None
        and not path.exists()
        and [a.name in said[0] for a in aside] == [True]
        and said[0].startswith(f"record {path} is damaged; set aside as ")
        and said[0].endswith(", its stack is trained again")
    )


def truncations(content, count):
    lengths = {0, 1, len(content) // 2, len(content) - 1, len(content) - 2}
    return lengths | set(random.Random(1).sample(range(len(content)), min(count, len(content))))


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_record_cut_anywhere_is_found(tmp_path, count):
    stack = stack_of(seeds=range(10))
    path, key = written(tmp_path, stack)
    content = path.read_bytes()
    cuts = truncations(content, count)
    assert len(cuts) >= count
    for length in cuts:
        assert found_damaged(tmp_path, path, key, content[:length]), length
        zeroed = content[:length] + bytes(len(content) - length)
        assert found_damaged(tmp_path, path, key, zeroed), length


@pytest.mark.parametrize("count", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_found(tmp_path, count):
    path, key = written(tmp_path)
    content = path.read_bytes()
    header = [(n, bit) for n in range(110) for bit in range(8)]
    anywhere = [(n, bit) for n in range(len(content)) for bit in range(8)]
    flips = [*header[:: len(header) * 4 // count], *random.Random(2).sample(anywhere, count)]
    for n, bit in flips:
        flipped = bytearray(content)
        flipped[n] ^= 1 << bit
        assert found_damaged(tmp_path, path, key, bytes(flipped)), (n, bit)


def test_every_flip_of_the_header_is_found():
    """The seal is strict: no other spelling of it passes."""
    stack = stack_of()
    key = key_of(stack, CONTEXT)
    content = seal(stack, key, outcome_of(stack), CONTEXT, CLOCK).encode()
    start = content.index(b'"payload":') + len(b'"payload":')
    assert unseal(content, key) is not None
    for n in [*range(start), len(content) - 2, len(content) - 1]:
        for byte in set(range(256)) - {content[n]}:
            assert unseal(content[:n] + bytes([byte]) + content[n + 1 :], key) is None, (n, byte)


def test_what_else_may_happen_to_a_record_is_found(tmp_path):
    path, key = written(tmp_path)
    content = path.read_bytes()
    other = written(tmp_path, stack_of(seeds=(2, 3)))[0].read_bytes()
    body = json.loads(content)["payload"]
    damaged = {
        "doubled": content * 2,
        "another record's content": other,
        "another schema": content.replace(b'{"schema":1', b'{"schema":2'),
        "a schema spelled 01": content.replace(b'{"schema":1', b'{"schema":01'),
        "byte order mark": b"\xef\xbb\xbf" + content,
        "carriage returns": content.replace(b"\n", b"\r\n"),
        "no end of line": content.rstrip(b"\n"),
        "another end of line": content + b"\n",
        "zeros": bytes(len(content)),
        "zeros at the end": content + bytes(8),
        "pretty": json.dumps(json.loads(content), indent=1).encode(),
        "sealed payload, other spelling": content.replace(b'"payload":{', b'"payload": {'),
        "a word": b"null\n",
        "a number": b"1",
        "list": json.dumps([body]).encode(),
        "not UTF-8": b"\xff" * 50,
    }
    for case, each in damaged.items():
        assert found_damaged(tmp_path, path, key, each), case


def test_a_damaged_record_in_a_read_only_folder_is_reported_and_ignored(tmp_path, monkeypatch):
    path, key = written(tmp_path)
    path.write_bytes(b"torn")

    def refuse(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", refuse)
    said = []
    assert read_record(tmp_path, key, said.append) is None
    assert said == [
        f"record {path} is damaged and cannot be renamed (Read-only file system); ignored"
    ]


def test_a_record_that_cannot_be_read_says_what_to_do(tmp_path, monkeypatch):
    path, key = written(tmp_path)

    def fail(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(RecordError) as error:
        read_record(tmp_path, key, pytest.fail)
    assert str(error.value) == f"{path}: cannot be read (Input/output error); mend or delete it"


class FaultyFile:
    """A file whose write or flush may be told to fail."""

    def __init__(self, file, calls):
        self.file, self.calls = file, calls

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()

    def write(self, content):
        half = content[: len(content) // 2]
        self.file.write(half)  # a full disk tears the write
        self.calls("write")
        return self.file.write(content[len(half) :])

    def flush(self):
        self.calls("flush")
        self.file.flush()

    def fileno(self):
        return self.file.fileno()


CALLS = ("mkdir", "open", "write", "flush", "fsync", "replace", "open folder", "fsync folder")


def failing(monkeypatch, failing_call, code):
    """Make one of the calls behind `write_atomically` fail."""

    def calls(name):
        if name == failing_call:
            raise OSError(code, os.strerror(code))

    def patch(owner, name, label, wrap=lambda result: result):
        known = getattr(owner, name)

        def called(*args, **options):
            calls(label(*args))
            return wrap(known(*args, **options))

        monkeypatch.setattr(owner, name, called)

    def of_folder(name):
        return lambda handle, *_: name + " folder" if os.path.isdir(handle) else name  # noqa: PTH112

    patch(Path, "mkdir", lambda *_: "mkdir")
    patch(os, "replace", lambda *_: "replace")
    patch(os, "open", of_folder("open"))
    patch(os, "fsync", lambda h: "fsync folder" if is_folder(h) else "fsync")
    opened = builtins.open

    def open_faulty(path, mode="r", **options):
        calls("open")
        return FaultyFile(opened(path, mode, **options), calls)

    monkeypatch.setattr(builtins, "open", open_faulty)


def is_folder(handle):
    return os.fstat(handle).st_mode & 0o170000 == 0o040000


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE, errno.EROFS])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("existed", [True, False])
def test_a_write_that_fails_leaves_the_old_or_the_new_file_whole(
    tmp_path, monkeypatch, call, code, existed
):
    path = tmp_path / "folder" / "record.json"
    if existed:
        write_atomically(path, "old")
    with monkeypatch.context() as patch:
        failing(patch, call, code)
        with pytest.raises(RecordError) as error:
            write_atomically(path, "the new content")
    assert str(error.value) == (
        f"{path}: cannot be written ({os.strerror(code)}); make room or choose another folder "
        "with --results, then run again: what is finished is kept"
    )
    renamed = call in ("open folder", "fsync folder")
    expected = "the new content" if renamed else "old" if existed else None
    assert (path.read_text() if path.exists() else None) == expected
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and p != path] == []

    write_atomically(path, "after it is mended")
    assert path.read_text() == "after it is mended"


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", "content")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_says_it_already_is_not_touched(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ["a"], [{"a": 1}])
    os.utime(path, ns=(1, 1))

    write_csv(path, ["a"], [{"a": 1}])
    assert path.stat().st_mtime_ns == 1

    for content in (b"a\n2\n", b"a\n1\n\xff", b"a\r\n1\r\n", b""):
        path.write_bytes(content)
        write_csv(path, ["a"], [{"a": 1}])
        assert path.read_bytes() == b"a\n1\n"
    write_if_changed(tmp_path / "new" / "file", "x")
    assert (tmp_path / "new" / "file").read_text() == "x"


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-", "+", "="]


@pytest.mark.parametrize("formula", FORMULAS)
def test_text_cannot_start_a_spreadsheet_formula(formula):
    assert csv_field(formula) == "'" + formula


@pytest.mark.parametrize("value", ["-1", "+2.5e-3", "-0.0", "1e308", "plain", "a=b", "a-b", ""])
def test_numbers_and_plain_text_stay_as_they_are(value):
    assert csv_field(value) == value


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=1))
def test_any_text_comes_back_from_csv(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    write_csv(path, ["a", "b"], [{"a": text, "b": None} for text in texts])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["a", "b"]
    assert [row[0].removeprefix("'") for row in rows[1:]] == [t.removeprefix("'") for t in texts]


def test_trials_csv_begins_as_the_design_page_says():
    assert TRIALS[:5] == ["trial", "study", "task", "stage", "seed"]
    assert TRIALS[5:20] == list(FACTORS)
    assert TRIALS[20:] == [
        "learning_rate", "status", "train_loss", "val_loss", "test_loss", "train_accuracy",
        "val_accuracy", "test_accuracy", "train_r2", "val_r2", "test_r2", "best_step", "steps",
        "parameters", "sparsity", "penalised_loss", "gap", "curve_area", "curve_noise",
        "first_gradient", "last_gradient", "dead_units", "saturation", "weight_norm",
        "linear_regions", "parameter_error", "stack",
    ]  # fmt: skip


def test_csv_files_hold_what_the_records_hold(tmp_path):
    stack = stack_of(seeds=(0, 1), activation="tanh")
    _, key = written(tmp_path, stack, outcome_of(stack, test_loss=1e-320, train_loss=None))
    collect(tmp_path, [(stack, key, read_record(tmp_path, key, pytest.fail))])

    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [member.name for member in stack.members]
    assert {row["activation"] for row in rows} == {"tanh"}
    assert {(row["study"], row["stage"], row["stack"]) for row in rows} == {("tests", "final", key)}
    assert [float(row["test_loss"]) for row in rows] == [1e-320] * 2
    assert [row["train_loss"] for row in rows] == ["", ""]
    stacks = (tmp_path / "stacks.csv").read_text().splitlines()
    assert stacks[1].split(",")[0] == key
    assert stacks[1].endswith("2,stacked,0,1,0.25")


def test_a_lock_has_one_holder(tmp_path):
    path = tmp_path / "records" / "k.lock"
    handle = try_lock(path)

    assert try_lock(path) is None
    unlock(path, handle)
    assert not path.exists()
    again = try_lock(path)
    assert again is not None
    unlock(path, again)


def test_a_lock_file_without_a_holder_is_no_obstacle(tmp_path):
    path = tmp_path / "k.lock"
    path.write_text("left by a process that was killed")
    handle = try_lock(path)
    assert handle is not None
    unlock(path, handle)


def test_a_lock_removed_by_its_last_holder_is_taken_anew(tmp_path, monkeypatch):
    """Between open and stat another process may have removed the file that was opened."""
    path = tmp_path / "k.lock"
    opened = os.open
    removed = []

    def open_and_lose(name, *args):
        handle = opened(name, *args)
        if not removed:
            removed.append(path.unlink())
        return handle

    monkeypatch.setattr(os, "open", open_and_lose)
    handle = try_lock(path)
    assert os.fstat(handle).st_ino == path.stat().st_ino
    unlock(path, handle)


def test_a_lock_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "k.lock"
    with pytest.raises(RecordError) as error:
        try_lock(path)
    assert str(error.value) == (
        f"{path}: cannot be written (File exists); choose another folder with --results"
    )


def test_a_lock_that_cannot_be_removed_is_freed(tmp_path, monkeypatch):
    path = tmp_path / "k.lock"
    handle = try_lock(path)

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        unlock(path, handle)
    handle = try_lock(path)
    assert handle is not None
    unlock(path, handle)


STACK = stack_of(seeds=(0, 1), settings={"points": 8})
RELEVANT = {
    "study seed": replace(STACK, study_seed=1),
    "task": stack_of("wave", seeds=(0, 1)),
    "setting of the task": stack_of(seeds=(0, 1), settings={"points": 9}),
    "scaling": stack_of(seeds=(0, 1), settings={"points": 8, "standardise": False}),
    "split": replace(STACK, task=replace(STACK.task, split="none")),
    "stage": replace(STACK, stage="tuning"),
    "seeds": replace(STACK, members=STACK.members[:1]),
    "order of trials": replace(STACK, members=STACK.members[::-1]),
    "rate": replace(STACK, members=tuple(replace(m, learning_rate=0.1) for m in STACK.members)),
    "name of a trial": replace(STACK, members=tuple(replace(m, name="x") for m in STACK.members)),
    "steps": replace(STACK, steps=21),
    "epochs": replace(STACK, steps=None, epochs=20),
    "evaluations": replace(STACK, evaluations=5),
    "pictures": replace(STACK, pictures=True),
    "running loss": replace(STACK, running_loss=True),
    "dtype": replace(STACK, dtype="bfloat16"),
}
OTHER_LEVELS = {
    "activation": Level("tanh"), "optimizer": Level("adam", (("beta1", 0.8),)), "depth": 3,
    "width": 33, "residual": True, "network": Level("cnn"), "pooling": Level("average"),
    "init": Level("xavier"), "norm": Level("batch"), "regularisation": Level("l1"),
    "loss": Level("mse"), "minibatch": 4, "train_size": 9, "schedule": Level("cosine"),
    "augmentation": Level("flip"),
}  # fmt: skip


def test_the_key_follows_everything_that_can_change_a_record():
    keys = {case: key_of(stack, CONTEXT) for case, stack in RELEVANT.items()}
    keys["as it is"] = key_of(STACK, CONTEXT)
    keys |= {f"context {name}": key_of(STACK, {**CONTEXT, name: "other"}) for name in CONTEXT}
    assert set(OTHER_LEVELS) == set(FACTORS)
    for factor, level in OTHER_LEVELS.items():
        # a cnn, so that pooling matters; it has no shortcut, so that needs an mlp
        network = "mlp" if factor in ("residual", "network") else "cnn"
        base = replace(STACK.cell, network=Level(network))
        keys[f"{network} baseline"] = key_of(replace(STACK, cell=base), CONTEXT)
        cell = replace(base, **{factor: level})
        keys[f"{network} {factor}"] = key_of(replace(STACK, cell=cell), CONTEXT)
    assert keys.pop("mlp baseline") == keys["as it is"]
    assert keys.pop("mlp network") == keys["cnn baseline"]
    assert len(set(keys.values())) == len(keys)


def test_the_key_is_the_same_for_what_changes_nothing():
    key = key_of(STACK, CONTEXT)
    spelled_out = replace(STACK.cell, optimizer=Level("adam", (("beta1", 0.9),)))
    assert key_of(replace(STACK, study="another name"), CONTEXT) == key
    assert key_of(replace(STACK, cell_name="another label"), CONTEXT) == key
    assert key_of(replace(STACK, cell=spelled_out), CONTEXT) == key
    assert (
        key_of(replace(STACK, cell=replace(STACK.cell, pooling=Level("average"))), CONTEXT) == key
    )
    assert key_of(STACK, dict(reversed(CONTEXT.items()))) == key


def study_keys(folder, changes=None, profile="standard"):
    """Keys of every tuning stack and of the final stacks at a rate of 0.01, by their cell."""
    study = small_study(folder, changes, profile)
    found = {}
    for task in study.tasks:
        for cell in trained_cells(study, task):
            stacks = [tuning_stack(study, task, cell), *final_stacks(study, task, cell, 0.01)]
            context = record_context(task, "cpu")
            found[cell.activation.name] = [key_of(s, context) for s in stacks if s is not None]
    return found


UNCHANGED = {
    "question": {"study.question": "Another?"},
    "name": {"study.name": "another"},
    "claims": {
        "claims": [
            {
                "statement": "s",
                "better": {"activation": "relu"},
                "worse": {"activation": "tanh"},
            }
        ]
    },
    "published": {"published": [{"id": "R1", "values": [0.5]}]},
    "response": {"study.response": {"spiral": "test_loss"}},
    "order of levels": {"factors.activation": ["tanh", "relu"]},
    "another level": {"factors.activation": ["relu", "gelu", "tanh"]},
    "another task": {"study.tasks": ["wave", "spiral"]},
    "an unused profile": {"profile.full": {"seeds": 3}},
    "order of rates": {"nuisance.learning_rate": [0.1, 0.01]},
    "a default spelled out": {"fixed.optimizer": "adam", "task.spiral.arms": 3},
}


@pytest.mark.parametrize("case", UNCHANGED)
def test_editing_a_study_leaves_alone_what_it_does_not_change(tmp_path, case):
    before = study_keys(tmp_path / "a")
    after = study_keys(tmp_path / "b", UNCHANGED[case])
    assert set(before) == {"relu", "tanh"}
    assert {name: after[name] for name in before} == before


CHANGED = {
    "seed": {"study.seed": 1},
    "points": {"task.spiral.points": 9},
    "width": {"fixed.width": 5},
    "steps": {"fixed.steps": 4},
    "evaluations": {"fixed.evaluations": 3},
    "a profile in use": {"profile.standard": {"steps": 4}},
}


@pytest.mark.parametrize("case", CHANGED)
def test_editing_a_study_renews_what_it_changes(tmp_path, case):
    before, after = study_keys(tmp_path / "a"), study_keys(tmp_path / "b", CHANGED[case])
    assert not set(sum(before.values(), [])) & set(sum(after.values(), []))  # noqa: RUF017


def test_more_seeds_add_blocks_and_leave_whole_blocks_alone(tmp_path):
    ten = study_keys(tmp_path / "a", {"study.seeds": 10})
    twenty = study_keys(tmp_path / "b", {"study.seeds": 20})
    for name in ten:
        assert len(twenty[name]) == 3
        assert twenty[name][:2] == ten[name]


def test_the_code_hash_covers_the_modules_that_compute(tmp_path, monkeypatch):
    """Changed code is another key, whichever file of it changes."""
    for name in provenance.COMPUTING:
        source = provenance.ROOT / f"{name}.py"
        files = [source] if source.exists() else (provenance.ROOT / name).rglob("*.py")
        for file in files:
            target = tmp_path / file.relative_to(provenance.ROOT)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    (tmp_path / "running.py").write_text("does not compute")
    hashed = provenance.code_hash.__wrapped__
    original = hashed()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert hashed() == original

    for file in sorted(tmp_path.rglob("*.py")):
        content = file.read_bytes()
        file.write_bytes(content + b"#")
        assert (hashed() == original) is (file.name == "running.py"), file
        file.write_bytes(content)
    assert {"training.py", "streams.py", "generated.py"} <= {p.name for p in tmp_path.rglob("*.py")}
