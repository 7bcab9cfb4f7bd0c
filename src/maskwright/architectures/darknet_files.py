"""Darknet's files: what a `.cfg` describes, and the numbers of a `.weights`.

A `.weights` file is a header (three integers of 32 bits: major, minor, revision; then how many
images were seen, 64 bits from version 0.2 on, else 32) and numbers of 32 bits, little-endian, one
convolution after another: biases of the batch norm, its weights, means and variances, or the
convolution's own biases; then the convolution's weights. It names nothing: the network tells what
comes where.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.architectures.anchor_detector import AnchorDetector
from maskwright.architectures.modifications import rebuild
from maskwright.architectures.weights import read_model_file
from maskwright.core.errors import ConfigError, ModelFileError

Section = tuple[str, dict[str, str]]
"""A name such as "convolutional", and what stands below it."""

SEEN_IN_64_BITS = 2
"""10 times the major version and the minor one, from which a header is longer."""


STRIDED = 5
"""Halvings of a chain."""


def is_darknet(path: Path | str) -> bool:
    """Whether a file begins as a `.weights` file does; that has no sign of its own."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(20)
    except OSError:  # told by whoever reads it
        return False
    if len(head) < 20:
        return False
    major, minor, revision = struct.unpack_from("<3i", head)
    return major in (0, 1) and 0 <= minor < 10 and 0 <= revision < 100


def read_darknet(
    path: Path | str, name: str, options: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """The tensors of a `.weights` file under our names.

    The number of classes is found from the file's length. A file may end after any convolution,
    as those of an encoder do.

    Args:
        path: of a file that `is_darknet`.
        name: of an architecture that is a detector of Darknet's.
        options: its settings that differ from its own, without classes.

    Raises:
        ModelFileError: other numbers than the network has.
    """
    numbers = _numbers(path, read_model_file(path))
    with torch.device("meta"):
        two, three = (_detector(name, classes, options) for classes in (2, 3))
    counts = [sum(_layer_counts(network)) for network in (two, three)]
    more = counts[1] - counts[0]
    further, rest = divmod(len(numbers) - counts[0], more)
    if further >= -1 and not rest:
        with torch.device("meta"):
            network = _detector(name, 2 + further, options)
        return _tensors(network, numbers, len(network.file_order()))
    ends, total = {0: 0}, 0
    for place, count in enumerate(_layer_counts(two)):
        total += count
        ends[total] = place + 1
    if len(numbers) not in ends or not ends[len(numbers)]:
        raise ModelFileError(
            f"{path} holds {len(numbers)} numbers, expected {counts[0]} of {name} with two "
            f"classes, {more} more for each further one, or as many as end with a convolution. "
            "Choose the architecture and the settings that it was trained with (a .cfg as --model "
            "has them)."
        )
    return _tensors(two, numbers, ends[len(numbers)])


def _detector(name: str, classes: int, options: Mapping[str, Any] | None) -> AnchorDetector:
    network = rebuild(name, classes, options)
    if not isinstance(network, AnchorDetector):
        raise ModelFileError(
            f"expected one of Darknet's detectors for a Darknet file (yolov4-tiny, tiny-yolov2, "
            f"yolo-lite, yoeo), got {name}."
        )
    return network


def _numbers(path: Path | str, data: bytes) -> Tensor:
    major, minor, _ = struct.unpack_from("<3i", data)
    start = 20 if 10 * major + minor >= SEEN_IN_64_BITS else 16
    if (len(data) - start) % 4:
        raise ModelFileError(
            f"{path} ends within a number ({len(data)} bytes): it is truncated; copy it again from "
            "its source."
        )
    return torch.from_numpy(np.frombuffer(data, "<f4", offset=start).astype(np.float32))


def _layer_names(network: AnchorDetector, place: str) -> list[str]:
    """State-dict names of a convolution, in the order of a file."""
    module = network.get_submodule(place)
    if isinstance(module, nn.Conv2d):
        return [f"{place}.bias", f"{place}.weight"]
    if isinstance(module.norm, nn.BatchNorm2d):
        norm = [f"{place}.norm.{part}" for part in ("bias", "weight", "running_mean")]
        return [*norm, f"{place}.norm.running_var", f"{place}.conv.weight"]
    return [f"{place}.conv.bias", f"{place}.conv.weight"]


def _layer_counts(network: AnchorDetector) -> list[int]:
    """Numbers of each convolution."""
    own = network.state_dict()
    return [
        sum(own[name].numel() for name in _layer_names(network, place))
        for place in network.file_order()
    ]


def _tensors(network: AnchorDetector, numbers: Tensor, layers: int) -> dict[str, Tensor]:
    own, found, start = network.state_dict(), {}, 0
    for place in network.file_order()[:layers]:
        for name in _layer_names(network, place):
            shape = own[name].shape
            end = start + math.prod(shape)
            found[name] = numbers[start:end].reshape(shape).clone()
            start = end
    return found


def read_cfg(path: Path | str) -> tuple[str, dict[str, Any]]:
    """What a `.cfg` describes: the name of an architecture, and its settings.

    Returns:
        The name, and settings as `train` takes them: anchors, widths, and "size", the input's
        (height, width). The number of classes is the labelled set's.

    Raises:
        ConfigError: the file can't be read, or describes another network than YOLOv4-tiny or a
            chain such as tiny-YOLOv2 and YOLO-LITE.
    """
    sections = _sections(path)
    heads = [own for kind, own in sections if kind in ("yolo", "region")]
    kinds = {kind for kind, _ in sections}
    try:
        if "region" in kinds and len(heads) == 1 and "route" not in kinds:
            name, options = "tiny-yolov2", _chain_options(sections, heads[0])
        elif "yolo" in kinds and len(heads) == 2 and "maxpool" in kinds:
            name, options = "yolov4-tiny", _tiny_options(sections, heads)
        else:
            raise _another(path, "its sections are " + ", ".join(sorted(kinds)))
        classes = int(heads[0]["classes"])
        with torch.device("meta"):
            network = _detector(name, classes, options)
        net = sections[0][1]
        size = int(net.get("height", 416)), int(net.get("width", 416))
    except (KeyError, ValueError) as error:
        raise _another(path, f"{error} is missing or no number") from error
    _require_layers(path, network, sections)
    return name, options | {"size": size}


def _another(path: Path | str, why: str) -> ConfigError:
    return ConfigError(
        f"expected {path} to describe YOLOv4-tiny, tiny-YOLOv2 or YOLO-LITE, or a network of their "
        f"form in other widths; {why}."
    )


def _sections(path: Path | str) -> list[Section]:
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="strict").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"could not read {path} as a Darknet .cfg: {error}.") from error
    found: list[Section] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].partition(";")[0].strip()
        if text.startswith("[") and text.endswith("]"):
            found.append((text[1:-1].strip().lower(), {}))
        elif "=" in text and found:
            key, _, value = text.partition("=")
            found[-1][1][key.strip()] = value.strip()
        elif text:
            raise ConfigError(
                f"{path}, line {number}: expected [section] or key=value, got {text!r}."
            )
    if not found or found[0][0] not in ("net", "network"):
        raise ConfigError(f"expected {path} to begin with the section [net] of a Darknet .cfg.")
    return found


