"""What this machine could do at best: its ceilings of arithmetic and of memory, measured.

The roofline model (Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model
for Multicore Architectures", CACM 2009) bounds a program's speed by two ceilings of its machine:
how fast it multiplies matrices, and how fast it moves bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from maskwright.core.machine import processor

_SIDE = 1024
_COPIED_BYTES = 128 << 20  # each way; more than the caches of most processors hold


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The ceilings for a number of threads.

    Attributes:
        threads: that were used.
        gflops: precision ("f32", "bf16", "int8") -> 1e9 operations a second of the fastest matrix
            product; a multiply-add is two.
        gigabytes: 1e9 bytes a second of a copy, those read and those written.
        processor: it was measured on.
    """

    threads: int
    gflops: Mapping[str, float]
    gigabytes: float
    processor: str

    def least_ms(self, gflop: Mapping[str, float], megabytes: float) -> float | None:
        """The least milliseconds that a network can take; None for a precision not measured.

        Args:
            gflop: precision, a key of `gflops` -> 1e9 operations of one answer in it.
            megabytes: 1e6 bytes that one answer must read at least: the weights, once.
        """
        if not set(gflop) <= set(self.gflops):
            return None
        arithmetic = sum(1000 * each / self.gflops[name] for name, each in gflop.items())
        return max(arithmetic, megabytes / self.gigabytes)

    def or_better(self, other: Roofline) -> Roofline:
        """The higher of each ceiling: a busy moment only ever lowers what is measured."""
        gflops = {name: max(each, other.gflops[name]) for name, each in self.gflops.items()}
        return replace(self, gflops=gflops, gigabytes=max(self.gigabytes, other.gigabytes))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def measure_roofline(threads: int, *, seconds: float = 0.3, side: int = _SIDE) -> Roofline:
    """Multiply matrices and copy memory for a while; the best repetition is the ceiling.

    A matrix product of floats is tried both as such and as a 1x1 convolution, one of bytes in both
    PyTorch and ONNX Runtime: other libraries compute them.

    Args:
        threads: to use; PyTorch's own setting is given back.
        seconds: for each of the six measurements.
        side: of the square matrices.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            f32 = max(_product(side, torch.float32, seconds), _pointwise(side, seconds))
            # What computes in f32 computes in bf16 as fast: at worst its inputs are widened.
            bf16 = max(f32, _product(side, torch.bfloat16, seconds))
            int8 = max(
                f32, _byte_product(side, seconds), _byte_product_of_ort(side, seconds, threads)
            )
            gigabytes = _copy(seconds)
    finally:
        torch.set_num_threads(before)
    return Roofline(
        threads=threads,
        gflops={"f32": f32, "bf16": bf16, "int8": int8},
        gigabytes=gigabytes,
        processor=processor(),
    )


def _product(side: int, kind: torch.dtype, seconds: float) -> float:
    left, right = (torch.rand(side, side).to(kind) for _ in range(2))
    out = torch.empty_like(left)
    return 2e-9 * side**3 / _best(lambda: torch.mm(left, right, out=out), seconds)


def _byte_product(side: int, seconds: float) -> float:
    left, right = (torch.randint(-127, 128, (side, side), dtype=torch.int8) for _ in range(2))
    return 2e-9 * side**3 / _best(lambda: torch._int_mm(left, right), seconds)


def _byte_product_of_ort(side: int, seconds: float, threads: int) -> float:
    """uint8 activations by int8 weights, as in a quantised network."""
    random = np.random.default_rng(0)
    weights = random.integers(-127, 128, (side, side)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["out"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [side, side])],
        [helper.make_tensor_value_info("out", TensorProto.INT32, [side, side])],
        [onnx.numpy_helper.from_array(weights, "right")],
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {"left": random.integers(0, 256, (side, side)).astype(np.uint8)}
    return 2e-9 * side**3 / _best(lambda: session.run(None, given), seconds)


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
