"""The light that comes from the ground: grass, paint, floor. Linear RGB, float32.

Shapes: N rays, G of them end on the ground.
"""

from __future__ import annotations

import numpy as np

from maskwright.synthesis.looks import Light, Turf, linear
from maskwright.synthesis.scene import PitchScene
from maskwright.synthesis.shadows import ShadowMap
from maskwright.synthesis.textures import sample_tile
from maskwright.synthesis.trace import Hits


def shade_ground(
    scene: PitchScene, shadows: ShadowMap, directions_N3: np.ndarray, hits: Hits, pixel: float
) -> np.ndarray:
    """Light [G, 3] from the carpet, its paint and the floor beyond; arguments as in `shade`."""
    turf = scene.turf
    rays_G3, away_G = directions_N3[hits.ground_N], hits.distance_N[hits.ground_N]
    rays_G3 = np.asarray(rays_G3, np.float32, order="F")
    x_G, y_G = np.ascontiguousarray(hits.ground_xy_G2.T, np.float32)
    across_G = (away_G * pixel).astype(np.float32)
    along_G = across_G / np.maximum(-rays_G3[:, 2], np.float32(1e-6))
    carpet = scene.stage.carpet
    on_carpet_G = (np.abs(x_G) <= carpet[0]) & (np.abs(y_G) <= carpet[1])
    large_G = sample_tile(turf.coarse, x_G, y_G, 16.0)
    fine_G = sample_tile(turf.fine, x_G, y_G, 1.7)
    fine_G = fine_G / (1 + along_G / np.float32(0.02))
    albedo_G3 = _turf_colour(turf, x_G, y_G, large_G, along_G)
    albedo_G3[~on_carpet_G] = linear(turf.floor)
    cover_G = _paint_cover(scene, hits, rays_G3, across_G, along_G) * on_carpet_G
    worn_G = np.clip(0.55 + 0.45 * fine_G + 0.6 * large_G, 0, 1)
    cover_G = cover_G * (1 - np.float32(turf.wear) * worn_G)
    cover_G = np.where(on_carpet_G, cover_G, _floor_line(turf, carpet, x_G, y_G))
    albedo_G3 += (linear(turf.line) - albedo_G3) * cover_G[:, None].astype(np.float32)
    grain_G = np.float32(turf.grain) * fine_G + 0.04 * large_G
    light_G = ground_light(scene.light, x_G, y_G) * shadows.at(hits.ground_xy_G2)
    return albedo_G3 * ((1 + grain_G * (1 - 0.6 * cover_G)) * light_G)[:, None].astype(np.float32)


def _turf_colour(
    turf: Turf, x_G: np.ndarray, y_G: np.ndarray, large_G: np.ndarray, along_G: np.ndarray
) -> np.ndarray:
    spots_G = np.clip(np.float32(turf.mottle) * (0.5 + 0.6 * large_G), 0, 1)[:, None]
    colour_G3 = linear(turf.colour) * (1 - spots_G) + linear(turf.dry) * spots_G
    if turf.stripe:
        place_G = (y_G if turf.stripes_along_x else x_G) / turf.stripe_width
        soft_G = np.maximum(0.04, along_G / turf.stripe_width)
        wave_G = np.clip(np.sin(place_G * np.pi) / (np.pi * soft_G), -1, 1)
        colour_G3 *= (1 + turf.stripe * wave_G / (1 + soft_G)).astype(np.float32)[:, None]
    return colour_G3


def _paint_cover(
    scene: PitchScene,
    hits: Hits,
    rays_G3: np.ndarray,
    across_G: np.ndarray,
    along_G: np.ndarray,
) -> np.ndarray:
    """Share of each pixel's footprint that the lines cover, 0..1.

    A pixel sees an ellipse of the ground, `along` by `across` metres about the ray's heading; the
    lines' edges are averaged over its width square to them, so that far, thin lines fade.
    """
    heading_G = np.maximum(np.hypot(rays_G3[:, 0], rays_G3[:, 1]), np.float32(1e-9))
    cos_G, sin_G = rays_G3[:, 0] / heading_G, rays_G3[:, 1] / heading_G
    x_G, y_G = np.ascontiguousarray(hits.ground_xy_G2.T, np.float32)
    out_G = np.maximum(np.hypot(x_G, y_G), np.float32(1e-9))
    paint_3G = hits.paint_3G.astype(np.float32)
    turned_G = (cos_G * x_G + sin_G * y_G) / out_G
    cover_G = np.zeros(len(x_G), np.float32)
    for cosine_G, family in ((cos_G, 0), (sin_G, 1), (turned_G, 2)):
        part_G = cosine_G * cosine_G
        width_G = np.sqrt(along_G * along_G * part_G + across_G * across_G * (1 - part_G))
        width_G = np.maximum(width_G, np.float32(1e-6))
        whole_G = np.minimum(np.float32(1), np.float32(2 * scene.markings.half) / width_G)
        share_G = np.maximum(np.minimum(0.5 - paint_3G[family] / width_G, whole_G), 0)
        np.maximum(cover_G, share_G, out=cover_G)
    return cover_G


def _floor_line(
    turf: Turf, carpet: tuple[float, float], x_G: np.ndarray, y_G: np.ndarray
) -> np.ndarray:
    """Lines of another sport on the floor around the carpet: white, and no field lines."""
    if not turf.floor_line:
        return np.zeros(len(x_G))
    beyond_G = np.maximum(np.abs(x_G) - carpet[0], np.abs(y_G) - carpet[1])
    return (np.abs(beyond_G - turf.floor_line) < 0.04) * 0.9


def ground_light(light: Light, x_G: np.ndarray, y_G: np.ndarray) -> np.ndarray:
    """How much light reaches places [G] in metres, about 1, shadows aside."""
    level_G = 1 + np.tanh(light.slope[0] * x_G + light.slope[1] * y_G)
    if light.pools:
        turn = 2 * np.pi / light.pool_metres
        level_G *= 1 + light.pools * 0.5 * (np.cos(turn * x_G) + np.cos(turn * y_G))
    return level_G
