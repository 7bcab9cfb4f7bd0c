"""What a bundle's card recommends to run it with, where this machine can."""

from __future__ import annotations

from collections.abc import Mapping

from maskwright.core.card import ModelCard
from maskwright.runtimes import ov

FALLBACK = ("onnxruntime", "f32")
"""Always there, and the same answers everywhere."""


def recommended(card: ModelCard) -> tuple[str, str]:
    """The runtime and the precision of its float operations that the export measured to be best.

    Args:
        card: `measured["precision"]["recommended"]` tells both, where the export chose.

    Returns:
        (runtime, precision); ONNX Runtime in f32 where the card recommends nothing that we know,
        OpenVINO is not installed, or the processor lacks the precision.
    """
    wanted = _told(card)
    if wanted is None or wanted[0] != "openvino" or not ov.installed():
        return FALLBACK
    if wanted[1] == "f32" or wanted[1] in ov.supported_precisions():
        return wanted
    return ("openvino", "f32")


def _told(card: ModelCard) -> tuple[str, str] | None:
    entry = card.measured.get("precision")
    told = entry.get("recommended") if isinstance(entry, Mapping) else None
    if not isinstance(told, Mapping):
        return None
    runtime, precision = told.get("runtime"), told.get("precision")
    if runtime == "openvino" and precision in ov.PRECISIONS:
        return ("openvino", str(precision))
    return None