def _pairs(section: Mapping[str, str], factor: float) -> list[tuple[float, float]]:
    values = [float(text) * factor for text in section["anchors"].split(",") if text.strip()]
    if len(values) % 2:
        raise ValueError("a pair of anchors")
    return list(zip(values[::2], values[1::2]))


def _convolutions(sections: list[Section]) -> list[dict[str, str]]:
    return [own for kind, own in sections if kind == "convolutional"]


def _chain_options(sections: list[Section], head: Mapping[str, str]) -> dict[str, Any]:
    *convs, _ = _convolutions(sections)
    strides = [own.get("stride", "1") for kind, own in sections if kind == "maxpool"]
    if strides.count("2") != STRIDED or len(strides) > STRIDED + 1:
        raise ValueError(f"maxima of 2x2 places, {STRIDED} times two apart (got {strides}),")
    return {
        "anchors": (tuple(_pairs(head, 32.0)),),
        "widths": tuple(int(own["filters"]) for own in convs),
        "norms": tuple(own.get("batch_normalize", "0") == "1" for own in convs),
        "pool_last": "1" in strides,
    }


def _tiny_options(sections: list[Section], heads: list[dict[str, str]]) -> dict[str, Any]:
    anchors = []
    for head in heads:
        pairs = _pairs(head, 1.0)
        mask = [int(text) for text in head.get("mask", "").split(",") if text.strip()]
        anchors.append(tuple(pairs[place] for place in mask or range(len(pairs))))
    return {
        "anchors": tuple(anchors),
        "sensitivity": float(heads[0].get("scale_x_y", 1.0)),
        "width": int(_convolutions(sections)[0]["filters"]),
    }


def _require_layers(path: Path | str, network: AnchorDetector, sections: list[Section]) -> None:
    """Hold every convolution of the file against the network's."""
    told = [
        (int(own["filters"]), int(own.get("size", 1)), own.get("batch_normalize", "0") == "1")
        for own in _convolutions(sections)
    ]
    own = network.state_dict()
    built = []
    for place in network.file_order():
        *_, weight = _layer_names(network, place)
        filters, _, side, _ = own[weight].shape
        built.append((filters, side, f"{place}.norm.bias" in own))
    if told != built:
        wrong = next((i for i, (a, b) in enumerate(zip(told, built)) if a != b), None)
        raise _another(
            path,
            f"it has {len(told)} convolutions, expected {len(built)}"
            if wrong is None
            else f"its convolution {wrong} has (filters, size, batch norm) {told[wrong]}, expected "
            f"{built[wrong]}",
        )
