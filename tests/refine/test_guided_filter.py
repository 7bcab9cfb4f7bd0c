"""The guided filter against the paper's equations, window by window."""

from __future__ import annotations

import cv2
import exact
import numpy as np
import pytest
from test_kernels import picture

from maskwright.core.errors import ConfigError, DataError
from maskwright.refine import GuidedFilter, guided_filter


def maps(classes, size, seed=0):
    return np.random.default_rng(seed).random((classes, *size)).astype(np.float32)


@pytest.mark.parametrize("radius", [1, 3, 20])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-4])
def test_colour_guidance_is_the_papers(radius, epsilon):
    image, given = picture(15, 19), maps(3, (15, 19))
    found = guided_filter(given, image, GuidedFilter(radius=radius, epsilon=epsilon, subsample=1))
    assert found.dtype == np.float32
    assert np.abs(found - exact.guided(given, image, radius, epsilon)).max() < 1e-6


@pytest.mark.parametrize("radius", [1, 4])
def test_grey_guidance_is_the_papers(radius):
    image, given = picture(15, 19), maps(2, (15, 19))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    expected = exact.guided(given, grey, radius, 1e-3)
    for guide, colour in ((grey, True), (image, False)):
        settings = GuidedFilter(radius=radius, epsilon=1e-3, colour=colour, subsample=1)
        assert np.abs(guided_filter(given, guide, settings) - expected).max() < 1e-6


def test_constants_and_sums_are_kept():
    image, given = picture(30, 41), maps(4, (30, 41))
    given /= given.sum(axis=0)
    for subsample in (1, 4):
        settings = GuidedFilter(subsample=subsample, epsilon=1e-4)
        np.testing.assert_allclose(guided_filter(given, image, settings).sum(axis=0), 1, atol=1e-5)


def test_the_images_own_channel_is_told_by_itself():
    """A map that is linear in the image comes back, where windows vary well above epsilon."""
    image = picture(30, 40, noise=20.0)
    given = (image[..., 1] / np.float32(255))[None]
    settings = GuidedFilter(radius=4, epsilon=1e-8, subsample=1)
    np.testing.assert_allclose(guided_filter(given, image, settings), given, atol=1e-3)


def test_the_fast_filter_is_near_the_exact_one():
    y, x = np.mgrid[:96, :128]
    image = np.stack([100 + 60 * (x > 64), 80 + y, 90 + x // 2], axis=-1).astype(np.uint8)
    soft = 1 / (1 + np.exp((64 - x) / 8.0))
    given = np.stack([soft, 1 - soft]).astype(np.float32)
    exact_one, fast = (
        guided_filter(given, image, GuidedFilter(radius=16, epsilon=1e-3, subsample=subsample))
        for subsample in (1, 4)
    )
    assert np.abs(fast - exact_one).mean() < 0.02
    assert np.abs(fast - given).mean() > 5 * np.abs(fast - exact_one).mean()


def test_edges_move_to_the_images():
    image = np.full((40, 60, 3), 60, np.uint8)
    image[:, 30:] = 180
    blurred = 1 / (1 + np.exp((26 - np.arange(60)) / 3.0)) * np.ones((40, 1))
    given = np.stack([1 - blurred, blurred]).astype(np.float32)
    found = guided_filter(given, image, GuidedFilter(radius=10, epsilon=1e-4, subsample=1))
    assert (given[1, 20] > 0.5).argmax() == 27
    step = np.abs(np.diff(found[1, 20]))
    assert step.argmax() == 29
    assert step[29] > 0.3


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 2)])
def test_tiny_images(size):
    given = maps(2, size)
    found = guided_filter(given, picture(*size))
    assert found.shape == given.shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("given", "image"),
    [
        (np.ones((2, 4, 5), np.float32), np.zeros((5, 4, 3), np.uint8)),
        (np.ones((2, 4, 5), np.float32), np.zeros((4, 5, 3), np.float32)),
        (np.ones((2, 4, 5), np.int64), np.zeros((4, 5, 3), np.uint8)),
        (np.ones((4, 5), np.float32), np.zeros((4, 5, 3), np.uint8)),
    ],
)
def test_what_does_not_fit_is_told(given, image):
    with pytest.raises(DataError, match="expected maps"):
        guided_filter(given, image)


@pytest.mark.parametrize("settings", [{"radius": 0}, {"subsample": 0}, {"epsilon": 0.0}])
def test_senseless_settings_are_told(settings):
    with pytest.raises(ConfigError, match="guided-filter: expected"):
        GuidedFilter(**settings)
