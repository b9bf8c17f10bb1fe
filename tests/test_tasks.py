"""Data: drawn by the stated formula, split without overlap, scaled by the training part alone."""

import math
import os
import pickle
import struct
import tarfile
from hashlib import md5
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from conftest import task_spec
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits

from ablations.levels import TASKS
from ablations.sizes import known_sizes
from ablations.streams import Streams
from ablations.tasks import TaskError, checksum, load_task, part_sizes, task
from ablations.tasks.generated import GENERATORS
from ablations.tasks.sources import load_source
from ablations.tasks.vision import torchvision_datasets

GENERATED = ("spiral", "line", "housing", "wave")
SMALL = {"points": 20, "validation_points": 7, "test_points": 9}


@pytest.fixture(autouse=True)
def _fresh_sources():
    """Sources are cached by name, and the folder of the data changes between tests."""
    load_source.cache_clear()
    yield
    load_source.cache_clear()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty folder for data, and no network."""
    monkeypatch.setenv("ABLATIONS_DATA", str(tmp_path))

    def refuse(*args, **options):
        raise URLError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path


def load(name, seeds=(0,), *, study_seed=0, dtype=torch.float32, **spec):
    return load_task(task_spec(name, **spec), seeds, streams=Streams(study_seed, name), dtype=dtype)


def draw(name, count, generator, **settings):
    defaults = {key: setting.default for key, setting in TASKS[name].settings.items()}
    return GENERATORS[name](count, {**defaults, **settings}, generator=generator)


def rows_of(x):
    """Examples as hashable rows."""
    return [tuple(row) for row in x.flatten(1).tolist()]


@pytest.mark.parametrize(
    ("arms", "noise", "turns", "spacing"), [(3, 0.2, 2 / 3, 0.0), (5, 0.0, 2.0, 0.3)]
)
def test_the_spiral_follows_its_formula(arms, noise, turns, spacing):
    """Radius from 0 to 1; angle: the arm's start, `turns` full turns, normal noise in radians."""
    count = 7
    drawn = torch.Generator().manual_seed(3)
    normal = [torch.randn(count, generator=drawn).tolist() for _ in range(arms)]

    x, y = draw(
        "spiral",
        count,
        torch.Generator().manual_seed(3),
        arms=arms,
        noise=noise,
        turns=turns,
        spacing=spacing,
    )

    assert y.tolist() == [arm for arm in range(arms) for _ in range(count)]
    for arm in range(arms):
        for n in range(count):
            t = n / (count - 1)
            start = 2 * math.pi * arm * (spacing or 1 / arms)
            angle = start + 2 * math.pi * turns * t + noise * normal[arm][n]
            expected = [t * math.sin(angle), t * math.cos(angle)]
            # float32 angles of up to 20 radians: an error of 1e-6 each
            assert x[arm * count + n].tolist() == pytest.approx(expected, abs=5e-6)


def line(x):
    return 5 * x + 7


def housing(x):
    return 2 * x[:, :1] - 3.4 * x[:, 1:] + 4.2


def wave(x):
    return torch.sin(math.pi * x) + torch.cos(3 * math.pi * x) / 2


UNIFORM = 1 / math.sqrt(12)  # deviation of a uniform number in [0, 1)
REGRESSION = {  # function, mean and deviation of x, noise
    "line": (line, 0.5, UNIFORM, 0.25),
    "housing": (housing, 0.0, 1.0, 0.01),
    "wave": (wave, 0.0, 2 * UNIFORM, 0.1),
}


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_data_have_the_stated_moments(name, generator):
    function, mean, deviation, noise = REGRESSION[name]
    count = 100_000

    x, y = (t.double() for t in draw(name, count, generator))
    residual = y - function(x)

    # five standard errors of a mean and, for a normal or flatter shape, of a deviation
    error = 5 / math.sqrt(count)
    assert x.mean(0).tolist() == pytest.approx([mean] * x.shape[1], abs=error * deviation)
    assert x.std(0).tolist() == pytest.approx([deviation] * x.shape[1], rel=error)
    assert residual.mean() == pytest.approx(0, abs=error * noise)
    assert residual.std() == pytest.approx(noise, rel=error)
    assert abs(np.corrcoef(x[:, 0], residual[:, 0])[0, 1]) < error


