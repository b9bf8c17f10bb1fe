"""torchvision, also beside a torch it was not built for.

The wheels of torchvision on the package index are built for CUDA. Beside a CPU build of
torch their compiled operators cannot be loaded, and the import fails where it registers
the fake kernels of `nms` and `qnms`. Only data sets and transforms are needed here, and
they use neither operator, so declaring the two schemas first lets the import finish.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def torchvision_datasets() -> ModuleType:
    """`torchvision.datasets`, imported only when a task needs it."""
    try:
        from torchvision import datasets  # noqa: PLC0415, slow and seldom needed
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_operators()
        from torchvision import datasets  # noqa: PLC0415
    module: ModuleType = datasets
    return module


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _kept.append(library)


_kept: list[torch.library.Library] = []  # a library's schemas vanish with it
