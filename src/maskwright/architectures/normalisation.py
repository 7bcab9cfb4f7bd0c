"""Means and deviations of the channels, RGB in 0..1, that published weights were trained with."""

from __future__ import annotations

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CITYSCAPES_MEAN = (0.3257, 0.3690, 0.3223)
CITYSCAPES_STD = (0.2112, 0.2148, 0.2115)
"""Of the images of Cityscapes, as CoinCheung/BiSeNet computed them."""

COCO_MEAN = (0.46962251, 0.4464104, 0.40718787)
COCO_STD = (0.27469736, 0.27012361, 0.28515933)
"""Of the images of COCO, as CoinCheung/BiSeNet computed them."""
