"""How fast networks answer: PyTorch, ONNX Runtime and OpenVINO in turns, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.architectures.contract import Network
from maskwright.benchmarks.contenders import (
    USUAL,
    Contender,
    Extras,
    Skipped,
    first_answer,
    open_contenders,
)
from maskwright.benchmarks.subjects import Subject, count_gflop
from maskwright.core.errors import ConfigError
from maskwright.core.machine import processor, system
from maskwright.export.agreement import answer_agreement
from maskwright.jobs.turns import Timings, take_turns
from maskwright.runtimes import read_bundle
from maskwright.runtimes.session import thread_count

DOUBT = (
    "A doubtful share of the roofline is above 100 %: the machine was slower while its ceilings "
    "were measured, or the runtime needs fewer operations than the graph has, as Winograd's "
    "convolutions do."
)


@dataclass(frozen=True, kw_only=True)
class LatencyRow:
    """One contender's figures.

    Attributes:
        model: that was run.
        name: of what ran it, such as "ONNX Runtime".
        runtime: "torch", "onnxruntime" or "openvino".
        threads: of its computation.
        precision: of its float operations, as read back.
        gflop: precision -> 1e9 operations of one answer that are computed in it, "int8" among
            them; None where they can't be counted.
        weights_mb: 1e6 bytes of the weights that one answer reads; None likewise.
        size: (height, width) of the network's input.
        median_ms, p95_ms, p99_ms, min_ms: of the network alone: uint8 input -> standard outputs.
        total_ms: median from the image array to the `Segmentation`: resize, network, restoring.
        fps: images a second that `median_ms` allows.
        speed_up: over the model's first row, by medians.
        agreement: share of pixels, 0..1, with the model's first row's answers, which are fp32's
            unless an int8 bundle stands alone; mean over the images.
        answers: how many were timed.
        gflops: 1e9 operations a second that it attained; None where they can't be counted.
        roofline: the share, 0..1, of what the machine's measured ceilings allow, each operation
            by the ceiling of its precision; None where they were not measured. Above 1 it is no
            share, and `told_roofline` says so.
        peak_mib: 2^20 bytes that a process without torch takes to load the bundle and answer; None
            for PyTorch, or where it was not measured.
        bytes_on_disk: of the bundle or checkpoint; None where there is no file.
        version: of the runtime.
        processor, system: what it ran on.
    """

    model: str
    name: str
    runtime: str
    threads: int
    precision: str
    size: tuple[int, int]
    median_ms: float
    p95_ms: float
    p99_ms: float
    min_ms: float
    total_ms: float
    fps: float
    speed_up: float
    agreement: float
    answers: int
    gflop: Mapping[str, float] | None = None
    weights_mb: float | None = None
    gflops: float | None = None
    roofline: float | None = None
    peak_mib: float | None = None
    bytes_on_disk: int | None = None
    version: str
    processor: str
    system: str

    @property
    def told_precision(self) -> str:
        """In what it computes, such as "f32", or "int8 98%, bf16" of a quantised network."""
        parts = self.gflop or {}
        if not parts.get("int8"):
            return self.precision
        share = parts["int8"] / sum(parts.values())
        return "int8" if share == 1 else f"int8 {min(share, 0.99):.0%}, {self.precision}"

    @property
    def told_roofline(self) -> str | None:
        """The share of the roofline for people; one above 1 is remarked, as `DOUBT` explains."""
        if self.roofline is None:
            return None
        share = f"{self.roofline:.0%}"
        return share if self.roofline <= 1 else f"{share}, doubtful"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


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
    check_settings(images, rounds, threads)
    if not isinstance(network, torch.nn.Module):
        network, _ = load_checkpoint(network)
    shipped = read_bundle(bundle)
    subject = Subject(
        name=shipped.card.name,
        network=network,
        bundle=shipped,
        gflop=count_gflop(network, shipped.card.resize.size),
    )
    rows, _ = compare_subjects([subject], images, threads=threads, rounds=rounds, seconds=seconds)
    return rows


def compare_subjects(
    subjects: Sequence[Subject],
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    rounds: int = 30,
    seconds: float | None = None,
    extras: Extras = USUAL,
) -> tuple[list[LatencyRow], list[Skipped]]:
    """Time every way to run every model, all of them in turns.

    Args:
        subjects: the models.
        images: uint8 RGB [H, W, 3]; taken in turns.
        threads: of all contenders but the one-threaded; None takes every core.
        rounds: turns that each contender gets, of three timed answers.
        seconds: stop earlier after this time, but not before three rounds.
        extras: what else takes part.

    Returns:
        A row for each contender, model after model, the plain one first; and those that this
        machine can't run.

    Raises:
        ModelFileError: a bundle can't be used.
        ConfigError: no models or images, or fewer than one thread or round.
    """
    check_settings(images, rounds, threads)
    threads = thread_count(threads)
    before = torch.get_num_threads()
    contenders: list[Contender] = []
    skipped: list[Skipped] = []
    try:
        for subject in subjects:
            found, lacking = open_contenders(subject, threads, images, extras)
            found, failed = _warm_up(found, images[0])
            _compare_answers(found, images)
            contenders += found
            skipped += [*lacking, *failed]
        predictors = {place: one.predictor for place, one in enumerate(contenders)}
        timings = take_turns(predictors, images, rounds, seconds)
    finally:
        torch.set_num_threads(before)
    first = {one.subject.name: timings[place] for place, one in reversed([*enumerate(contenders)])}
    rows = [
        _row(one, timings[place], first[one.subject.name]) for place, one in enumerate(contenders)
    ]
    return rows, skipped


def check_settings(images: Sequence[np.ndarray], rounds: int, threads: int | None) -> None:
    """Refuse what can't be measured, before it costs time.

    Raises:
        ConfigError: no images, or fewer than one round or thread.
    """
    if not len(images) or rounds < 1:
        raise ConfigError(
            f"expected at least one image and one round, got {len(images)} and {rounds}."
        )
    thread_count(threads)


def _warm_up(
    contenders: list[Contender], image: np.ndarray
) -> tuple[list[Contender], list[Skipped]]:
    ready, failed = [], []
    for contender in contenders:
        why = first_answer(contender, image)
        if why is None:
            ready.append(contender)
        else:
            model = contender.subject.name
            failed.append(Skipped(model=model, name=contender.name, why=why))
    return ready, failed


def _compare_answers(contenders: list[Contender], images: Sequence[np.ndarray]) -> None:
    """Fill in `agreement`; warms every contender up on every image, too."""
    first, *others = contenders
    expected = [first.predictor.predict(image) for image in images]
    for other in others:
        answers = (other.predictor.predict(image) for image in images)
        shares = [answer_agreement(left, right) for left, right in zip(expected, answers)]
        other.agreement = float(np.mean(shares))


def _row(contender: Contender, timings: Timings, baseline: Timings) -> LatencyRow:
    facts, subject = contender.predictor.runtime, contender.subject
    precision, work = facts["precision"], contender.work
    gflop = None if work is None else work.gflop(precision)
    median = float(np.median(timings.network_ms))
    return LatencyRow(
        model=subject.name,
        name=contender.name,
        runtime=facts["name"],
        threads=facts["threads"],
        precision=precision,
        size=subject.size,
        median_ms=median,
        p95_ms=float(np.percentile(timings.network_ms, 95)),
        p99_ms=float(np.percentile(timings.network_ms, 99)),
        min_ms=min(timings.network_ms),
        total_ms=float(np.median(timings.total_ms)),
        fps=1000 / median,
        speed_up=float(np.median(baseline.network_ms)) / median,
        agreement=contender.agreement,
        answers=len(timings.network_ms),
        gflop=gflop,
        weights_mb=None if work is None else work.megabytes(precision),
        gflops=None if gflop is None else 1000 * sum(gflop.values()) / median,
        bytes_on_disk=_bytes_on_disk(contender),
        version=facts["version"],
        processor=facts.get("processor", processor()),
        system=system(),
    )


def _bytes_on_disk(contender: Contender) -> int | None:
    if contender.shipped:
        return contender.subject.bundle.bytes_on_disk
    in_torch = contender.predictor.runtime["name"] == "torch"
    return contender.subject.checkpoint_bytes if in_torch else None
