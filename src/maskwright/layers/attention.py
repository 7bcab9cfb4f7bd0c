"""Attention between all places of a map, a block of rows at a time, and between its channels.

Legend: B batch, Q places that ask, K places that answer, D channels of queries and keys, C of
values; for channels: N places, C channels that ask, E that answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_SCORES = 1 << 24
"""Entries of a block's score matrix, an image: 64 MB in float32."""


def attend(
    queries_BQD: Tensor, keys_BKD: Tensor, values_BKC: Tensor, max_scores: int = MAX_SCORES
) -> Tensor:
    """softmax(queries keys^T) values: exact, with the scores of a block of queries at a time.

    A row of the score matrix needs no other row, so memory grows with Q + K and not with Q K. In
    training the blocks are kept for the gradient; then only the largest tensor becomes smaller.

    Args:
        queries_BQD: not scaled here.
        keys_BKD: as wide as the queries.
        values_BKC: what is averaged.
        max_scores: bound of a block's scores an image; at least one row is done at a time.

    Returns:
        BQC.
    """
    rows = max(1, max_scores // keys_BKD.shape[1])
    blocks = [
        (block_BqD @ keys_BKD.mT).softmax(dim=-1) @ values_BKC
        for block_BqD in queries_BQD.split(rows, dim=1)
    ]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)


def attend_to_channels(queries_BCN: Tensor, keys_BEN: Tensor) -> Tensor:
    """Channels read from channels (Fu et al., CVPR 2019, section 3.3): softmax(max - QK^T) K.

    The softmax is of each energy's distance below its row's largest, so that the channels least
    alike are read most: what the authors' code computes.

    Args:
        queries_BCN: C channels of N places.
        keys_BEN: E channels of the same places; also what is averaged.

    Returns:
        BCN.
    """
    energy_BCE = queries_BCN @ keys_BEN.mT
    # softmax is blind to what is added to a row, so its largest need not be subtracted
    return (-energy_BCE).softmax(dim=-1) @ keys_BEN
