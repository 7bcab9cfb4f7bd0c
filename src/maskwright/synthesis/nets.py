"""The goals' nets, suggested: they brighten what is behind them and never change the truth."""

from __future__ import annotations

import numpy as np

from maskwright.synthesis.looks import linear
from maskwright.synthesis.scene import PitchScene
from maskwright.synthesis.trace import toward

MESH, THREAD = 0.12, 0.012
"""Metres between threads, and their width."""


def hang_nets(
    scene: PitchScene,
    origin: np.ndarray,
    directions_N3: np.ndarray,
    distance_N: np.ndarray,
    pixel: float,
    light_N3: np.ndarray,
) -> None:
    """Blend the back and side nets of both goals into the light [N, 3], in place."""
    strength = scene.backdrop.net
    if not strength:
        return
    width, height, depth = scene.field.goal
    thread = linear((0.9, 0.9, 0.9)) * np.float32(0.8)
    for end in (-1, 1):
        front, back = end * scene.field.length / 2, end * (scene.field.length / 2 + depth)
        low, high = min(front, back), max(front, back)
        middle = np.array([(front + back) / 2, 0, height / 2])
        reach = np.linalg.norm([depth / 2, width / 2, height / 2])
        near_S = np.flatnonzero(toward(middle, float(reach), origin, directions_N3))
        for axis, place in ((0, back), (1, -width / 2), (1, width / 2)):
            rays_S3 = directions_N3[near_S]
            with np.errstate(divide="ignore", invalid="ignore"):
                t_S = (place - origin[axis]) / rays_S3[:, axis]
                other_S = origin[1 - axis] + t_S * rays_S3[:, 1 - axis]
                z_S = origin[2] + t_S * rays_S3[:, 2]
            first, last = (-width / 2, width / 2) if axis == 0 else (low, high)
            through_S = (t_S > 0) & (t_S < distance_N[near_S]) & (z_S > 0) & (z_S < height)
            through_S &= (other_S > first) & (other_S < last)
            on = near_S[through_S]
            share = _threads(other_S[through_S], z_S[through_S], t_S[through_S] * pixel)
            share = (strength * share)[:, None].astype(np.float32)
            light_N3[on] += share * (thread - light_N3[on])


def _threads(across_S: np.ndarray, up_S: np.ndarray, footprint_S: np.ndarray) -> np.ndarray:
    """Share of the view that threads cover, averaged over the pixel's footprint."""
    wide_S = np.maximum(THREAD, footprint_S)
    clear_S = np.ones(len(across_S))
    for place_S in (across_S + up_S, across_S - up_S):
        off_S = np.abs(np.mod(place_S / MESH, 1) - 0.5) * MESH
        seen_S = np.clip((wide_S - off_S) / wide_S, 0, 1) * THREAD / wide_S
        clear_S *= 1 - np.minimum(1, np.maximum(seen_S, 0)) ** 0.5
    return 1 - clear_S
