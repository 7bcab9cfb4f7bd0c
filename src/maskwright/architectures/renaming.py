"""Names of the authors' checkpoints -> ours, by a short list of rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from maskwright.core.errors import ModelFileError


def rename(weights: Mapping[str, Tensor], *rules: tuple[str, str]) -> dict[str, Tensor]:
    """Rewrite every name by the rules, each applied to what the one before left.

    Args:
        weights: name -> tensor.
        rules: (regular expression, replacement), as `re.sub` takes them.

    Raises:
        ModelFileError: two names became one.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        ours = name
        for pattern, replacement in rules:
            ours = re.sub(pattern, replacement, ours)
        if ours in renamed:
            raise ModelFileError(
                f"expected a checkpoint of one naming, got two entries that both mean {ours!r} "
                f"(one of them is {name!r}); pass the authors' file as it was published."
            )
        renamed[ours] = tensor
    return renamed


def rename_detector(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mmdetection's names of an encoder, a pyramid and group norms -> ours."""
    return rename(
        weights,
        (r"^backbone\.", "encoder."),
        (r"\.conv_offset\.", ".offset."),
        (r"^neck\.lateral_convs\.", "pyramid.lateral."),
        (r"^neck\.fpn_convs\.", "pyramid.smooth."),
        (r"\.gn\.", ".norm."),
    )


def rename_aspp(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parts of "head.aspp.", as torchvision and those after it number them -> `layers.ASPP`'s.

    The branches are `convs.0` and up; the last of them, the image's mean, has its convolution in
    second place. A separable convolution is a sequence of two, in VainF's code under "body".
    """
    pools = {match[1] for name in weights if (match := re.search(r"convs\.(\d+)\.2\.", name))}
    place = r"^(head\.aspp\.)"
    pooling = [
        rule
        for number in pools
        for rule in (
            (rf"{place}convs\.{number}\.1\.", r"\1pool.conv."),
            (rf"{place}convs\.{number}\.2\.", r"\1pool.norm."),
        )
    ]
    return rename(
        weights,
        *pooling,
        (rf"{place}convs\.(\d+)\.0\.(body\.)?0\.", r"\1branches.\2.depthwise."),
        (rf"{place}convs\.(\d+)\.0\.(body\.)?1\.", r"\1branches.\2.pointwise."),
        (rf"{place}convs\.(\d+)\.0\.", r"\1branches.\2.conv."),
        (rf"{place}convs\.(\d+)\.1\.", r"\1branches.\2.norm."),
        (rf"{place}project\.0\.", r"\1project.conv."),
        (rf"{place}project\.1\.", r"\1project.norm."),
    )