def test_settings_of_a_generator_reach_its_formula(generator):
    x, y = draw("line", 50, generator, slope=-2.0, intercept=1.0, noise=0.0)
    torch.testing.assert_close(y, 1 - 2 * x)
    x, _ = draw("spiral", 4, generator, arms=2)
    assert x.shape == (8, 2)


def test_digits_are_those_of_scikit_learn():
    known = load_digits()
    found = load("digits", settings={"standardise": False})
    np.testing.assert_array_equal(found.inputs[:, 0].numpy() * 16, known.images)
    np.testing.assert_array_equal(found.targets, known.target)
    assert (found.input_shape, found.outputs, found.classes) == ((1, 8, 8), 10, 10)


def test_diabetes_is_that_of_scikit_learn():
    x, y = load_diabetes(return_X_y=True)
    found = load("diabetes", settings={"standardise": False})
    np.testing.assert_array_equal(found.inputs, x.astype(np.float32))
    np.testing.assert_array_equal(found.targets[:, 0], y)
    assert (found.input_shape, found.outputs, found.classes) == ((10,), 1, 0)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
@pytest.mark.parametrize("split", [(0.6, 0.2, 0.2), (0.5, 0.1, 0.4)])
def test_the_parts_of_a_fixed_set_share_no_row_and_use_them_all(name, split):
    seeds = (0, 1, 2)
    found = load(name, seeds, split=split)
    count = {"digits": 1797, "diabetes": 442}[name]
    for s in range(len(seeds)):
        parts = {part: set(rows[s].tolist()) for part, rows in found.parts.items()}
        everything = set().union(*parts.values())
        assert everything == set(range(count))
        assert sum(map(len, parts.values())) == count
        shares = [len(parts[part]) / count for part in ("train", "val", "test")]
        assert shares == pytest.approx(split, abs=1.5 / count)
    assert rows_of(found.take(found.parts["train"][:1])[0][0]) != rows_of(
        found.take(found.parts["train"][1:2])[0][0]
    )


@pytest.mark.parametrize("name", GENERATED)
def test_the_parts_of_generated_data_are_drawn_apart(name):
    seeds = (0, 1)
    found = load(name, seeds, settings={**SMALL, "standardise": False})
    arms = 3 if name == "spiral" else 1

    assert {part: rows.shape for part, rows in found.parts.items()} == {
        "train": (2, 20 * arms),
        "val": (2, 7 * arms),
        "test": (2, 9 * arms),
    }
    owned = [row for rows in found.parts.values() for row in rows.flatten().tolist()]
    assert sorted(owned) == list(range(len(found.inputs)))
    examples = [row for row in rows_of(found.inputs) if any(row)]  # an arm starts at the origin
    assert len(set(examples)) == len(examples)


@pytest.mark.parametrize("name", [*GENERATED, "digits", "diabetes"])
def test_standardising_uses_the_training_part_of_each_seed_alone(name):
    settings = SMALL if name in GENERATED else {}
    seeds = (0, 1)
    raw = load(name, seeds, settings={**settings, "standardise": False}, dtype=torch.float64)
    scaled = load(name, seeds, settings=settings, dtype=torch.float64)
    per_feature = (0, 2, 3) if raw.inputs.dim() == 4 else 0
    for s in range(len(seeds)):
        train = raw.inputs[raw.parts["train"][s]].numpy()
        mean = train.mean(axis=per_feature, keepdims=True)
        deviation = train.std(axis=per_feature, keepdims=True)
        for part, rows in raw.parts.items():
            x, y = scaled.take(scaled.parts[part])
            expected = (raw.inputs[rows[s]].numpy() - mean) / deviation
            np.testing.assert_allclose(x[s], expected, atol=1e-12)
            targets = raw.targets[rows[s]].numpy()
            if not raw.classes:
                known = raw.targets[raw.parts["train"][s]].numpy()
                targets = (targets - known.mean()) / known.std()
                assert scaled.target_scale[s] == pytest.approx(known.std())
            np.testing.assert_allclose(y[s], targets, atol=1e-12)
    assert raw.scale.eq(1).all()
    assert raw.shift.eq(0).all()


