"""The fresh process in which a pass runs, and its end of the pipe."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import torch

from ablations.processor import settle_process
from benchmarks.passes import Job, Pass, Tell, run_pass

REPORT_EVERY = 1.0  # seconds between two messages of a pass, so that they disturb little
GRACE = 60.0  # seconds beyond its time after which a pass counts as hanging


class TimingError(RuntimeError):
    """A pass did not end by itself."""


def in_fresh_process(job: Job, tell: Tell) -> Pass:
    """Run a job in a process of its own, which dies with this one.

    Raises:
        TimingError: it died, or hung for a minute beyond its time.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, job), name="timing", daemon=True)
    resource_tracker.ensure_running()  # its own start would lift the mask
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()  # inherits the mask: a Ctrl-C is the parent's alone
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()
    try:
        while ours.poll(max(0.0, job.end + GRACE - time.monotonic())):
            message = ours.recv()
            if isinstance(message, Pass):
                return message
            tell(message)
    except EOFError:
        process.join(5)
        raise TimingError(
            f"the timing process on {job.device} ended with exit code {process.exitcode}; what "
            "earlier ones have timed is kept"
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()
    raise TimingError(
        f"the timing process on {job.device} hung for {GRACE:.0f} s beyond its time; what earlier "
        "ones have timed is kept"
    )


def _child(connection: Connection, job: Job) -> None:
    """The life of the process: settle, time, answer. It ends when nobody listens."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool beside what is timed
    settle_process(job.threads)
    if job.device != "cpu":  # events are made on the current device
        torch.accelerator.set_device_index(torch.device(job.device).index or 0)
    torch.set_flush_denormal(True)  # as in training: vanishing gradients would slow everything
    gc.collect()
    gc.freeze()  # what the imports left need not be searched again
    last = time.monotonic()

    def tell(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= REPORT_EVERY:
            last = time.monotonic()
            connection.send(line)

    try:
        connection.send(run_pass(job, tell=tell))
    except BrokenPipeError:
        return
