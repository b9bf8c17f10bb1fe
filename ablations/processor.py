"""How a process that trains is set up, before its first tensor.

Measured in PERFORMANCE.md of the design notes and repeated by `tests/test_bytes.py`:

- one thread: many processes of one thread beat one process of many;
- `OPENBLAS_CORETYPE`: OpenBLAS, which numpy brings, takes its AVX2 routines on processors
  it does not know, though those with AVX-512 run its routines for that nearly twice as fast;
- `MKL_CBWR=AUTO,STRICT`: without it the last bit of a small matrix product of torch depends
  on where in memory it lies, and so on a trial's place in its stack; it costs nothing
  measurable here;
- glibc gives memory back to the system after every step unless told not to, which takes
  up to two thirds of the time of a large stack.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc
WIDE = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}  # what SkylakeX routines use


def settle_process(threads: int = 1) -> None:
    """Set threads, matrix routines and allocator of this process. Call it before any algebra."""
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    choose_matrix_routines()
    keep_freed_memory()
    import torch  # noqa: PLC0415, MKL reads its environment when it is first used
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    torch.set_num_threads(threads)
    import numpy  # noqa: F401, PLC0415, so that there is an OpenBLAS to limit

    threadpool_limits(threads, user_api="blas")


def choose_matrix_routines() -> None:
    """Let OpenBLAS use AVX-512 where the processor has it, here and in child processes.

    A process that has loaded numpy already keeps what it has, and passes it on, so that
    parent and children compute the same bytes.
    """
    if "OPENBLAS_CORETYPE" in os.environ:
        return
    if "numpy" in sys.modules:
        if kernel := matrix_routines():
            os.environ["OPENBLAS_CORETYPE"] = kernel
    elif _processor_flags() >= WIDE:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"


@cache
def matrix_routines() -> str:
    """The processor that numpy's OpenBLAS computes for, as it names it; empty without one."""
    import numpy  # noqa: F401, PLC0415
    from threadpoolctl import threadpool_info  # noqa: PLC0415

    found = [
        str(library["architecture"])
        for library in threadpool_info()
        if library["internal_api"] == "openblas" and "numpy" in library["filepath"]
    ]
    return found[0] if found else ""


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep what is freed, up to 2 GiB; False where there is no glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20))
    return all(libc.mallopt(option, value) == 1 for option, value in settings)
