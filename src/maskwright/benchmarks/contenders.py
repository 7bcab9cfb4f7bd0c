"""The ways to run one model: PyTorch eager and compiled, ONNX Runtime, OpenVINO, a GPU."""

from __future__ import annotations

import copy
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.benchmarks.operations import Work, count_work
from maskwright.benchmarks.plain import open_plain
from maskwright.benchmarks.subjects import Subject
from maskwright.core.errors import MaskwrightError
from maskwright.core.machine import processor
from maskwright.export.quantise import integer_layers, quantise
from maskwright.runtimes import Bundle, Predictor, Run, open_bundle, ov

EAGER, ONE_THREAD = "PyTorch eager", "PyTorch eager, 1 thread"
COMPILED, GPU = "PyTorch compiled", "PyTorch eager, GPU"
PLAIN = "plain OpenVINO"


@dataclass(kw_only=True)
class Contender:
    """One way to run one model, and what was measured of it.

    Attributes:
        name: to be shown, such as "ONNX Runtime".
        subject: the model.
        predictor: runs it.
        work: of one answer, as it is computed; None where it can't be counted.
        shipped: whether the bundle itself runs.
        agreement: share of pixels, 0..1, with the model's first contender.
    """

    name: str
    subject: Subject
    predictor: Predictor
    work: Work | None
    shipped: bool = True
    agreement: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A way that this machine or model can't go.

    Attributes:
        model: that was to be measured.
        name: of the contender.
        why: what is missing.
    """

    model: str
    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Contenders beside the usual ones.

    Attributes:
        compiled: torch.compile, which takes up to minutes at its first answer.
        gpu: the first CUDA device.
        int8: the bundle's graph in int8, calibrated on the images shown; it tells a speed, and what
            it loses only where these are real.
        plain: the network as OpenVINO converts and runs it by itself.
    """

    compiled: bool = False
    gpu: bool = False
    int8: bool = False
    plain: bool = False


USUAL = Extras()


def open_contenders(
    subject: Subject, threads: int, images: Sequence[np.ndarray], extras: Extras
) -> tuple[list[Contender], list[Skipped]]:
    """Every way to run a model here, the plain one first.

    Args:
        subject: the model.
        threads: of all but the one-threaded, and OpenVINO's own choice.
        images: to calibrate int8 on, where it is wanted.
        extras: what else is wanted.

    Raises:
        ModelFileError: ONNX Runtime or OpenVINO can't run the bundle or convert the network.
    """
    found, skipped = [], []
    if subject.network is not None:
        found += _eager(subject, subject.network, threads)
        in_torch: list[tuple[bool, str, Callable[..., Contender]]] = [
            (extras.compiled, COMPILED, _compiled),
            (extras.gpu, GPU, _gpu),
        ]
        for wanted, name, opener in in_torch:
            why = _hindrance(name) if wanted else None
            if why:
                skipped.append(Skipped(model=subject.name, name=name, why=why))
            elif wanted:
                found.append(opener(subject, subject.network, threads))
    found += _shipped(subject, threads)
    if extras.int8 and not integer_layers(subject.bundle.graph):
        found += _int8(subject, threads, images)
    if extras.plain and subject.network is not None and ov.installed():
        found += _plain(subject, subject.network, threads)
    elif extras.plain:
        why = "OpenVINO is not installed" if subject.network else "a bundle has no PyTorch side"
        skipped.append(Skipped(model=subject.name, name=PLAIN, why=why))
    return found, skipped


def _eager(subject: Subject, network: Network, threads: int) -> list[Contender]:
    counts = {EAGER: threads} | ({ONE_THREAD: 1} if threads > 1 else {})
    return [
        _torch(name, subject, network, deploy_run(network), count) for name, count in counts.items()
    ]


def _compiled(subject: Subject, network: Network, threads: int) -> Contender:
    run = deploy_run(network, torch.compile(network.deploy, dynamic=False))
    return _torch(COMPILED, subject, network, run, threads)


