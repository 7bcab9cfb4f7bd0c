"""The football-pitch generator: a seed and a size in, an image with its exact truth out.

Truth: the class of a pixel is that of the surface which the ray through the pixel's centre meets
first. It is decided in closed form (`trace`), by nothing that concerns looks; blur and motion
blur are symmetric about it, nets and worn paint do not change it. The image is antialiased:
line edges in closed form, all other edges by four more rays a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.mask import Mask
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Instance, Segmentation
from maskwright.synthesis.camera import pixel_centres
from maskwright.synthesis.lens import photograph
from maskwright.synthesis.nets import hang_nets
from maskwright.synthesis.scene import PitchConfig, PitchScene, draw_scene
from maskwright.synthesis.shading import Shader, prepare, shade
from maskwright.synthesis.stage import CARPET, FIRST_SOLID, PAINT
from maskwright.synthesis.trace import Hits, trace

PITCH_CLASSES = Classes.of(
    ("background", "field", "line", "ball", "robot", "post"),
    ((40, 40, 46), (46, 160, 67), (245, 245, 245), (255, 140, 0), (214, 51, 132), (56, 128, 255)),
    things=(3, 4, 5),
)
"""Field is the carpet; post is each upright and each crossbar; people and all else: background."""

FRAMES_PER_SECOND = 15.0
_BETWEEN = ((0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875))
"""Where in a pixel the four more rays go: a rotated grid."""


def pitch_scene(
    seed: int, size: tuple[int, int] = (240, 320), *, config: PitchConfig | None = None
) -> Sample:
    """A football pitch as a robot sees it, with its truth.

    Args:
        seed: >= 0; the same seed, size and config give the same bits, and the same seed at
            another size shows the same scene (another aspect shows more or less of it).
        size: (height, width), at least 16 x 16.
        config: what scenes may hold; the default is `PitchConfig()`.

    Returns:
        A sample in memory: image uint8 RGB [H, W, 3]; truth with classes `PITCH_CLASSES`,
        semantic uint8 [H, W], and one instance with mask and tight box for each ball, robot and
        goal bar of which a pixel is seen.

    Raises:
        ConfigError: a negative seed or a size below 16 x 16.
    """
    return render(draw_scene(seed, config), size)


def pitch_sequence(
    seed: int,
    frames: int,
    size: tuple[int, int] = (240, 320),
    *,
    config: PitchConfig | None = None,
) -> Iterator[Sample]:
    """Frames of a moving camera at 15 a second; `track_id` names the same object in all of them.

    The first frame has the truth of `pitch_scene(seed)`; camera, robots and ball move smoothly.

    Args:
        seed: as in `pitch_scene`.
        frames: how many.
        size: (height, width).
        config: what scenes may hold.
    """
    scene = draw_scene(seed, config)
    for number in range(frames):
        yield render(scene.at(number / FRAMES_PER_SECOND), size)


def render(scene: PitchScene, size: tuple[int, int]) -> Sample:
    """The image and truth of a scene at a size (height, width)."""
    if min(size) < 16:
        raise ConfigError(f"expected a size of at least 16 x 16, got {size[0]} x {size[1]}.")
    origin = np.array(scene.camera.position)
    rays_N3 = scene.camera.rays(*pixel_centres(size), size)
    hits = trace(scene.stage, scene.markings, scene.bodies, origin, rays_N3)
    truth = _truth(scene, hits.surface_N.reshape(size))
    light_HW3 = _light(prepare(scene), rays_N3, hits, size)
    frame = round(scene.time * FRAMES_PER_SECOND)
    image = photograph(light_HW3, scene.lens, np.random.default_rng([scene.seed, 5, frame]))
    return Sample(
        name=f"pitch_{scene.seed:06d}" + (f"_{frame:04d}" if frame else ""),
        image=image,
        truth_of=truth,
        tasks=frozenset({"semantic", "instances", "boxes"}),
    )


def surface_classes(scene: PitchScene) -> np.ndarray:
    """Class id of each surface number of a scene, uint8."""
    classes = [0] * FIRST_SOLID
    classes[CARPET], classes[PAINT] = 1, 2
    for body in scene.bodies:
        classes += [PITCH_CLASSES.index(body.class_name)] * len(body.solids)
    return np.array(classes, np.uint8)


def _truth(scene: PitchScene, surface_HW: np.ndarray) -> Segmentation:
    semantic_HW = surface_classes(scene)[surface_HW]
    body_of = np.full(FIRST_SOLID, -1).tolist()
    for number, body in enumerate(scene.bodies):
        body_of += [number] * len(body.solids)
    body_HW = np.array(body_of, np.int32)[surface_HW]
    instances = []
    for number in np.unique(body_HW[body_HW >= 0]).tolist():
        body = scene.bodies[number]
        class_id = PITCH_CLASSES.index(body.class_name)
        if class_id in PITCH_CLASSES.things:
            mask = Mask.encode(body_HW == number)
            instances.append(
                Instance(
                    class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask, track_id=body.track_id
                )
            )
    return Segmentation(
        size=semantic_HW.shape,
        classes=PITCH_CLASSES,
        semantic=semantic_HW,
        instances=tuple(instances),
    )


def _light(shader: Shader, rays_N3: np.ndarray, hits: Hits, size: tuple[int, int]) -> np.ndarray:
    """Light at all pixels [H, W, 3]; where surfaces meet in one, the mean over five rays."""
    camera = shader.scene.camera
    origin = np.array(camera.position)
    pixel = 1 / camera.focal_pixels(size)
    light_N3 = _see(shader, origin, rays_N3, hits, pixel)
    edge_E = np.flatnonzero(_edges(hits.surface_N.reshape(size)))
    if len(edge_E):
        row_E, column_E = np.divmod(edge_E, size[1])
        u = np.concatenate([column_E + du for du, _ in _BETWEEN])
        v = np.concatenate([row_E + dv for _, dv in _BETWEEN])
        rays = camera.rays(u, v, size)
        scene = shader.scene
        found = trace(scene.stage, scene.markings, scene.bodies, origin, rays)
        more = _see(shader, origin, rays, found, pixel / 2).reshape(len(_BETWEEN), -1, 3)
        light_N3[edge_E] = (light_N3[edge_E] + more.sum(0)) / (1 + len(_BETWEEN))
    return light_N3.reshape(*size, 3)


def _see(
    shader: Shader, origin: np.ndarray, rays_N3: np.ndarray, hits: Hits, pixel: float
) -> np.ndarray:
    light_N3 = shade(shader, origin, rays_N3, hits, pixel)
    hang_nets(shader.scene, origin, rays_N3, hits.distance_N, pixel, light_N3)
    return light_N3


def _edges(surface_HW: np.ndarray) -> np.ndarray:
    """Pixels beside one of another surface; paint counts as carpet, its edges are smooth."""
    plain_HW = np.where(surface_HW == PAINT, CARPET, surface_HW)
    edge_HW = np.zeros(plain_HW.shape, bool)
    down = plain_HW[1:] != plain_HW[:-1]
    right = plain_HW[:, 1:] != plain_HW[:, :-1]
    edge_HW[1:] |= down
    edge_HW[:-1] |= down
    edge_HW[:, 1:] |= right
    edge_HW[:, :-1] |= right
    return edge_HW
