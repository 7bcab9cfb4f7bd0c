"""Output strides: which steps of a network shrink the features, and which dilate instead.

Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image Segmentation,
arXiv 1706.05587, section 3.1: where features are to stay finer than a classifier's stride 32, the
last steps keep their size, and every later convolution spreads its taps by the step it lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskwright.core.errors import ConfigError

OUTPUT_STRIDES = (8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class Step:
    """How one stage of a network moves on.

    Attributes:
        stride: of its first block; 1 where it dilates instead.
        first_dilation: of the convolution that would have had the stride.
        dilation: of every later one.
        reached: stride of the stage's features, relative to the image.
    """

    stride: int
    first_dilation: int
    dilation: int
    reached: int


def plan(strides: Sequence[int], output_stride: int, dilate_first: bool = False) -> list[Step]:
    """A classifier's strides, stage by stage -> what each does at an output stride.

    Args:
        strides: of the stages, from the image on.
        output_stride: of the deepest features: 8, 16 or 32.
        dilate_first: whether the convolution that lost its stride is dilated by it as well. It
            reads what no convolution has thinned out, so by torchvision's rule it is not; by that
            of PSPNet's authors it is.

    Raises:
        ConfigError: another output stride.
    """
    if output_stride not in OUTPUT_STRIDES:
        choice = ", ".join(map(str, OUTPUT_STRIDES))
        raise ConfigError(f"expected output_stride to be one of {choice}, got {output_stride}.")
    steps, reached, dilation = [], 1, 1
    for stride in strides:
        before = dilation
        if reached * stride > output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        first = dilation if dilate_first else before
        steps.append(Step(stride=stride, first_dilation=first, dilation=dilation, reached=reached))
    return steps
