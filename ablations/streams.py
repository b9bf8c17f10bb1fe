"""Every random number comes from a named stream.

A stream is keyed by the study's seed, its own name, the task and the trial's seed, and
never by the treatment: cells that are compared with each other saw the same data, the
same split and the same order, and where shapes agree the same initial weights
(Bouthillier et al. 2021, METHODS.md S1).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import torch


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one task in one study."""

    study_seed: int
    task: str

    def generator(
        self, name: str, seed: int, *, device: torch.device | str = "cpu"
    ) -> torch.Generator:
        """A fresh generator at the start of the stream `name` of one trial seed."""
        key = f"{self.study_seed}/{name}/{self.task}/{seed}"
        number = int.from_bytes(sha256(key.encode()).digest()[:8], "big") >> 1
        return torch.Generator(device).manual_seed(number)
