"""A card's recommendation is followed where the machine can, and never trusted blindly."""

from __future__ import annotations

import pytest
from standin import make_card

from maskwright.runtimes import ov
from maskwright.runtimes.recommendation import recommended

FALLBACK = ("onnxruntime", "f32")


def card(recommendation):
    return make_card(measured={"precision": {"recommended": recommendation}})


@pytest.mark.parametrize(
    ("here", "native", "expected"),
    [
        (True, ("f32", "bf16"), ("openvino", "bf16")),
        (True, ("f32",), ("openvino", "f32")),
        (False, (), FALLBACK),
    ],
)
def test_what_the_machine_lacks_falls_back(monkeypatch, here, native, expected):
    monkeypatch.setattr(ov, "installed", lambda: here)
    monkeypatch.setattr(ov, "supported_precisions", lambda: native)
    assert recommended(card({"runtime": "openvino", "precision": "bf16"})) == expected


@pytest.mark.parametrize(
    "told",
    [
        None,
        "openvino",
        {},
        {"runtime": "tensorrt", "precision": "f32"},
        {"runtime": "openvino", "precision": ["f32"]},
        {"runtime": ["openvino"], "precision": "f32"},
        {"runtime": "onnxruntime", "precision": "f32"},
    ],
)
def test_what_is_unknown_is_not_followed(told):
    assert recommended(card(told)) == FALLBACK


@pytest.mark.parametrize("measured", [{}, {"precision": None}, {"precision": [1]}])
def test_cards_without_one_mean_onnx_runtime(measured):
    assert recommended(make_card(measured=measured)) == FALLBACK
