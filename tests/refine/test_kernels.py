"""Both kernels against every pixel's sum over every other."""

from __future__ import annotations

import exact
import numpy as np
import pytest

from maskwright.refine.kernels import AppearanceKernel, SmoothnessKernel
from maskwright.refine.permutohedral import Lattice


def picture(height, width, seed=0, noise=6.0):
    """A bright disc on a dark slope, with noise."""
    y, x = np.mgrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 3) ** 2
    base = np.stack([60 + x, 60 + y, 90 + 0 * x], axis=-1) + 90 * disc[..., None]
    found = base + np.random.default_rng(seed).normal(0, noise, base.shape)
    return found.clip(0, 255).astype(np.uint8)


def message(kernel, values, weight=1.0):
    return kernel.message(values, np.empty_like(values), weight)


@pytest.mark.parametrize("size", [(20, 30), (1, 9), (5, 2), (9, 40)])
@pytest.mark.parametrize("width", [0.4, 1.0, 3.0])
def test_smoothness_is_a_gaussian(size, width):
    values = np.random.default_rng(0).random((size[0] * size[1], 3)).astype(np.float32)
    kernel = exact.gaussian_matrix(exact.features(np.zeros((*size, 3)), width))
    found = message(SmoothnessKernel(size, width), values, weight=1.7)
    np.testing.assert_allclose(found, 1.7 * exact.normalised(kernel) @ values, atol=0.02)


@pytest.mark.parametrize("size", [(20, 30), (7, 2), (30, 9)])
def test_smoothness_is_its_kernel_cut_off(size):
    """Exactly: what lies beyond three standard deviations along a side counts nothing."""
    y, x = np.mgrid[: size[0], : size[1]].reshape(2, -1)
    far = [np.abs(each[:, None] - each[None]) > 6 for each in (y, x)]
    kernel = exact.gaussian_matrix(exact.features(np.zeros((*size, 3)), 2.0))
    kernel[far[0] | far[1]] = 0
    values = np.random.default_rng(0).random((len(y), 4)).astype(np.float32)
    found = message(SmoothnessKernel(size, 2.0), values)
    np.testing.assert_allclose(found, exact.normalised(kernel) @ values, rtol=1e-5)


def test_smoothness_takes_one_class_and_very_many():
    kernel = SmoothnessKernel((12, 15), 1.5)
    values = np.random.default_rng(0).random((180, 150)).astype(np.float32)
    before = values.copy()
    found = message(kernel, values)
    assert np.array_equal(values, before)
    for column in (0, 63, 64, 149):
        one = np.ascontiguousarray(values[:, column : column + 1])
        np.testing.assert_allclose(message(kernel, one), found[:, column : column + 1], rtol=1e-6)


@pytest.mark.parametrize(("blur", "error"), [(True, 0.02), (False, 0.06)])
@pytest.mark.parametrize(("width", "colour_width"), [(20.0, 13.0), (8.0, 20.0)])
def test_appearance_is_nearly_gaussian(blur, error, width, colour_width):
    """What the lattice reaches against the dense sum, of an edge and of a class spread evenly."""
    image = picture(32, 40)
    kernel = exact.normalised(exact.gaussian_matrix(exact.features(image, width, colour_width)))
    edge = (image[..., 0] > 140).reshape(-1, 1)
    values = np.hstack([edge, np.ones_like(edge)]).astype(np.float32)
    found = message(AppearanceKernel(image, width, colour_width, blur=blur), values)
    wanted = kernel @ values
    assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.99
    # The mean of what is heard, which normalisation does not touch.
    means = found[:, 0] / found[:, 1]
    assert np.abs(means - wanted[:, 0] / wanted[:, 1]).max() < error


def test_boxes_are_filtered_at_their_means():
    image = picture(30, 40)
    kernel = AppearanceKernel(image, 10.0, 12.0, cell=0.5, blur=True)
    assert 20 < kernel.groups < 1200
    boxes = [axis // 5 for axis in np.mgrid[:30, :40]]
    keys = np.stack([*boxes, *(image // 6).transpose(2, 0, 1)], axis=-1).reshape(-1, 5)
    _, group, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    assert len(count) == kernel.groups
    members = np.eye(len(count))[group.ravel()]
    lattice = Lattice(members.T @ exact.features(image, 10.0, 12.0) / count[:, None])
    values = np.random.default_rng(1).random((1200, 3)).astype(np.float32)
    norm = 1 / np.sqrt(lattice.filter(count[:, None].astype(np.float32)))
    sums = lattice.filter((norm * (members.T @ values)).astype(np.float32))
    np.testing.assert_allclose(
        message(kernel, values, 2.0), 2 * members @ (norm * sums), rtol=1e-3, atol=1e-5
    )


def test_without_boxes_every_pixel_is_its_own():
    image = picture(12, 15)
    assert AppearanceKernel(image, 10.0, 12.0).groups == 180
    assert AppearanceKernel(np.zeros((40, 40, 3), np.uint8), 10.0, 12.0, cell=1.0).groups == 16
