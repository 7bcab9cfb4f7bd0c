"""Masks restored inside their boxes against the rule done on whole frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core import Mask
from maskwright.core.resize import Geometry, Resize, restore_class_map
from maskwright.runtimes.masks import restore_masks


def whole_frame(
    mask_hw: np.ndarray, size: tuple[int, int], threshold: float, geometry: Geometry
) -> Mask:
    """Enlarged, cut and restored over all pixels, one mask at a time."""
    values = mask_hw.astype(np.float32)
    if values.shape != size:
        values = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    inside = (values > threshold).astype(np.uint8)
    return Mask.encode(restore_class_map(inside, geometry))


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    grid=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    times=st.sampled_from([(1, 1), (2, 2), (4, 4), (8, 4), (3, 3), (1, 5)]),
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mode=st.sampled_from(["stretch", "letterbox"]),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.9, -0.1]),
    kind=st.sampled_from(["uint8", "float32", "float16", "bool"]),
)
def test_each_equals_the_whole_frame(
    seed: int,
    grid: tuple[int, int],
    times: tuple[int, int],
    source: tuple[int, int],
    mode: str,
    threshold: float,
    kind: str,
) -> None:
    rng = np.random.default_rng(seed)
    size = (grid[0] * times[0], grid[1] * times[1])
    geometry = Resize(size=size, mode=mode).geometry(source)
    values = rng.random((4, *grid)) * (rng.random((4, *grid)) < 0.3)
    values[:, rng.integers(0, grid[0]) :] = 0
    masks = np.rint(values).astype(kind) if kind in ("uint8", "bool") else values.astype(kind)
    found = restore_masks(list(masks), size, threshold, geometry)
    assert found == [whole_frame(one, size, threshold, geometry) for one in masks]


@pytest.mark.parametrize("level", [0.4999999, 0.5, 0.50000006])
def test_values_at_the_threshold_are_the_same_to_the_last_bit(level: float) -> None:
    masks = np.full((1, 16, 16), level, np.float32)
    geometry = Geometry(source=(50, 70), content=(64, 64), offset=(0, 0))
    expected = whole_frame(masks[0], (64, 64), 0.5, geometry)
    assert restore_masks(list(masks), (64, 64), 0.5, geometry) == [expected]


def test_no_object_gives_no_mask() -> None:
    geometry = Geometry(source=(5, 7), content=(8, 8), offset=(0, 0))
    assert restore_masks([], (8, 8), 0.5, geometry) == []
    assert restore_masks([np.zeros((8, 8), np.uint8)], (8, 8), 0.5, geometry)[0].area == 0
