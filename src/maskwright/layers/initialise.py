"""Initial weights of networks that start from nothing."""

from __future__ import annotations

import math

from torch import nn

NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


def initialise(module: nn.Module) -> None:
    """Set one module's own weights; pass it to `network.apply`.

    Convolutions: normal, variance 2 / fan-out, a group's own fan-out where grouped (He et al. 2015,
    arXiv 1502.01852). Linear layers: normal, deviation 0.02, cut at +-2 (Dosovitskiy et al. 2021,
    arXiv 2010.11929). Biases 0, scales of normalisations 1.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, NORMS):
        nn.init.ones_(module.weight)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def initialise_scores(module: nn.Module) -> None:
    """Set the layers to the classes, after `initialise`: deviation 0.01, biases 0.

    Many channels with weights of variance 2 / fan-out would begin with scores of 20 and more, sure
    and wrong. (Long et al. 2015, arXiv 1411.4038, section 4.3, begin with zeros.)
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