def test_a_feature_that_never_changes_is_not_divided_by_zero(monkeypatch):
    def constant(count, settings, *, generator):
        return torch.full((count, 2), 3.0), torch.randn(count, 1, generator=generator)

    monkeypatch.setitem(GENERATORS, "housing", constant)
    found = load("housing")
    assert found.inputs.eq(0).all()
    assert found.scale.eq(1).all()


@pytest.mark.parametrize("name", [*GENERATED, "digits", "diabetes"])
def test_without_a_split_everything_is_trained_on(name):
    found = load(name, (0, 1), split="none")
    count = len(found.inputs) // (2 if name in GENERATED else 1)
    assert [rows.shape for rows in found.parts.values()] == [(2, count), (2, 0), (2, 0)]
    for rows in found.parts["train"] % count:
        assert sorted(rows.tolist()) == list(range(count))
    assert found.parts["train"].unique().numel() == len(found.inputs)


@pytest.mark.parametrize("name", [*GENERATED, "digits"])
def test_a_seed_has_the_same_data_whatever_the_others(name):
    settings = SMALL if name in GENERATED else {}
    alone = load(name, (5,), settings=settings)
    together = load(name, (3, 5, 4), settings=settings)
    for part, rows in alone.parts.items():
        for one, many in zip(alone.take(rows), together.take(together.parts[part]), strict=True):
            assert torch.equal(one[0], many[1])


@pytest.mark.parametrize("name", [*GENERATED, "digits"])
def test_seeds_and_study_seeds_give_other_data(name):
    settings = SMALL if name in GENERATED else {}
    first, second, study = (
        load(name, (seed,), study_seed=study_seed, settings=settings)
        for seed, study_seed in ((0, 0), (1, 0), (0, 1))
    )
    taken = [t.take(t.parts["train"])[0] for t in (first, second, study)]
    assert not torch.equal(taken[0], taken[1])
    assert not torch.equal(taken[0], taken[2])


def test_a_changed_global_generator_changes_no_data():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002, the generator that must not matter
    before = load("spiral", (0,))
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(before.inputs, load("spiral", (0,)).inputs)


@pytest.mark.parametrize("count", [2, 4, 20])
def test_too_few_examples_to_split_are_refused(data, count):
    for n in range(count):
        write_image(data / "set" / "ab"[n % 2] / f"{n}.png", shade=n)
    for ask in (load, lambda name, **spec: part_sizes(task_spec(name, **spec))):
        with pytest.raises(TaskError) as error:
            ask("imagefolder:set", settings={"size": 4}, split=(0.9, 0.05, 0.05))
        assert str(error.value).startswith(
            f"task 'imagefolder:set': split [0.9, 0.05, 0.05] of {count} examples leaves "
        )
        assert str(error.value).endswith("; give each at least 2")


