"""What the room's filters stand for, written out: every pixel against every other, in float64."""

from __future__ import annotations

import itertools

import numpy as np


def gaussian_matrix(features_ND):
    """exp(-|fi - fj|^2 / 2), float64 [N, N]."""
    difference = features_ND[:, None].astype(np.float64) - features_ND[None]
    return np.exp(-0.5 * (difference**2).sum(axis=-1))


def normalised(matrix_NN):
    """kernel(i, j) / sqrt(total(i) total(j))."""
    total_N = matrix_NN.sum(axis=1)
    return matrix_NN / np.sqrt(total_N[:, None] * total_N[None])


def features(image_HW3, width, colour_width=None):
    """x, y (and colours), in standard deviations, [N, 2] or [N, 5]."""
    y, x = np.mgrid[: image_HW3.shape[0], : image_HW3.shape[1]]
    found = [x.ravel() / width, y.ravel() / width]
    if colour_width is not None:
        found += list(image_HW3.reshape(-1, 3).T / colour_width)
    return np.stack(found, axis=1)


def mean_field(unary_KHW, messages, iterations, compatibility=None):
    """Algorithm 1 of Kraehenbuehl and Koltun, pixel by pixel.

    Args:
        unary_KHW: probabilities.
        messages: (weight, matrix [N, N]) of each kernel.
        iterations: rounds.
        compatibility: [K, K]; Potts unless given.
    """
    classes = len(unary_KHW)
    penalty = 1 - np.eye(classes) if compatibility is None else np.asarray(compatibility)
    energy_NK = -np.log(unary_KHW.reshape(classes, -1).T.astype(np.float64))
    q_NK = np.exp(-energy_NK)
    q_NK /= q_NK.sum(axis=1, keepdims=True)
    for _ in range(iterations):
        heard_NK = sum(weight * (matrix @ q_NK) for weight, matrix in messages)
        logits_NK = -energy_NK - heard_NK @ penalty.T
        q_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        q_NK /= q_NK.sum(axis=1, keepdims=True)
    return q_NK.T.reshape(unary_KHW.shape)


def lattice_filter(features_ND, values_NK, blur=True):
    """The permutohedral lattice with corners as tuples in a dict, one point after the other."""
    dimensions = features_ND.shape[1]
    corners = dimensions + 1
    found = [
        simplex(elevated(feature, np.sqrt(2 / 3 if blur else 1 / 6) * corners))
        for feature in features_ND.astype(np.float64)
    ]
    lattice = {}
    for (keys, weights), value in zip(found, values_NK.astype(np.float64)):
        for key, weight in zip(keys, weights):
            lattice[key] = lattice.get(key, 0) + weight * value
    for axis in range(corners if blur else 0):
        step = np.ones(corners, int)
        step[axis] -= corners
        lattice = {
            key: value / 2
            + sum(lattice.get(tuple(np.add(key, sign * step)), 0) for sign in (-1, 1)) / 4
            for key, value in lattice.items()
        }
    return np.array(
        [sum(w * lattice[key] for key, w in zip(keys, weights)) for keys, weights in found]
    )


def elevated(feature_D, scale):
    """Onto the plane, by the matrix of section 3.1 of Adams, Baek and Davis."""
    dimensions = len(feature_D)
    place = np.zeros(dimensions + 1)
    for axis, value in enumerate(feature_D, start=1):
        basis = np.zeros(dimensions + 1)
        basis[:axis], basis[axis] = 1, -axis
        place += value * scale / np.sqrt(axis * (axis + 1)) * basis
    return place


def simplex(place_C):
    """The corners of the simplex that holds a point, and the point's weights: found by search.

    Of all lattice points of remainder 0 nearby, the nearest is the origin; its corners follow from
    the order of the offsets.
    """
    corners = len(place_C)
    low = np.floor(place_C / corners).astype(int)
    candidates = [
        corners * (low + np.array(up))
        for up in itertools.product((0, 1), repeat=corners)
        if (low + np.array(up)).sum() == 0
    ]
    origin = min(candidates, key=lambda each: ((place_C - each) ** 2).sum())
    order = np.argsort(-(place_C - origin), kind="stable")
    keys = []
    for remainder in range(corners):
        corner = origin + remainder
        corner[order[corners - remainder :]] -= corners
        keys.append(tuple(int(each) for each in corner))
    system = np.vstack([np.array(keys, float).T, np.ones(corners)])
    weights = np.linalg.lstsq(system, np.append(place_C, 1.0), rcond=None)[0]
    return keys, weights


def guided(maps_KHW, image_HWC, radius, epsilon):
    """Equations 14 to 16 of He, Sun and Tang, window by window; the image in 0..1."""
    height, width = image_HWC.shape[:2]
    guide = image_HWC.reshape(height, width, -1).astype(np.float64) / 255
    channels = guide.shape[2]
    slopes = np.zeros((len(maps_KHW), height, width, channels))
    offsets = np.zeros((len(maps_KHW), height, width))
    windows = {
        (y, x): (
            slice(max(0, y - radius), y + radius + 1),
            slice(max(0, x - radius), x + radius + 1),
        )
        for y in range(height)
        for x in range(width)
    }
    for (y, x), window in windows.items():
        colours = guide[window].reshape(-1, channels)
        lifted = np.cov(colours.T, bias=True).reshape(channels, channels)
        lifted = lifted + epsilon * np.eye(channels)
        for k, map_HW in enumerate(maps_KHW.astype(np.float64)):
            values = map_HW[window].ravel()
            together = (colours * values[:, None]).mean(axis=0)
            together = together - colours.mean(axis=0) * values.mean()
            slopes[k, y, x] = np.linalg.solve(lifted, together)
            offsets[k, y, x] = values.mean() - slopes[k, y, x] @ colours.mean(axis=0)
    found = np.zeros(maps_KHW.shape)
    for (y, x), window in windows.items():
        slope = slopes[(slice(None), *window)].mean(axis=(1, 2))
        found[:, y, x] = slope @ guide[y, x] + offsets[(slice(None), *window)].mean(axis=(1, 2))
    return found
