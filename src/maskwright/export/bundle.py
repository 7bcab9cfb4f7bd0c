"""`export`: a torch network and its card -> a bundle, if what runs there is what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.core.card import ModelCard
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.machine import processor, system
from maskwright.export.agreement import pixel_agreement
from maskwright.export.onnx import OPSET, to_onnx
from maskwright.runtimes import Bundle, Predictor, open_bundle, write_bundle
from maskwright.runtimes.loading import Runtime
from maskwright.runtimes.ov import installed

MINIMUM_AGREEMENT = 0.999


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and what the gate measured.

    Attributes:
        path: of the bundle.
        bytes_on_disk: its size.
        card: as it stands in the bundle, the measured facts merged in.
        agreement: runtime -> share of an image's pixels, 0..1, that agree with torch; the mean.
        worst: runtime -> that share on the worst image.
        images: how many were compared.
    """

    path: Path
    bytes_on_disk: int
    card: ModelCard
    agreement: Mapping[str, float]
    worst: Mapping[str, float]
    images: int


def export(
    network: Network,
    card: ModelCard,
    path: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    minimum_agreement: float = MINIMUM_AGREEMENT,
) -> ExportReport:
    """Export, hold the result against torch on real images, and only then write the bundle.

    ONNX Runtime is always compared, OpenVINO where it is installed.

    Args:
        network: trained; left as it was.
        card: of the network; `measured["export"]` is added to it.
        path: of the bundle, ".mask".
        images: real ones, uint8 RGB [H, W, 3], any sizes; a few dozen are plenty.
        threads: for the comparison; None takes every core.
        minimum_agreement: share of pixels, 0..1, that must agree.

    Raises:
        ModelFileError: they agree on fewer pixels; nothing is written.
        ConfigError: no images.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    checked = check_against_torch(
        network, card, path, images, threads=threads, minimum_agreement=minimum_agreement
    )
    return write_checked(checked, path, checked.bundle.graph)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A bundle in memory that answers as torch does.

    Attributes:
        bundle: with the card as it came, this version noted, and the fp32 graph.
        shares: runtime -> share of pixels, 0..1, that agree with torch, image by image.
        facts: for the card's `measured["export"]`.
    """

    bundle: Bundle
    shares: Mapping[str, Sequence[float]]
    facts: Mapping[str, Any]


def check_against_torch(
    network: Network,
    card: ModelCard,
    path: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    minimum_agreement: float = MINIMUM_AGREEMENT,
) -> Checked:
    """The first half of `export`, with its arguments and errors: nothing is written."""
    if not len(images):
        raise ConfigError("the gate of export needs at least one real image to compare on, got 0.")
    card = replace(card, version=version("maskwright"))
    bundle = Bundle(card=card, graph=to_onnx(network, card.resize.size), source=str(path))
    eager = Predictor(card, deploy_run(network), {"name": "torch", "version": torch.__version__})
    expected = [eager.predict(image) for image in images]
    shares: dict[str, list[float]] = {}
    runtimes: dict[str, Mapping[str, Any]] = {}
    for name in _runtimes():
        shipped = open_bundle(bundle, threads=threads, runtime=name, precision="f32")
        pairs = zip(expected, images)
        shares[name] = [pixel_agreement(left, shipped.predict(image)) for left, image in pairs]
        runtimes[name] = shipped.runtime
        _gate(name, shares[name], minimum_agreement, path)
    return Checked(bundle=bundle, shares=shares, facts=_facts(bundle, shares, runtimes))


def write_checked(
    checked: Checked,
    path: Path | str,
    graph: bytes,
    measured: Mapping[str, Any] | None = None,
) -> ExportReport:
    """The second half of `export`: the bundle is written and told about.

    Args:
        checked: what the gate let through.
        path: of the bundle.
        graph: to write: the one that was checked, or one made of it.
        measured: more for the card.

    Raises:
        MaskwrightError: the folder can't be written or the disk is full.
    """
    card = checked.bundle.card
    facts = {**checked.facts, "graph_bytes": len(graph)}
    card = replace(card, measured={**card.measured, "export": facts, **(measured or {})})
    return ExportReport(
        path=Path(path),
        bytes_on_disk=write_bundle(path, card, graph),
        card=card,
        agreement={name: float(np.mean(values)) for name, values in checked.shares.items()},
        worst={name: min(values) for name, values in checked.shares.items()},
        images=len(checked.shares["onnxruntime"]),
    )


def _runtimes() -> tuple[Runtime, ...]:
    return ("onnxruntime", "openvino") if installed() else ("onnxruntime",)


def _facts(
    bundle: Bundle, shares: Mapping[str, Sequence[float]], runtimes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    versions = {name: facts["version"] for name, facts in runtimes.items()}
    return {
        "agreement_with_torch": {name: float(np.mean(each)) for name, each in shares.items()},
        "worst_image": {name: min(each) for name, each in shares.items()},
        "images": len(shares["onnxruntime"]),
        "graph_bytes": len(bundle.graph),
        "opset": OPSET,
        "versions": {"torch": torch.__version__, **versions},
        "processor": processor(),
        "system": system(),
    }


def _gate(runtime: str, shares: list[float], minimum: float, path: Path | str) -> None:
    mean = float(np.mean(shares))
    if mean < minimum:
        worst = int(np.argmin(shares))
        raise ModelFileError(
            f"{path} was not written: expected torch and {runtime} to agree on at least "
            f"{minimum:.2%} of the pixels, got {mean:.3%} over {len(shares)} images (worst: image "
            f"{worst} with {shares[worst]:.3%}). A network that was hardly trained has no clear "
            "answers; train longer, or lower minimum_agreement knowingly."
        )
