"""How a process that trains is set up, before its first tensor.

Measured in PERFORMANCE.md of the design notes and repeated by `tests/test_bytes.py`:

- one thread: many processes of one thread beat one process of many;
- `MKL_CBWR=AUTO,STRICT`: without it the last bit of a small matrix product depends on
  where in memory it lies, and so on a trial's place in its stack; it costs nothing
  measurable here;
- glibc gives memory back to the system after every step unless told not to, which takes
  up to two thirds of the time of a large stack.
"""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc


def settle_process(threads: int = 1) -> None:
    """Set threads, matrix routines and allocator of this process. Call it before any algebra."""
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    keep_freed_memory()
    import torch  # noqa: PLC0415, MKL reads its environment when it is first used

    torch.set_num_threads(threads)


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep what is freed, up to 2 GiB; False where there is no glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20))
    return all(libc.mallopt(option, value) == 1 for option, value in settings)
