"""Mean field against one that is written out, and what must hold whatever the image."""

from __future__ import annotations

import exact
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import message, picture

from maskwright.core.errors import ConfigError, DataError
from maskwright.refine import DenseCRF, dense_crf
from maskwright.refine.kernels import AppearanceKernel, SmoothnessKernel

SIZE = (18, 22)
PLAIN = DenseCRF(
    appearance_weight=5.0, appearance_width=12.0, colour_width=14.0, smooth_weight=2.0,
    smooth_width=2.0, iterations=4, cell=0.0, blur=True, floor=0.0,
)  # fmt: skip


def changed(**changes):
    from dataclasses import replace

    return replace(PLAIN, **changes)


def beliefs(classes, size=SIZE, seed=0):
    found = np.random.default_rng(seed).random((classes, *size)) ** 3 + 1e-3
    return (found / found.sum(axis=0)).astype(np.float32)


def matrices(image, crf):
    """(weight, matrix) of each kernel, read off one pixel after the other."""
    each = np.eye(image.shape[0] * image.shape[1], dtype=np.float32)
    appearance = AppearanceKernel(
        image, crf.appearance_width, crf.colour_width, cell=crf.cell, blur=crf.blur
    )
    smoothness = SmoothnessKernel(image.shape[:2], crf.smooth_width)
    return [
        (crf.appearance_weight, message(appearance, each)),
        (crf.smooth_weight, message(smoothness, each)),
    ]


@pytest.mark.parametrize("cell", [0.0, 0.5])
@pytest.mark.parametrize("blur", [True, False])
@pytest.mark.parametrize("classes", [2, 5])
def test_mean_field_is_the_papers(cell, blur, classes):
    image, unary, crf = picture(*SIZE), beliefs(classes), changed(cell=cell, blur=blur)
    expected = exact.mean_field(unary, matrices(image, crf), crf.iterations)
    assert np.abs(dense_crf(unary, image, crf) - expected).max() < 1e-5


def test_mean_field_with_penalties_is_the_papers():
    penalties = np.random.default_rng(4).random((4, 4))
    image, unary = picture(*SIZE), beliefs(4)
    crf = changed(compatibility=tuple(map(tuple, penalties.tolist())))
    expected = exact.mean_field(unary, matrices(image, crf), crf.iterations, penalties)
    assert np.abs(dense_crf(unary, image, crf) - expected).max() < 1e-5


