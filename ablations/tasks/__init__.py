"""Data as tensors that already lie on the device.

task        the Task, its parts, and `load_task`
generated   spiral, line, housing, wave
bundled     diabetes and digits, which come with scikit-learn
images      mnist, fashion-mnist, cifar10, imagefolder
vision      torchvision beside a CPU build of torch
"""

from ablations.tasks.sources import TaskError
from ablations.tasks.task import Task, checksum, load_task, part_sizes

__all__ = ["Task", "TaskError", "checksum", "load_task", "part_sizes"]
