"""Small class maps for the properties of scores: blobs, lines, void and ids of no class."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

CLASSES = 3
VOID = 255


@st.composite
def map_pairs(draw, most=14):
    """Truth and prediction of one size: a coarse map, with some pixels drawn anew in each."""
    height, width = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    cells = draw(hnp.arrays(np.uint8, (3, 3), elements=st.integers(0, CLASSES - 1)))
    rows, columns = np.arange(height) * 3 // height, np.arange(width) * 3 // width
    base = cells[rows][:, columns]
    found = []
    for others in ([*range(CLASSES), VOID], [*range(CLASSES), CLASSES, VOID - 1, VOID]):
        noise = hnp.arrays(np.uint8, base.shape, elements=st.sampled_from(others), fill=st.just(9))
        drawn = draw(noise)
        found.append(np.where(drawn == 9, base, drawn))
    return tuple(found)


def cut(truth, prediction, ignore=()):
    """Masks of each class in both maps, after what is void or ignored is taken out; labelled."""
    labelled = (truth != VOID) & ~np.isin(truth, list(ignore))
    kept = [k not in ignore for k in range(CLASSES)]
    return [
        ((truth == k) & labelled & kept[k], (prediction == k) & labelled & kept[k])
        for k in range(CLASSES)
    ], labelled