def _gpu(subject: Subject, network: Network, threads: int) -> Contender:
    # The answer is copied back within the measured time, so that nothing is still under way.
    moved = copy.deepcopy(network).to("cuda")
    facts = {
        "processor": torch.cuda.get_device_name(),
        "precision": "tf32" if torch.backends.cudnn.allow_tf32 else "f32",
    }
    return _torch(GPU, subject, network, deploy_run(moved), threads, facts)


def _shipped(subject: Subject, threads: int) -> list[Contender]:
    ways = [("ONNX Runtime", "onnxruntime", "f32")]
    if ov.installed():
        ways += [("OpenVINO", "openvino", name) for name in ov.supported_precisions()]
    work = count_work(subject.bundle.graph)
    return [
        Contender(
            name=name if runtime == "onnxruntime" else f"{name} {precision}",
            subject=subject,
            predictor=_open(subject.bundle, threads, runtime, precision),
            work=work,
        )
        for name, runtime, precision in ways
    ]


def _int8(subject: Subject, threads: int, images: Sequence[np.ndarray]) -> list[Contender]:
    resize = subject.bundle.card.resize
    inputs = [resize.apply(image)[0].transpose(2, 0, 1)[None] for image in images]
    bundle = replace(subject.bundle, graph=quantise(subject.bundle.graph, inputs))
    names = {"ONNX Runtime": "ONNX Runtime int8", "OpenVINO f32": "OpenVINO int8"}
    return [
        replace(
            one, name=names.get(one.name, f"{one.name} with int8"), subject=subject, shipped=False
        )
        for one in _shipped(replace(subject, bundle=bundle), threads)
    ]


def _plain(subject: Subject, network: Network, threads: int) -> list[Contender]:
    return [
        Contender(
            name=f"{PLAIN} {name}",
            subject=subject,
            predictor=predictor,
            work=subject.work,
            shipped=False,
        )
        for name, predictor in open_plain(network, subject.bundle.card, threads).items()
    ]


def _open(bundle: Bundle, threads: int, runtime: Any, precision: Any) -> Predictor:
    return open_bundle(bundle, threads=threads, runtime=runtime, precision=precision)


def _torch(
    name: str,
    subject: Subject,
    network: Network,
    run: Run,
    threads: int,
    facts: Mapping[str, Any] | None = None,
) -> Contender:
    known = {
        "name": "torch",
        "version": torch.__version__,
        "threads": threads,
        "precision": str(next(network.parameters()).dtype).replace("torch.float", "f"),
        "processor": processor(),
    }
    facts = known | dict(facts or {})
    predictor = Predictor(subject.bundle.card, _with_threads(run, threads), facts)
    work = subject.work
    return Contender(name=name, subject=subject, predictor=predictor, work=work, shipped=False)


def _with_threads(run: Run, threads: int) -> Run:
    def run_with_threads(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return run(images_B3HW)

    return run_with_threads


def _hindrance(name: str) -> str | None:
    """Why a contender can't be had here; None where it can."""
    if name == GPU:
        return None if torch.cuda.is_available() else "this machine has no CUDA device"
    compilers = [os.environ.get("CXX", ""), "g++", "clang++"]
    if any(shutil.which(compiler) for compiler in compilers if compiler):
        return None
    return "torch.compile needs a C++ compiler, and neither $CXX, g++ nor clang++ is found"


def first_answer(contender: Contender, image: np.ndarray) -> str | None:
    """Let it answer once, which is when torch.compile compiles; returns why it can't, or None.

    Raises:
        MaskwrightError: a contender other than the compiled one failed by the input's fault.
    """
    chatter = logging.getLogger("torch.utils.cpp_extension")  # it misses a GPU, which is no fault
    level = chatter.level
    chatter.setLevel(logging.ERROR)
    try:
        contender.predictor.predict(image)
    except MaskwrightError:
        raise
    except Exception as error:
        if contender.name != COMPILED:
            raise
        return f"torch.compile failed: {' '.join(str(error).split())[:200]}"
    finally:
        chatter.setLevel(level)
    return None
