"""What this machine could do at best: its ceilings of arithmetic and of memory, measured.

The roofline model (Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model
for Multicore Architectures", CACM 2009) bounds a program's speed by two ceilings of its machine:
how fast it multiplies matrices, and how fast it moves bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

from maskwright.core.machine import processor

_SIDE = 1024
_COPIED_BYTES = 128 << 20  # each way; more than the caches of most processors hold


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The ceilings for a number of threads.

    Attributes:
        threads: that were used.
        gflops: precision -> 1e9 operations a second of the fastest matrix product; a multiply-add
            is two. Integer arithmetic isn't measured.
        gigabytes: 1e9 bytes a second of a copy, those read and those written.
        processor: it was measured on.
    """

    threads: int
    gflops: Mapping[str, float]
    gigabytes: float
    processor: str

    def least_ms(self, gflop: float, megabytes: float, precision: str) -> float | None:
        """The least milliseconds that a network can take; None for a precision not measured.

        Args:
            gflop: 1e9 operations of one answer.
            megabytes: 1e6 bytes that one answer must read at least: the weights, once.
            precision: of the operations, a key of `gflops`.
        """
        if precision not in self.gflops:
            return None
        return max(1000 * gflop / self.gflops[precision], megabytes / self.gigabytes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def measure_roofline(threads: int, *, seconds: float = 0.3, side: int = _SIDE) -> Roofline:
    """Multiply matrices and copy memory for a while; the best repetition is the ceiling.

    A matrix product is tried both as such and as a 1x1 convolution, which other libraries compute.

    Args:
        threads: to use; PyTorch's own setting is given back.
        seconds: for each of the four measurements.
        side: of the square matrices.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            f32 = max(_product(side, torch.float32, seconds), _pointwise(side, seconds))
            # What computes in f32 computes in bf16 as fast: at worst its inputs are widened.
            bf16 = max(f32, _product(side, torch.bfloat16, seconds))
            gigabytes = _copy(seconds)
    finally:
        torch.set_num_threads(before)
    return Roofline(
        threads=threads,
        gflops={"f32": f32, "bf16": bf16},
        gigabytes=gigabytes,
        processor=processor(),
    )


def _product(side: int, kind: torch.dtype, seconds: float) -> float:
    left, right = (torch.rand(side, side).to(kind) for _ in range(2))
    out = torch.empty_like(left)
    return 2e-9 * side**3 / _best(lambda: torch.mm(left, right, out=out), seconds)


def _pointwise(side: int, seconds: float) -> float:
    rows, weights = max(1, side // 32), torch.rand(side, side, 1, 1)
    images_BCHW = torch.rand(1, side, rows, 32)
    if torch.backends.mkldnn.is_available():  # else one thread alone would not get to oneDNN
        images_BCHW = images_BCHW.to_mkldnn()
    done = 2e-9 * side * side * rows * 32
    return done / _best(lambda: F.conv2d(images_BCHW, weights), seconds)


def _copy(seconds: float) -> float:
    source = torch.ones(_COPIED_BYTES // 4)
    target = torch.zeros_like(source)
    return 2e-9 * _COPIED_BYTES / _best(lambda: target.copy_(source), seconds)


def _best(work: Callable[[], object], seconds: float) -> float:
    """The shortest repetition, in seconds; the first is not counted."""
    work()
    shortest, started = float("inf"), time.perf_counter()
    while True:
        before = time.perf_counter()
        work()
        now = time.perf_counter()
        shortest = min(shortest, now - before)
        if now - started >= seconds:
            return shortest
