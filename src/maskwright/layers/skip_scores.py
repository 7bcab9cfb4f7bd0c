"""FCN-8s's decoder: scores of three strides, summed while learned enlargements bring them up.

Long, Shelhamer, Darrell: Fully Convolutional Networks, CVPR 2015, arXiv 1411.4038, section 4.2.

Legend: B images, C channels, K classes, H W of the image, h w of a map; a number behind h w is the
stride.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from maskwright.layers.upsample import bilinear_upsampling


class SkipScores(nn.Module):
    """1x1 convolutions make scores; what is enlarged is cut to the map that it is added to.

    Args:
        widths: C of the maps of strides 8, 16 and 32.
        classes: K.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.score8 = nn.Conv2d(fine, classes, 1)
        self.score16 = nn.Conv2d(middle, classes, 1)
        self.score32 = nn.Conv2d(coarse, classes, 1)
        self.to16 = bilinear_upsampling(classes, 2, padding=1)
        self.to8 = bilinear_upsampling(classes, 2, padding=1)
        self.to1 = bilinear_upsampling(classes, 8, padding=4)

    def forward(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Maps of strides 8, 16 and 32, sizes rounded up, and (H, W) -> logits [B, K, H, W]."""
        fine_BChw8, middle_BChw16, coarse_BChw32 = features
        scores_BKhw16 = self.score16(middle_BChw16)
        scores_BKhw8 = self.score8(fine_BChw8)
        scores_BKhw16 = scores_BKhw16 + _cut(
            self.to16(self.score32(coarse_BChw32)), scores_BKhw16.shape[-2:]
        )
        scores_BKhw8 = scores_BKhw8 + _cut(self.to8(scores_BKhw16), scores_BKhw8.shape[-2:])
        return _cut(self.to1(scores_BKhw8), size)


def _cut(maps_BKhw: Tensor, size: Sequence[int]) -> Tensor:
    return maps_BKhw[:, :, : size[0], : size[1]]
