"""First weights of networks that start from nothing."""

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
