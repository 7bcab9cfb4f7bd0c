"""Every port against its authors' recorded outputs: the same names, the same function."""

from __future__ import annotations

import copy
import json
import re

import pytest
from references import FAMILIES, full, parity, reference
from shared import shared_path

pytestmark = pytest.mark.parity

TOLERANCE = 1e-8
NAMES = (
    "unet-milesial",
    "unet-milesial-bilinear",
    "unet-resnet34-smp",
    "bisenetv1",
    "bisenetv2",
    "segformer-b0",
    "segformer-nvlabs-b0",
    "fcn-resnet50-tv",
    "deeplabv3-resnet50-tv",
    "deeplabv3-mobilenetv3large-tv",
    "deeplabv3plus-mobilenetv2-vainf",
    "deeplabv3plus-resnet50-vainf",
    "deeplabv3plus-xception-vainf",
    "deeplabv3plus-resnet34-smp",
    "lraspp-mobilenetv3large-tv",
    "pspnet50",
    "hrnetv2-w48",
    "hrnetv2-w48-ocr",
    "caa-head-reduced",
    "danet-resnet50",
    "danet-resnet101",
    "dranet-resnet101",
    "fcn32s",
    "fcn16s",
    "fcn8s",
    "segnet-vgg16",
    "segnet-say4n",
    "dilation-context-basic-cityscapes",
    "dilation-context-large-voc",
    "dilation8-camvid-vgg16",
    "maskrcnn-resnet50-fpn-tv",
    "maskrcnn-resnet50-fpn-v2-tv",
    "solo-r50",
    "solo-decoupled-r50",
    "solo-decoupled-light-r50",
    "solov2-r50",
    "solov2-light-r50",
    "solov2-light-dcn-r50",
    "yolact-resnet50",
    "yolact-resnet101",
    "yolact-darknet53",
    "yolactpp-resnet50",
    "yolactpp-resnet101",
    "yolov8n",
    "yolov8n-seg",
    "yolov8s-seg",
    "yolo11n-seg",
    "yolov4-tiny-darknet",
    "yoeo",
    "yololite-voc",
    "tiny-yolov2-voc-nobatch",
    "sparseinst-r50-base",
    "sparseinst-r50-giam",
    "sparseinst-r50-giam-soft",
    "sparseinst-r50vd-base",
    "sparseinst-r50vd-giam",
    "sparseinst-r50vd-dcn-giam",
    "multinet-vgg",
    "multinet-resnet50",
)

NOT_PORTED = ("yolo26n-seg",)
"""Of a class that is: YOLO26's two branches, refined prototypes and attention in the neck."""


def load(name):
    shared_path(f"parity/goldens/{name}.json")
    return parity().load(name)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_agree(name):
    golden = load(name)
    network, run = reference(golden)
    assert all(parameter.dtype.is_floating_point for parameter in network.parameters())
    errors = parity().compare(golden, run(*parity().inputs(golden)))
    assert errors
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_agree(name):
    assert full(load(name)) == []


def test_mismatches_are_told():
    golden = copy.deepcopy(load("segformer-nvlabs-b0"))
    entries = golden["state_dict"]
    entries[:] = [entry for entry in entries if entry["name"] != "backbone.norm4.bias"]
    entries.append({"name": "decode_head.extra", "shape": [3], "dtype": "float64"})
    next(entry for entry in entries if entry["name"] == "backbone.norm1.bias")["shape"] = [31]
    golden["parameters"] += 1
    text = "\n".join(full(golden))
    for part in ("missing: encoder.stages.3.norm.bias", "left over: decode_head.extra", "(31,)"):
        assert part in text
    assert "parameters: expected 3752695, got 3752694" in text
    with pytest.raises(AssertionError, match="missing"):
        reference(golden)


def test_no_golden_of_a_ported_family_is_left_out():
    folder = shared_path("parity/goldens")
    ported = set()
    for path in folder.glob("*.json"):
        about = json.loads(path.read_text()).get("about", {})
        if any(re.fullmatch(pattern, about.get("cls", "")) for pattern in FAMILIES):
            ported.add(path.stem)
    assert ported == set(NAMES) | set(NOT_PORTED)
