"""Data sets that are the same for every seed: scikit-learn's, torchvision's, a user's images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablations.levels import Scalar
from ablations.tasks.vision import torchvision_datasets


class TaskError(RuntimeError):
    """The data of a task cannot be had, with the remedy."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data set before it is split.

    Shapes:
        inputs   (N, D) float, or (N, C, H, W) uint8 images
        targets  (N,) classes, or (N, 1) numbers
    The last `test` rows are a test part that the data set brings with it (0: none).
    """

    inputs: Tensor
    targets: Tensor
    classes: int  # 0 for regression
    test: int = 0

    def checksum(self) -> str:
        """Of every value, so that a record's key changes when the data do."""
        digest = sha256()
        for tensor in (self.inputs, self.targets):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}{self.test}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()


def data_folder() -> Path:
    """Where downloaded data lie: `ABLATIONS_DATA`, else `data/`."""
    return Path(os.environ.get("ABLATIONS_DATA") or "data")


@lru_cache(maxsize=4)
def load_source(name: str, settings: tuple[tuple[str, Scalar], ...]) -> Source:
    """Read a data set, downloading it first where torchvision knows how.

    Raises:
        TaskError: the files are missing, damaged, or cannot be downloaded.
    """
    base, _, path = name.partition(":")
    if base == "imagefolder":
        return _image_folder(Path(path), dict(settings))
    return LOADERS[base]()


def _digits() -> Source:
    from sklearn.datasets import load_digits  # noqa: PLC0415, takes a second to import

    data = load_digits()
    images = torch.from_numpy(data.images.astype(np.float32) / 16).unsqueeze(1)  # (N, 1, 8, 8)
    return Source(images, torch.from_numpy(data.target.astype(np.int64)), 10)


def _diabetes() -> Source:
    from sklearn.datasets import load_diabetes  # noqa: PLC0415

    inputs, targets = load_diabetes(return_X_y=True)
    return Source(
        torch.from_numpy(inputs.astype(np.float32)),
        torch.from_numpy(targets.astype(np.float32)).unsqueeze(1),
        0,
    )


def _torchvision(name: str) -> Source:
    parts = [_read_or_download(name, train=train) for train in (True, False)]
    images, labels = [], []
    for part in parts:
        pixels = torch.as_tensor(part.data)
        pixels = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
        images.append(pixels.contiguous())
        labels.append(torch.as_tensor(part.targets, dtype=torch.int64))
        if len(images[-1]) != len(labels[-1]):
            raise TaskError(
                f"the {name} files in {data_folder()} are damaged ({len(images[-1])} images and "
                f"{len(labels[-1])} labels); delete them to download them again"
            )
    return Source(torch.cat(images), torch.cat(labels), len(parts[0].classes), len(labels[1]))


def _read_or_download(name: str, *, train: bool) -> Any:
    load: Callable[..., Any] = getattr(torchvision_datasets(), name)
    folder = data_folder()
    try:
        return load(root=folder, train=train, download=False)
    except (RuntimeError, FileNotFoundError):
        pass  # not there, or its checksum is wrong: torchvision downloads it
    except Exception as error:  # whatever torchvision raises on bytes it did not expect
        raise TaskError(
            f"the {name} files in {folder} are damaged ({error}); "
            "delete them to download them again"
        ) from error
    try:
        return load(root=folder, train=train, download=True)
    except Exception as error:  # no network, no room, a torn or altered file
        raise TaskError(
            f"{name} is not in {folder} and cannot be downloaded ({error}); "
            "set ABLATIONS_DATA to a folder that has it, or connect to a network"
        ) from error


def _image_folder(path: Path, settings: Mapping[str, Scalar]) -> Source:
    folder = data_folder() / path
    parts = [folder / "train", folder / "test"]
    if not parts[0].is_dir():
        parts = [folder]
    elif not parts[1].is_dir():
        parts = parts[:1]
    images, labels, names = [], [], []
    for part in parts:
        listing = _listing(part)
        names.append(listing.classes)
        images.append(_decode([file for file, _ in listing.samples], settings))
        labels.append(torch.tensor([label for _, label in listing.samples]))
    if names[0] != names[-1]:
        raise TaskError(
            f"{folder}: train and test have different classes; give both the same folders"
        )
    test = len(labels[1]) if len(labels) > 1 else 0
    return Source(torch.cat(images), torch.cat(labels), len(names[0]), test)


def _listing(folder: Path) -> Any:
    try:
        listing = torchvision_datasets().ImageFolder(folder)
    except OSError as error:
        raise TaskError(
            f"{folder} holds no images ({error}); it needs one folder per class with images in it"
        ) from error
    if len(listing.classes) < 2:
        raise TaskError(
            f"{folder} has one class, {listing.classes[0]!r}, which leaves nothing to tell apart; "
            "it needs one folder per class, at least two"
        )
    return listing


def _decode(files: list[str], settings: Mapping[str, Scalar]) -> Tensor:
    from PIL import Image  # noqa: PLC0415, comes with torchvision

    size, mode = int(settings["size"]), "L" if settings["grey"] else "RGB"
    channels = 1 if mode == "L" else 3
    pixels = np.empty((len(files), size, size, channels), dtype=np.uint8)
    for n, file in enumerate(files):
        try:
            with Image.open(file) as image:
                image.draft(mode, (size, size))
                pixels[n] = np.asarray(_resize(image.convert(mode), size)).reshape(size, size, -1)
        except Exception as error:  # decoders raise whatever they like, SyntaxError too
            raise TaskError(
                f"{file} is not a readable image ({error}); remove or mend it"
            ) from error
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _resize(image: Any, size: int) -> Any:
    return image if image.size == (size, size) else image.resize((size, size))


LOADERS: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "diabetes": _diabetes,
    "mnist": lambda: _torchvision("MNIST"),
    "fashion-mnist": lambda: _torchvision("FashionMNIST"),
    "cifar10": lambda: _torchvision("CIFAR10"),
}
