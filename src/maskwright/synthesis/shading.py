"""The light that comes along each ray: what its surface looks like. Linear RGB, float32.

Shapes: N rays, G of them on the ground, S on solids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.synthesis.ground import ground_light, shade_ground
from maskwright.synthesis.looks import linear
from maskwright.synthesis.scene import PitchScene
from maskwright.synthesis.shadows import ShadowMap, draw_shadows
from maskwright.synthesis.solids import Solid, normals
from maskwright.synthesis.stage import BOARD, FIRST_SOLID, LID, WALL, along_wall
from maskwright.synthesis.textures import sample_picture, sample_tile
from maskwright.synthesis.trace import Hits

_LINEAR = linear(np.arange(256) / np.float32(255))
_PATTERNS = ("plain", "patches", "bands", "speckle")
_GOLDEN = (1 + 5**0.5) / 2
_PATCHES = np.array(
    [p for a in (-1, 1) for b in (-_GOLDEN, _GOLDEN) for p in ((0, a, b), (a, b, 0), (b, 0, a))]
) / np.hypot(1, _GOLDEN)
"""The 12 corners of an icosahedron: middles of a football's black patches."""


@dataclass(frozen=True, slots=True, eq=False)
class SolidTable:
    """The solids of a scene side by side, for whole-array look-up; P solids."""

    centre_P3: np.ndarray
    inverse_P33: np.ndarray
    taper_P: np.ndarray
    bulge_P: np.ndarray
    box_P: np.ndarray
    colour_P3: np.ndarray
    second_P3: np.ndarray
    pattern_P: np.ndarray
    gloss_P: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Shader:
    """A scene with what is prepared once for all of its rays."""

    scene: PitchScene
    solids: SolidTable
    shadows: ShadowMap


def prepare(scene: PitchScene) -> Shader:
    """Gather the solids and draw the shadows."""
    x, y, _ = scene.camera.position
    ahead = np.array([np.cos(scene.camera.yaw), np.sin(scene.camera.yaw)]) * 6.0
    shadows = draw_shadows(scene.bodies, scene.light, np.array([x, y]) + ahead)
    return Shader(scene, _table([solid for b in scene.bodies for solid in b.solids]), shadows)


def shade(
    shader: Shader, origin: np.ndarray, directions_N3: np.ndarray, hits: Hits, pixel: float
) -> np.ndarray:
    """Light [N, 3] along the rays.

    Args:
        shader: of the scene.
        origin: [3] of the rays.
        directions_N3: unit.
        hits: what they meet.
        pixel: angle between neighbouring rays in radians; what is finer is averaged.
    """
    light_N3 = np.empty((len(directions_N3), 3), np.float32)
    _shade_surroundings(shader.scene, origin, directions_N3, hits, light_N3)
    scene = shader.scene
    light_N3[hits.ground_N] = shade_ground(scene, shader.shadows, directions_N3, hits, pixel)
    on_N = np.flatnonzero(hits.surface_N >= FIRST_SOLID)
    if len(on_N):
        distance_S1 = hits.distance_N[on_N, None]
        points_S3 = origin + distance_S1 * directions_N3[on_N]
        number_S = hits.surface_N[on_N] - FIRST_SOLID
        light_N3[on_N] = _shade_solids(shader, points_S3, directions_N3[on_N], number_S)
    return light_N3


def _shade_surroundings(
    scene: PitchScene,
    origin: np.ndarray,
    directions_N3: np.ndarray,
    hits: Hits,
    light_N3: np.ndarray,
) -> None:
    stage, backdrop = scene.stage, scene.backdrop
    for surface, half, height, picture in (
        (BOARD, stage.boards, stage.board_height, backdrop.boards),
        (WALL, stage.walls, stage.wall_height, backdrop.walls),
    ):
        on_N = np.flatnonzero(hits.surface_N == surface)
        if len(on_N):
            points_S3 = origin + hits.distance_N[on_N, None] * directions_N3[on_N]
            u_S = 1 - along_wall(half, points_S3[:, 0], points_S3[:, 1])
            colour_S3 = sample_picture(picture, u_S, 1 - points_S3[:, 2] / height)
            light_N3[on_N] = _LINEAR[colour_S3]
    on_N = np.flatnonzero(hits.surface_N == LID)
    if not len(on_N):
        return
    rays_S3 = directions_N3[on_N]
    if stage.outdoor:
        heading_S = np.arctan2(rays_S3[:, 1], rays_S3[:, 0]) / (2 * np.pi) + 0.5
        colour_S3 = sample_picture(backdrop.lid, heading_S, 1 - np.arcsin(rays_S3[:, 2]) / 1.5708)
        light_N3[on_N] = _LINEAR[colour_S3] * np.float32(scene.light.glow)
        return
    points_S3 = origin + hits.distance_N[on_N, None] * rays_S3
    u_S, v_S = (points_S3[:, a] / (2 * stage.walls[a]) + 0.5 for a in (0, 1))
    colour_S3 = _LINEAR[sample_picture(backdrop.lid, u_S, v_S)]
    lamp_S1 = np.clip(colour_S3[:, :1] - 0.5, 0, None)
    light_N3[on_N] = colour_S3 * (1 + 2 * (np.float32(scene.light.glow) - 1) * lamp_S1)


