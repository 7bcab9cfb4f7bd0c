"""`export`: a torch network and its card -> a bundle, if what runs there is what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.architectures.checkpoint import describe
from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.core.card import ModelCard
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.machine import processor, system
from maskwright.export.agreement import answer_agreement, compared_things
from maskwright.export.onnx import OPSET, to_onnx
from maskwright.report import Column, Figure, Report, Section, Table, render_fragment
from maskwright.runtimes import Bundle, Predictor, open_bundle, write_bundle
from maskwright.runtimes.loading import Runtime
from maskwright.runtimes.ov import installed

MINIMUM_AGREEMENT = 0.999
MAXIMUM_PROBABILITY_ERROR = 1e-3
"""Mean over an image; float32 gives about 1e-7."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportReport:
    """What was written, and what the gate measured.

    Attributes:
        path: of the bundle.
        bytes_on_disk: its size.
        card: as it stands in the bundle, the measured facts merged in.
        agreement: runtime -> share of an image's pixels, or of its objects, 0..1, that agree with
            torch (`answer_agreement`); the mean.
        worst: runtime -> that share on the worst image.
        images: how many were compared.
        compared: what the shares are of: "pixels", "objects" ...
    """

    path: Path
    bytes_on_disk: int
    card: ModelCard
    agreement: Mapping[str, float]
    worst: Mapping[str, float]
    images: int
    compared: str = "pixels"

    def to_dict(self) -> dict[str, Any]:
        """What was written and measured, as plain data for JSON."""
        return {
            "path": str(self.path),
            "bytes_on_disk": self.bytes_on_disk,
            "agreement": dict(self.agreement),
            "worst": dict(self.worst),
            "images": self.images,
            "compared": self.compared,
            "measured": dict(self.card.measured),
        }

    def sections(self) -> list[Section]:
        """What pages and notebooks show of the gate."""
        return [
            Table(
                title="Agreement with PyTorch",
                columns=(
                    Column(name="Runtime"),
                    Column(name="Mean", format=".4%"),
                    Column(name="Worst image", format=".4%"),
                ),
                rows=[(name, share, self.worst[name]) for name, share in self.agreement.items()],
                note=f"Share of the {self.compared} of {self.images} images.",
            )
        ]

    def __repr__(self) -> str:
        share = min(self.agreement.values())
        return (
            f"ExportReport({str(self.path)!r}, {self.bytes_on_disk / 2**20:.2f} MiB, agrees with "
            f"torch on {share:.3%} of the {self.compared} of {self.images} images)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the file, and how well it agrees with PyTorch."""
        size = Figure(label="Bundle", value=f"{self.bytes_on_disk / 2**20:.2f} MiB")
        return render_fragment(
            Report(title=str(self.path), headline=[size], sections=self.sections())
        )


def export(
    network: Network,
    card: ModelCard,
    path: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    minimum_agreement: float = MINIMUM_AGREEMENT,
    probabilities: bool = False,
) -> ExportReport:
    """Export, hold the result against torch on real images, and only then write the bundle.

    ONNX Runtime is always compared, OpenVINO where it is installed.

    Args:
        network: trained; left as it was.
        card: of the network; `measured["export"]` is added to it.
        path: of the bundle, ".mask".
        images: real ones, uint8 RGB [H, W, 3], any sizes; a few dozen are plenty.
        threads: for the comparison; None takes every core.
        minimum_agreement: share of pixels or objects, 0..1, that must agree.
        probabilities: whether the bundle can be asked for them, too
            (`Predictor.predict_probabilities`). It always can where the card names a postprocess
            step, which starts from them.

    Raises:
        ModelFileError: they agree on less, or their probabilities differ; nothing is written.
        ConfigError: no images, or probabilities of a network that has none.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    checked = check_against_torch(
        network,
        card,
        path,
        images,
        threads=threads,
        minimum_agreement=minimum_agreement,
        probabilities=probabilities,
    )
    return write_checked(checked, path, checked.bundle.graph)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A bundle in memory that answers as torch does.

    Attributes:
        bundle: with the card as it came, this version noted, and the fp32 graph.
        shares: runtime -> share of pixels or objects, 0..1, that agree with torch, image by image.
        facts: for the card's `measured["export"]`.
        compared: what the shares are of.
    """

    bundle: Bundle
    shares: Mapping[str, Sequence[float]]
    facts: Mapping[str, Any]
    compared: str


def check_against_torch(
    network: Network,
    card: ModelCard,
    path: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    minimum_agreement: float = MINIMUM_AGREEMENT,
    probabilities: bool = False,
) -> Checked:
    """The first half of `export`, with its arguments and errors: nothing is written."""
    if not len(images):
        raise ConfigError("the gate of export needs at least one real image to compare on, got 0.")
    card = replace(describe(card, network), version=version("maskwright"))
    probabilities = probabilities or card.postprocess is not None
    graph = to_onnx(network, card.resize.size, probabilities=probabilities)
    bundle = Bundle(card=card, graph=graph, source=str(path))
    eager = torch_predictor(network, card, probabilities=probabilities)
    expected = [eager.predict(image) for image in images]
    compared = compared_things(expected[0])
    shares: dict[str, list[float]] = {}
    runtimes: dict[str, Mapping[str, Any]] = {}
    errors: dict[str, float] = {}
    for name in _runtimes():
        shipped = open_bundle(bundle, threads=threads, runtime=name, precision="f32")
        pairs = zip(expected, images)
        shares[name] = [answer_agreement(left, shipped.predict(image)) for left, image in pairs]
        runtimes[name] = shipped.runtime
        _gate(name, shares[name], minimum_agreement, path, compared)
        if probabilities:
            errors[name] = max(probability_error(eager, shipped, image) for image in images)
            _gate_soft(name, errors[name], path)
    facts = _facts(bundle, shares, runtimes) | ({"probability_error": errors} if errors else {})
    return Checked(bundle=bundle, shares=shares, facts=facts, compared=compared)


def torch_predictor(network: Network, card: ModelCard, *, probabilities: bool = False) -> Predictor:
    """PyTorch behind the same `Predictor` as the runtimes.

    Args:
        network: the PyTorch side.
        card: of the network.
        probabilities: whether each answer works them out, as the graph with them does; with a
            postprocess step in the card it always does.
    """
    facts = {"name": "torch", "version": torch.__version__}
    if not probabilities and card.postprocess is None:
        return Predictor(card, deploy_run(network), facts)
    run = deploy_run(network, network.deploy_probabilities)
    return Predictor(card, run, facts, run_probabilities=run)


def probability_error(left: Predictor, right: Predictor, image: np.ndarray) -> float:
    """Mean absolute difference of two predictors' probabilities, over pixels and classes: 0..1."""
    one_Khw, other_Khw = (
        each.predict_probabilities(image).probabilities_Khw for each in (left, right)
    )
    return float(np.abs(one_Khw - other_Khw).mean())


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
        compared=checked.compared,
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


def _gate(
    runtime: str, shares: list[float], minimum: float, path: Path | str, compared: str
) -> None:
    mean = float(np.mean(shares))
    if mean < minimum:
        worst = int(np.argmin(shares))
        raise ModelFileError(
            f"{path} was not written: expected torch and {runtime} to agree on at least "
            f"{minimum:.2%} of the {compared}, got {mean:.3%} over {len(shares)} images (worst: "
            f"image {worst} with {shares[worst]:.3%}). A network that was hardly trained has no "
            "clear answers; train longer, or lower minimum_agreement knowingly."
        )


def _gate_soft(runtime: str, error: float, path: Path | str) -> None:
    if not error <= MAXIMUM_PROBABILITY_ERROR:
        raise ModelFileError(
            f"{path} was not written: expected the probabilities of torch and {runtime} to differ "
            f"by at most {MAXIMUM_PROBABILITY_ERROR:g} on average, got {error:.2g} on the worst "
            "image; export without probabilities."
        )