def write_idx(path, array):
    """An array in the format of MNIST: magic number, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(folder, rng, name="MNIST", counts=(30, 10)):
    """A small data set in the format of MNIST and Fashion-MNIST."""
    arrays = {}
    for part, count in zip(("train", "t10k"), counts, strict=True):
        arrays[part] = rng.integers(256, size=(count, 28, 28)), rng.integers(10, size=count)
        write_idx(folder / name / "raw" / f"{part}-images-idx3-ubyte", arrays[part][0])
        write_idx(folder / name / "raw" / f"{part}-labels-idx1-ubyte", arrays[part][1])
    return arrays


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_idx_files_are_read_with_the_test_part_they_bring(data, rng, name, folder):
    arrays = write_mnist(data, rng, folder)

    found = load(name, (0, 1), settings={"standardise": False})

    x, y = found.take(found.parts["test"])
    for s in range(2):
        np.testing.assert_array_equal((x[s, :, 0] * 255).round(), arrays["t10k"][0])
        np.testing.assert_array_equal(y[s], arrays["t10k"][1])
        train, val = found.parts["train"][s] % 40, found.parts["val"][s] % 40
        assert sorted([*train.tolist(), *val.tolist()]) == list(range(30))
        assert (len(train), len(val)) == (22, 8)  # 0.6 to 0.2 of 30
    raw = load_source(name, ())
    np.testing.assert_array_equal(raw.inputs[:30, 0], arrays["train"][0])
    assert (found.classes, found.input_shape) == (10, (1, 28, 28))


def write_cifar(folder, rng, monkeypatch):
    """A small CIFAR-10 in its own format: pickled rows of red, green and blue planes."""
    dataset = torchvision_datasets().CIFAR10
    base = folder / dataset.base_folder
    base.mkdir()
    written = {}

    def write(name, content):
        raw = pickle.dumps(content)
        (base / name).write_bytes(raw)
        return [name, md5(raw, usedforsecurity=False).hexdigest()]

    def batch(name, count):
        pixels = rng.integers(256, size=(count, 3072), dtype=np.uint8)
        written[name] = pixels, rng.integers(10, size=count).tolist()
        return write(name, {"data": pixels, "labels": written[name][1]})

    train = [batch(f"data_batch_{n}", 6) for n in range(1, 6)]
    test = [batch("test_batch", 10)]
    names = list("abcdefghij")
    meta = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(dataset, "train_list", train)
    monkeypatch.setattr(dataset, "test_list", test)
    description = {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    monkeypatch.setattr(dataset, "meta", description)
    return written


def test_cifar10_is_read_from_its_own_files(data, rng, monkeypatch):
    written = write_cifar(data, rng, monkeypatch)

    source = load_source("cifar10", ())

    assert source.inputs.shape == (40, 3, 32, 32)
    assert (source.classes, source.test) == (10, 10)
    pixels, labels = written["data_batch_1"]
    np.testing.assert_array_equal(source.inputs[:6], pixels.reshape(6, 3, 32, 32))
    assert source.targets[:6].tolist() == labels
    np.testing.assert_array_equal(source.inputs[30:].flatten(1), written["test_batch"][0])


def test_cifar10_with_a_wrong_checksum_is_refused(data, rng, monkeypatch):
    write_cifar(data, rng, monkeypatch)
    batch = data / torchvision_datasets().CIFAR10.base_folder / "data_batch_3"
    content = bytearray(batch.read_bytes())
    content[100] ^= 1
    batch.write_bytes(content)
    with pytest.raises(TaskError) as error:
        load_source("cifar10", ())
    assert "set ABLATIONS_DATA to a folder that has it, or connect to a network" in str(error.value)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_without_data_and_network_the_message_says_what_to_do(data, name):
    with pytest.raises(TaskError) as error:
        load_source(name, ())
    message = str(error.value)
    assert f"is not in {data} and cannot be downloaded (" in message
    assert message.endswith("; set ABLATIONS_DATA to a folder that has it, or connect to a network")


@pytest.mark.parametrize("keep", [0, 1, 3, 4, 10, 16, 17, 5000, -1])
def test_a_torn_image_file_is_damaged(data, rng, keep):
    write_mnist(data, rng)
    path = data / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TaskError, match=r"delete them to download them again|connect to a network"):
        load_source("mnist", ())


@pytest.mark.parametrize("byte", range(8))
def test_an_altered_header_is_damaged(data, rng, byte):
    write_mnist(data, rng)
    path = data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    content = bytearray(path.read_bytes())
    content[byte] ^= 0x13
    path.write_bytes(content)
    with pytest.raises(TaskError, match=r"delete them to download them again|connect to a network"):
        load_source("mnist", ())


def test_a_label_less_than_there_are_images_is_damaged(data, rng):
    write_mnist(data, rng)
    write_idx(data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", rng.integers(10, size=9))
    with pytest.raises(TaskError) as error:
        load_source("mnist", ())
    assert "damaged (10 images and 9 labels); delete them to download them again" in str(
        error.value
    )


@pytest.mark.parametrize("standardise", [True, False])
def test_large_images_stay_bytes_and_give_the_same_numbers(data, rng, monkeypatch, standardise):
    write_mnist(data, rng)
    settings = {"standardise": standardise}
    eager = load("mnist", (0, 1), settings=settings)
    monkeypatch.setattr(task, "FLOAT_BYTES", 0)
    lazy = load("mnist", (0, 1), settings=settings)

    assert (eager.inputs.dtype, lazy.inputs.dtype) == (torch.float32, torch.uint8)
    assert torch.equal(eager.shift, lazy.shift)
    assert torch.equal(eager.scale, lazy.scale)
    for part in ("train", "val", "test"):
        for one, other in zip(
            eager.take(eager.parts[part]), lazy.take(lazy.parts[part]), strict=True
        ):
            assert torch.equal(one, other)


def shared(name):
    """A file of real data, where there is one."""
    path = Path(os.environ.get("ABLATIONS_DATA", "data")) / name
    if not path.exists():
        pytest.skip(f"{name} is not in ABLATIONS_DATA")
    return path


def test_mnist_is_the_real_one():
    raw = shared("MNIST/raw/train-images-idx3-ubyte")
    if md5(raw.read_bytes(), usedforsecurity=False).hexdigest() != (
        "6bbc9ace898e44ae57da46a324031adb"
    ):
        pytest.skip("the MNIST in ABLATIONS_DATA is another one")

    source = load_source("mnist", ())

    assert source.inputs.shape == (70_000, 1, 28, 28)
    assert (source.classes, source.test) == (10, 10_000)
    assert source.targets[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert source.targets[-10_000:][:5].tolist() == [7, 2, 1, 0, 4]
    shade = source.inputs[:60_000].double().mean() / 255
    assert shade == pytest.approx(0.1307, abs=5e-5)  # the mean in every tutorial


def write_image(path, size=(8, 8), shade=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.full((height, width, 3), shade, dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def test_an_image_folder_is_split_when_it_has_no_parts(data):
    for label, name in enumerate(("cat", "dog")):
        for n in range(10):
            write_image(data / "pets" / name / f"{n}.png", shade=100 * label + n)

    found = load("imagefolder:pets", settings={"size": 8, "standardise": False})

    assert (found.classes, found.input_shape) == (2, (3, 8, 8))
    assert [rows.shape[1] for rows in found.parts.values()] == [12, 4, 4]
    shades = (found.inputs[:, 0, 0, 0] * 255).round()
    assert shades.tolist() == [*range(10), *range(100, 110)]
    assert found.targets.tolist() == [0] * 10 + [1] * 10


def test_an_image_folder_with_parts_keeps_its_test_part(data):
    for part, count in (("train", 8), ("test", 3)):
        for name in ("cat", "dog"):
            for n in range(count):
                write_image(data / "pets" / part / name / f"{n}.png", shade=200 * (part == "test"))

    found = load("imagefolder:pets", (0, 1), settings={"size": 8, "standardise": False})

    assert [rows.shape for rows in found.parts.values()] == [(2, 12), (2, 4), (2, 6)]
    for part, shade in (("train", 0), ("val", 0), ("test", 200)):
        x, _ = found.take(found.parts[part])
        assert (x * 255).round().eq(shade).all()


def test_a_train_folder_alone_is_split(data):
    for n in range(10):
        write_image(data / "pets" / "train" / ("cat", "dog")[n % 2] / f"{n}.png", shade=n)
    found = load("imagefolder:pets", settings={"size": 8})
    assert [rows.shape[1] for rows in found.parts.values()] == [6, 2, 2]


@pytest.mark.parametrize(("grey", "channels"), [(True, 1), (False, 3)])
def test_images_of_any_size_and_mode_become_alike(data, grey, channels):
    kinds = [((8, 8), "RGB", "png"), ((31, 17), "L", "png"), ((64, 200), "RGB", "jpg"),
             ((5, 9), "RGBA", "png"), ((16, 16), "P", "png"), ((9, 9), "1", "bmp")]  # fmt: skip
    for n, (size, mode, suffix) in enumerate(kinds):
        write_image(data / "pets" / ("cat", "dog")[n % 2] / f"{n}.{suffix}", size, 255, mode)

    source = load_source("imagefolder:pets", (("size", 8), ("grey", grey)))

    assert source.inputs.shape == (6, channels, 8, 8)
    assert source.inputs.dtype == torch.uint8
    assert source.inputs.min() >= 254  # a JPEG's white may be off by one


@pytest.mark.parametrize("damage", ["torn", "words", "empty", "altered header"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_broken_image_is_named(data, damage, suffix):
    write_image(data / "pets" / "dog" / "0.png")
    for n in range(5):
        write_image(data / "pets" / "cat" / f"{n}.{suffix}", (40, 40), n)
    path = data / "pets" / "cat" / f"3.{suffix}"
    content = path.read_bytes()
    path.write_bytes(
        {
            "torn": content[: len(content) // 2],
            "words": b"this is not an image",
            "empty": b"",
            "altered header": bytes([content[0] ^ 1]) + content[1:],
        }[damage]
    )
    with pytest.raises(TaskError) as error:
        load_source("imagefolder:pets", (("size", 8), ("grey", False)))
    assert str(error.value).startswith(f"{path} is not a readable image (")
    assert str(error.value).endswith("); remove or mend it")


def test_a_decoder_that_raises_a_syntax_error_is_a_broken_image(data):
    """Pillow does so for an unknown chunk of a PNG file."""
    for name in ("cat", "dog"):
        write_image(data / "pets" / name / "0.png")
    path = data / "pets" / "cat" / "0.png"
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"\xd8~\xa73"))
    with pytest.raises(TaskError, match="is not a readable image"):
        load_source("imagefolder:pets", (("size", 8), ("grey", False)))


EMPTY = "it needs one folder per class with images in it"


def test_an_empty_or_missing_folder_says_what_it_needs(data):
    (data / "empty").mkdir()
    (data / "hollow" / "cat").mkdir(parents=True)
    (data / "file").write_text("x")
    for name in ("empty", "hollow", "nowhere", "file"):
        with pytest.raises(TaskError) as error:
            load_source(f"imagefolder:{name}", (("size", 8), ("grey", False)))
        assert str(error.value).startswith(f"{data / name} holds no images (")
        assert str(error.value).endswith(EMPTY)


@pytest.mark.parametrize("part", ["", "train"])
def test_a_single_class_is_refused(data, part):
    for n in range(10):
        write_image(data / "pets" / part / "cat" / f"{n}.png", shade=n)
    with pytest.raises(TaskError) as error:
        load_source("imagefolder:pets", (("size", 8), ("grey", False)))
    assert str(error.value) == (
        f"{data / 'pets' / part} has one class, 'cat', which leaves nothing to tell apart; "
        "it needs one folder per class, at least two"
    )


SPLITS = ((0.6, 0.2, 0.2), (0.5, 0.1, 0.4), (0.34, 0.33, 0.33), "none")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", [*GENERATED, "digits", "diabetes"])
def test_sizes_are_known_without_loading_the_data(name, split):
    spec = {"settings": SMALL if name in GENERATED else {}, "split": split}
    found = load(name, **spec)
    sizes = tuple(rows.shape[1] for rows in found.parts.values())
    assert known_sizes(task_spec(name, **spec)) == part_sizes(task_spec(name, **spec)) == sizes


@pytest.mark.parametrize("split", SPLITS)
def test_sizes_of_a_folder_are_those_of_its_parts(data, split):
    for part, count in (("train", 9), ("test", 3)):
        for n in range(2 * count):
            write_image(data / "pets" / part / ("cat", "dog")[n % 2] / f"{n}.png")
    spec = task_spec("imagefolder:pets", split=split)
    assert known_sizes(spec) is None
    found = load("imagefolder:pets", split=split)
    sizes = tuple(rows.shape[1] for rows in found.parts.values())
    assert part_sizes(spec) == sizes
    assert sizes[2] == 6


def test_parts_with_different_classes_are_refused(data):
    for part, other in (("train", "dog"), ("test", "cow")):
        for name in ("cat", other):
            write_image(data / "pets" / part / name / "0.png")
    with pytest.raises(TaskError, match="train and test have different classes; give both the"):
        load_source("imagefolder:pets", (("size", 8), ("grey", False)))


def test_the_checksum_follows_the_data_and_what_is_read_of_them(data):
    write_image(data / "pets" / "dog" / "0.png")
    for n in range(5):
        write_image(data / "pets" / "cat" / f"{n}.png", shade=n)

    def found(**settings):
        load_source.cache_clear()
        return checksum(task_spec("imagefolder:pets", settings=settings))

    first = found(size=8)
    assert found(size=8) == first
    assert found(size=8, standardise=False) == first
    assert found(size=6) != first
    assert found(size=8, grey=True) != first
    write_image(data / "pets" / "cat" / "4.png", shade=5)
    assert found(size=8) != first
    assert checksum(task_spec("spiral")) == checksum(task_spec("wave")) == "generated"


@pytest.mark.slow
def test_cifar10_as_jpeg_files_is_an_image_folder(data, monkeypatch):
    """A few hundred of the real photographs."""
    monkeypatch.undo()
    archive = shared("cifar10-imagefolder.tar.xz")
    monkeypatch.setenv("ABLATIONS_DATA", str(data))
    with tarfile.open(archive) as tar:
        for member in tar:
            number = Path(member.name).stem
            if member.isfile() and number < ("0020" if member.name.startswith("train") else "0005"):
                tar.extract(member, data / "cifar", filter="data")

    found = load("imagefolder:cifar")

    assert (found.classes, found.input_shape) == (10, (3, 32, 32))
    assert [rows.shape[1] for rows in found.parts.values()] == [150, 50, 50]
    assert found.targets[:200].bincount().tolist() == [20] * 10
    x, _ = found.take(found.parts["train"])
    assert x.double().mean((0, 1, 3, 4)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert x.double().std((0, 1, 3, 4)).tolist() == pytest.approx([1] * 3, abs=1e-4)


@pytest.mark.slow
def test_the_whole_of_mnist_is_standardised_by_its_training_part():
    shared("MNIST/raw/train-images-idx3-ubyte")
    found = load("mnist", (0, 1))
    assert found.raw
    for s in range(2):
        x, _ = found.take(found.parts["train"][s : s + 1].expand(2, -1)[:, :20_000])
        assert x[s].double().mean() == pytest.approx(0, abs=0.01)
        assert x[s].double().std() == pytest.approx(1, abs=0.01)


# Kinks, outliers, scaling from -1 to 1, and a test part that is watched


def test_the_zigzag_is_continuous_and_has_its_teeth_where_they_belong():
    """A triangle wave: -1 at multiples of 2/3, 1 halfway between, straight lines of slope 6."""
    settings = dict(task_spec("zigzag", settings={"noise": 0.0}).settings)
    x, y = GENERATORS["zigzag"](5000, settings, generator=torch.Generator().manual_seed(0))
    distance = (1.5 * x.double()).remainder(1)
    expected = 4 * torch.minimum(distance, 1 - distance) - 1
    torch.testing.assert_close(y.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["line", "wave", "zigzag"])
def test_outliers_lie_five_units_off_in_the_training_part_alone(name):
    def parts(share):
        spec = task_spec(name, settings={"outliers": share, "standardise": False})
        task = load_task(spec, [0], streams=Streams(0, name))
        return {part: task.targets[rows[0]] for part, rows in task.parts.items()}

    clean, spoilt = parts(0.0), parts(0.2)
    moved = spoilt["train"] - clean["train"]
    assert set(moved.round().flatten().tolist()) == {0.0, 5.0}
    assert 0.1 < (moved > 1).float().mean() < 0.3
    for part in ("val", "test"):
        assert torch.equal(clean[part], spoilt[part])


@pytest.mark.parametrize("name", ["spiral", "digits", "diabetes"])
def test_symmetric_inputs_fill_the_range_from_minus_one_to_one(name):
    spec = task_spec(name, settings={"symmetric": True, "standardise": False})
    task = load_task(spec, [0, 1], streams=Streams(0, name))
    for x in task.inputs_of(task.parts["train"]):
        dims = [0, *range(2, x.dim())]
        torch.testing.assert_close(x.amin(dims), torch.full(x.shape[1:2], -1.0))
        torch.testing.assert_close(x.amax(dims), torch.full(x.shape[1:2], 1.0))
    assert (task.target_scale == 1).all()


def test_a_split_that_watches_the_test_part_trains_on_all_the_rest(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    for part, count in (("train", 6), ("test", 4)):
        for label in ("a", "b"):
            (folder / part / label).mkdir(parents=True)
            for n in range(count):
                Image.new("L", (4, 4), 10 * n).save(folder / part / label / f"{n}.png")
    monkeypatch.setenv("ABLATIONS_DATA", str(tmp_path))
    spec = task_spec("imagefolder:pictures", split="test", settings={"size": 4})
    task = load_task(spec, [0, 1], streams=Streams(0, spec.name))
    assert [task.parts[part].shape[1] for part in ("train", "val", "test")] == [12, 8, 8]
    assert torch.equal(task.parts["val"], task.parts["test"])