def test_penalties_of_one_are_the_potts_model():
    potts = changed(compatibility=tuple(map(tuple, (1 - np.eye(3)).tolist())))
    image, unary = picture(*SIZE), beliefs(3)
    np.testing.assert_allclose(dense_crf(unary, image, potts), dense_crf(unary, image, PLAIN),
                               atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("blur", [True, False])
def test_mean_field_is_near_that_of_exact_gaussians(blur):
    """The lattice's error, seen in marginals: the same classes but for ties."""
    image, unary = picture(*SIZE, noise=3.0), beliefs(3)
    crf = changed(blur=blur)
    kernels = [
        (5.0, exact.normalised(exact.gaussian_matrix(exact.features(image, 12.0, 14.0)))),
        (2.0, exact.normalised(exact.gaussian_matrix(exact.features(image, 2.0)))),
    ]
    expected = exact.mean_field(unary, kernels, crf.iterations)
    found = dense_crf(unary, image, crf)
    assert np.abs(found - expected).mean() < (0.015 if blur else 0.03)
    assert (found.argmax(axis=0) == expected.argmax(axis=0)).mean() > (0.97 if blur else 0.94)


@given(st.integers(2, 6), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=15, deadline=None)
def test_marginals_sum_to_one_and_classes_may_be_renamed(classes, seed, cell):
    image, unary = picture(*SIZE, seed=seed), beliefs(classes, seed=seed)
    crf = DenseCRF(appearance_width=8.0, cell=cell)
    found = dense_crf(unary, image, crf)
    assert found.dtype == np.float32
    assert found.shape == unary.shape
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    order = np.random.default_rng(seed).permutation(classes)
    np.testing.assert_allclose(dense_crf(unary[order], image, crf), found[order], atol=1e-5)


def test_a_constant_image_and_belief_stay_constant_far_from_the_border():
    image = np.full((60, 60, 3), 90, np.uint8)
    unary = np.broadcast_to(np.float32([0.6, 0.4])[:, None, None], (2, 60, 60))
    crf = changed(appearance_weight=0.0)
    found = dense_crf(unary, image, crf)[:, 30:32, 30:32]
    assert np.ptp(found, axis=(1, 2)).max() < 1e-6
    belief = 0.6
    for _ in range(crf.iterations):  # a pixel among its like hears its own belief
        odds = np.exp(2.0 * (2 * belief - 1)) * 0.6 / 0.4
        belief = odds / (1 + odds)
    assert found[0].mean() == pytest.approx(belief, abs=1e-5)


def test_noise_in_the_belief_gives_way_to_the_image():
    image = picture(40, 50, noise=2.0)
    truth = image[..., 0] > 140
    unary = beliefs(2, truth.shape)
    unary = np.where(np.random.default_rng(0).random(truth.shape) < 0.25, ~truth, truth)
    unary = np.where(np.stack([~unary, unary]), 0.7, 0.3)
    found = dense_crf(unary, image, changed(smooth_weight=0.0)).argmax(axis=0)
    assert (unary.argmax(axis=0) == truth).mean() < 0.8
    assert (found == truth).mean() > 0.99


def test_no_weights_leave_the_belief():
    unary = 3 * beliefs(3)
    found = dense_crf(unary, picture(*SIZE), changed(appearance_weight=0.0, smooth_weight=0.0))
    np.testing.assert_allclose(found, unary / unary.sum(axis=0), rtol=1e-6)


def test_silent_classes_change_next_to_nothing():
    image, unary = picture(*SIZE), beliefs(3)
    rare = np.random.default_rng(1).random((4, *SIZE)).astype(np.float32) * 0.004
    unary = np.concatenate([unary * (1 - rare.sum(axis=0)), rare])
    whole = dense_crf(unary, image, PLAIN)
    quick = dense_crf(unary, image, changed(floor=0.005))
    np.testing.assert_allclose(quick.sum(axis=0), 1, atol=1e-5)
    assert np.abs(quick - whole).max() < 2e-3
    assert np.array_equal(quick.argmax(axis=0), whole.argmax(axis=0))
    assert not np.array_equal(quick, whole)


def test_the_most_probable_class_is_never_silent():
    unary = np.full((200, 6, 7), 1 / 200, np.float32)
    found = dense_crf(unary, picture(6, 7), changed(floor=0.9))
    np.testing.assert_allclose(found, unary, rtol=1e-4)


def test_loud_messages_and_impossible_classes_stay_numbers():
    unary = np.zeros((3, *SIZE), np.float32)
    unary[0, :9], unary[1, 9:] = 1, 1
    for compatibility in (None, ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))):
        crf = changed(appearance_weight=1e4, smooth_weight=1e4, compatibility=compatibility)
        found = dense_crf(unary, picture(*SIZE), crf)
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("unary", "image"),
    [
        (np.ones((2, 4, 5), np.float32), np.zeros((5, 4, 3), np.uint8)),
        (np.ones((2, 4, 5), np.float32), np.zeros((4, 5, 3), np.float32)),
        (np.ones((2, 4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8)),
        (np.ones((4, 5), np.float32), np.zeros((4, 5, 3), np.uint8)),
        (np.ones((2, 0, 5), np.float32), np.zeros((0, 5, 3), np.uint8)),
        (np.zeros((2, 4, 5), np.float32), np.zeros((4, 5, 3), np.uint8)),
        (np.full((2, 4, 5), np.nan, np.float32), np.zeros((4, 5, 3), np.uint8)),
        (np.float32([-1, 3])[:, None, None] * np.ones((4, 5), np.float32),
         np.zeros((4, 5, 3), np.uint8)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(unary, image):
    with pytest.raises(DataError, match="expected probabilities"):
        dense_crf(unary, image)


@pytest.mark.parametrize(
    "settings",
    [{"appearance_width": 0.0}, {"iterations": 0}, {"smooth_weight": -1.0},
     {"floor": float("nan")}, {"colour_width": float("inf")},
     {"compatibility": ((0.0, 1.0), (1.0,))}],
)  # fmt: skip
def test_senseless_settings_are_told(settings):
    with pytest.raises(ConfigError, match="dense-crf: expected"):
        DenseCRF(**settings)


def test_penalties_of_other_classes_are_told():
    crf = DenseCRF(compatibility=((0.0, 1.0), (1.0, 0.0)))
    with pytest.raises(ConfigError, match="of 3 classes, as the probabilities have, got 2"):
        dense_crf(beliefs(3), picture(*SIZE), crf)
