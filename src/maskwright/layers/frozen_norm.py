"""Batch norms that learn nothing, as detectors keep them: their batches are too small to measure.

He et al.: Deep Residual Learning, and all detectors of detectron2 after it.
"""

from __future__ import annotations

from torch import nn
from torchvision.ops import FrozenBatchNorm2d


def freeze_norms(module: nn.Module) -> None:
    """Put a fixed scale and shift in place of every batch norm inside, with the same values.

    Names stay; what were parameters are buffers. The norms' step counters go.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=child.eps)
            own = child.state_dict()
            frozen.load_state_dict({key: own[key] for key in frozen.state_dict()}, assign=True)
            setattr(module, name, frozen)
        else:
            freeze_norms(child)