def _shade_solids(
    shader: Shader, points_S3: np.ndarray, rays_S3: np.ndarray, number_S: np.ndarray
) -> np.ndarray:
    solids, light = shader.solids, shader.scene.light
    inverse_S33 = solids.inverse_P33[number_S]
    offset_S3 = points_S3 - solids.centre_P3[number_S]
    local_S3 = np.einsum("sij,sj->si", inverse_S33, offset_S3)
    out_S3 = normals(
        solids.bulge_P[number_S], solids.taper_P[number_S], solids.box_P[number_S], local_S3
    )
    normal_S3 = np.einsum("sji,sj->si", inverse_S33, out_S3)
    normal_S3 /= np.maximum(np.linalg.norm(normal_S3, axis=1, keepdims=True), 1e-12)
    albedo_S3 = _painted(shader, local_S3, number_S)
    height_S = points_S3[:, 2]
    sky_S = 0.5 + 0.5 * normal_S3[:, 2]
    even_S = light.even * (0.35 + 0.65 * sky_S) * np.clip(0.45 + 2.0 * height_S, 0, 1)
    light_S3 = even_S[:, None] + np.outer(
        0.25 * (1 - sky_S) * np.clip(1 - height_S, 0.1, 1), linear(shader.scene.turf.colour)
    )
    shine_S = np.zeros(len(height_S))
    mirror_S3 = rays_S3 - 2 * (rays_S3 * normal_S3).sum(1, keepdims=True) * normal_S3
    for lamp in light.lamps:
        toward = np.array(lamp.toward)
        light_S3 += (1.4 * lamp.share * np.clip(normal_S3 @ toward, 0, None))[:, None]
        shine_S += lamp.share * np.clip(mirror_S3 @ toward, 0, 1) ** 24
    shine_S *= 3 * solids.gloss_P[number_S]
    level_S = ground_light(light, points_S3[:, 0], points_S3[:, 1])
    return ((albedo_S3 * light_S3 + shine_S[:, None]) * level_S[:, None]).astype(np.float32)


def _painted(shader: Shader, local_S3: np.ndarray, number_S: np.ndarray) -> np.ndarray:
    """Colour of each solid at points in its own axes."""
    solids, tile = shader.solids, shader.scene.turf.fine
    pattern_S = solids.pattern_P[number_S]
    second_S = np.zeros(len(number_S), bool)
    for kind in np.unique(pattern_S):
        on_S = np.flatnonzero(pattern_S == kind)
        local = local_S3[on_S]
        if _PATTERNS[kind] == "patches":
            second_S[on_S] = (local @ _PATCHES.T).max(1) > 0.925
        elif _PATTERNS[kind] == "bands":
            second_S[on_S] = np.mod(local[:, 2] * 1.5 + 0.25, 1) < 0.5
        elif _PATTERNS[kind] == "speckle":
            second_S[on_S] = sample_tile(tile, local[:, 0] + local[:, 2], local[:, 1], 6.0) > 0.8
    return np.where(second_S[:, None], solids.second_P3[number_S], solids.colour_P3[number_S])


def _table(solids: list[Solid]) -> SolidTable:
    paints = [solid.paint for solid in solids]
    return SolidTable(
        centre_P3=np.array([solid.centre for solid in solids]),
        inverse_P33=np.linalg.inv(np.array([solid.axes for solid in solids])),
        taper_P=np.array([solid.taper for solid in solids]),
        bulge_P=np.array([solid.bulge for solid in solids]),
        box_P=np.array([solid.kind == "box" for solid in solids]),
        colour_P3=linear(np.array([paint.colour for paint in paints])),
        second_P3=linear(np.array([paint.second for paint in paints])),
        pattern_P=np.array([_PATTERNS.index(paint.pattern) for paint in paints]),
        gloss_P=np.array([paint.gloss for paint in paints]),
    )
