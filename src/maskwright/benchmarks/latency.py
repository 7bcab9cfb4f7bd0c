"""How fast a network answers: PyTorch, ONNX Runtime and OpenVINO in turns, in one run.

A machine's speed drifts with heat and neighbours, so contenders measured one after the other can't
be compared. Here each round gives every contender a turn, in an order that rotates; a turn begins
with an answer that is not timed, because the one before has filled the caches.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.core.errors import ConfigError
from maskwright.core.machine import processor, system
from maskwright.export.agreement import pixel_agreement
from maskwright.runtimes import Bundle, Predictor, Run, open_bundle, ov, read_bundle
from maskwright.runtimes.session import thread_count

ANSWERS_A_TURN = 3
MINIMUM_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class LatencyRow:
    """One contender's figures.

    Attributes:
        name: to be shown, such as "ONNX Runtime".
        threads: of its computation.
        precision: of its float operations, as read back.
        median_ms, p95_ms, min_ms: of the network alone: uint8 input -> standard outputs.
        total_ms: median from the image array to the `Segmentation`: resize, network, restoring.
        fps: images a second that `median_ms` allows.
        speed_up: over the first row, by medians.
        agreement: share of pixels, 0..1, with the first row's answers; mean over the images.
        answers: how many were timed.
        version: of the runtime.
        processor, system: what it ran on.
    """

    name: str
    threads: int
    precision: str
    median_ms: float
    p95_ms: float
    min_ms: float
    total_ms: float
    fps: float
    speed_up: float
    agreement: float
    answers: int
    version: str
    processor: str
    system: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(kw_only=True)
class _Contender:
    name: str
    predictor: Predictor
    network_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    agreement: float = 1.0


def compare_latency(
    network: Network | Path | str,
    bundle: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    rounds: int = 30,
    seconds: float | None = None,
) -> list[LatencyRow]:
    """Time PyTorch eager (all threads, and one), ONNX Runtime, and OpenVINO where installed.

    Args:
        network: or the checkpoint that holds it.
        bundle: what was exported from it.
        images: real ones, uint8 RGB [H, W, 3]; taken in turns.
        threads: of all contenders but the one-threaded; None takes every core.
        rounds: turns that each contender gets, of three timed answers.
        seconds: stop earlier after this time, but not before three rounds.

    Returns:
        A row for each contender; the first is PyTorch eager with all threads.

    Raises:
        ModelFileError: the checkpoint or bundle can't be used.
        ConfigError: no images, or fewer than one thread or round.
    """
    if not len(images) or rounds < 1:
        raise ConfigError(
            f"expected at least one image and one round, got {len(images)} and {rounds}."
        )
    threads = thread_count(threads)
    if not isinstance(network, torch.nn.Module):
        network, _ = load_checkpoint(network)
    before = torch.get_num_threads()
    try:
        contenders = _contenders(network, read_bundle(bundle), threads)
        _compare_answers(contenders, images)
        _take_turns(contenders, images, rounds, seconds)
    finally:
        torch.set_num_threads(before)
    return [_row(contender, contenders[0]) for contender in contenders]


def _contenders(network: Network, bundle: Bundle, threads: int) -> list[_Contender]:
    found = [_eager("PyTorch eager", network, bundle, threads)]
    if threads > 1:
        found.append(_eager("PyTorch eager, 1 thread", network, bundle, 1))
    shipped = open_bundle(bundle, threads=threads, runtime="onnxruntime")
    found.append(_Contender(name="ONNX Runtime", predictor=shipped))
    if ov.installed():
        for precision in ("f32", "bf16"):
            if precision in ov.supported_precisions():
                shipped = open_bundle(
                    bundle, threads=threads, runtime="openvino", precision=precision
                )
                found.append(_Contender(name=f"OpenVINO {precision}", predictor=shipped))
    return found


def _eager(name: str, network: Network, bundle: Bundle, threads: int) -> _Contender:
    facts = {
        "name": "torch",
        "version": torch.__version__,
        "threads": threads,
        "precision": str(next(network.parameters()).dtype).replace("torch.float", "f"),
    }
    run = _with_threads(deploy_run(network), threads)
    return _Contender(name=name, predictor=Predictor(bundle.card, run, facts))


def _with_threads(run: Run, threads: int) -> Run:
    def run_with_threads(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return run(images_B3HW)

    return run_with_threads


def _compare_answers(contenders: list[_Contender], images: Sequence[np.ndarray]) -> None:
    """Fill in `agreement`; warms every contender up on every image, too."""
    first, *others = contenders
    expected = [first.predictor.predict(image) for image in images]
    for other in others:
        answers = (other.predictor.predict(image) for image in images)
        shares = [pixel_agreement(left, right) for left, right in zip(expected, answers)]
        other.agreement = float(np.mean(shares))


def _take_turns(
    contenders: list[_Contender],
    images: Sequence[np.ndarray],
    rounds: int,
    seconds: float | None,
) -> None:
    started = time.perf_counter()
    endless = cycle(images)
    for number in range(rounds):
        spent = time.perf_counter() - started
        if seconds is not None and number >= MINIMUM_ROUNDS and spent >= seconds:
            return
        turn = [next(endless) for _ in range(ANSWERS_A_TURN)]
        for place in range(len(contenders)):
            contender = contenders[(place + number) % len(contenders)]
            contender.predictor.predict(turn[-1])
            for image in turn:
                times = contender.predictor.predict(image).times
                contender.network_ms.append(1000 * times["network"])
                contender.total_ms.append(1000 * sum(times.values()))


def _row(contender: _Contender, baseline: _Contender) -> LatencyRow:
    facts = contender.predictor.runtime
    median = float(np.median(contender.network_ms))
    return LatencyRow(
        name=contender.name,
        threads=facts["threads"],
        precision=facts["precision"],
        median_ms=median,
        p95_ms=float(np.percentile(contender.network_ms, 95)),
        min_ms=min(contender.network_ms),
        total_ms=float(np.median(contender.total_ms)),
        fps=1000 / median,
        speed_up=float(np.median(baseline.network_ms)) / median,
        agreement=contender.agreement,
        answers=len(contender.network_ms),
        version=facts["version"],
        processor=processor(),
        system=system(),
    )
