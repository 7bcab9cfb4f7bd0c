"""A scene: a field, what stands on it and around it, and the camera, all drawn from a seed.

Nothing here knows the image's size: the same seed is the same scene at any size. Each concern
has its own stream of randomness, so that a change in one leaves the others as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.synthesis.bodies import Body
from maskwright.synthesis.camera import Camera
from maskwright.synthesis.layout import draw_bodies, draw_camera
from maskwright.synthesis.looks import (
    Backdrop,
    Lens,
    Light,
    Turf,
    draw_backdrop,
    draw_lens,
    draw_light,
    draw_turf,
)
from maskwright.synthesis.markings import FIELDS, FieldSize, Markings, field_markings
from maskwright.synthesis.motion import Motion, draw_motion
from maskwright.synthesis.stage import Stage

_SINGLE: Mapping[str, tuple[float, float]] = {
    "ball": (0, 1),
    "outdoor": (0, 1),
    "fisheye": (0, 1),
    "severity": (0, 3),
    "people": (0, 20),
    "clutter": (0, 20),
}
_RANGES: Mapping[str, tuple[float, float]] = {
    "robots": (0, 30),
    "camera_height": (0.1, 2.0),
    "view": (20, 140),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PitchConfig:
    """What scenes may hold.

    Attributes:
        fields: keys of `markings.FIELDS` to draw from.
        robots: least and most robots.
        ball: probability that there is a ball.
        people: most people standing about (class background).
        clutter: most things standing beside the field (class background).
        outdoor: probability of an outdoor scene.
        camera_height: metres, least and most.
        view: least and most angle between the image's opposite corners, in degrees.
        fisheye: probability of a lens that bends straight lines.
        severity: of blur, noise and compression: 0 none, 1 usual.

    Raises:
        ConfigError: a value is out of its range.
    """

    fields: tuple[str, ...] = tuple(FIELDS)
    robots: tuple[int, int] = (0, 6)
    ball: float = 0.92
    people: int = 2
    clutter: int = 4
    outdoor: float = 0.45
    camera_height: tuple[float, float] = (0.35, 1.3)
    view: tuple[float, float] = (62.0, 118.0)
    fisheye: float = 0.55
    severity: float = 1.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.fields if name not in FIELDS]
        if unknown or not self.fields:
            raise ConfigError(f"expected fields among {', '.join(FIELDS)}, got {self.fields}.")
        for name, (low, high) in _SINGLE.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"expected {name} in {low}..{high}, got {value}.")
        for name, (low, high) in _RANGES.items():
            least, most = getattr(self, name)
            if not low <= least <= most <= high:
                raise ConfigError(
                    f"expected {name} as (least, most) in {low}..{high}, got {(least, most)}."
                )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PitchScene:
    """All that can be seen, ready to be rendered at any size.

    Attributes:
        seed: it was drawn from.
        time: seconds since the start of its sequence.
        field, markings: the field and its paint.
        stage: carpet, boards and walls.
        bodies: on the field; solids are numbered through them in order.
        camera: that sees it.
        turf, light, backdrop, lens: its looks.
        motion: how it moves on.
    """

    seed: int
    time: float
    field: FieldSize
    markings: Markings
    stage: Stage
    bodies: tuple[Body, ...]
    camera: Camera
    turf: Turf
    light: Light
    backdrop: Backdrop
    lens: Lens
    motion: Motion

    def at(self, time: float) -> PitchScene:
        """The scene `time` seconds after its start; only to be asked of the scene at time 0."""
        bodies = tuple(self.motion.move_body(body, time) for body in self.bodies)
        camera = self.motion.move_camera(self.camera, time)
        return replace(self, time=time, bodies=bodies, camera=camera)


def draw_scene(seed: int, config: PitchConfig | None = None) -> PitchScene:
    """Draw the scene of a seed.

    Args:
        seed: any integer >= 0.
        config: what it may hold.

    Raises:
        ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"expected a seed >= 0, got {seed}.")
    config = config or PitchConfig()
    place, look, things, view, moves = (np.random.default_rng([seed, k]) for k in range(5))
    outdoor = bool(place.random() < config.outdoor)
    field = _draw_field(place, config)
    stage = _draw_stage(place, field, outdoor)
    camera = draw_camera(view, field, config.camera_height, config.view, config.fisheye)
    bodies = draw_bodies(
        things, field, stage, camera, config.robots, config.ball, config.people, config.clutter
    )
    return PitchScene(
        seed=seed,
        time=0.0,
        field=field,
        markings=field_markings(field),
        stage=stage,
        bodies=bodies,
        camera=camera,
        turf=draw_turf(look, outdoor),
        light=draw_light(look, outdoor),
        backdrop=draw_backdrop(look, outdoor),
        lens=draw_lens(look, outdoor, config.severity),
        motion=draw_motion(moves, bodies, camera),
    )


def _draw_field(rng: np.random.Generator, config: PitchConfig) -> FieldSize:
    field = FIELDS[config.fields[rng.integers(len(config.fields))]]
    stretched = field.scaled(rng.uniform(0.9, 1.1))
    return stretched.with_line_width(
        min(0.12, max(0.05, field.line_width * rng.uniform(0.85, 1.3)))
    )


def _draw_stage(rng: np.random.Generator, field: FieldSize, outdoor: bool) -> Stage:
    carpet = (field.length / 2 + field.border, field.width / 2 + field.border)
    gap = max(field.goal[2] - field.border, 0) + 0.1 + rng.uniform(0.0, 2.5)
    boards = (carpet[0] + gap, carpet[1] + gap)
    room = rng.uniform(1.5, 8) + 4 * outdoor
    return Stage(
        carpet=carpet,
        boards=boards,
        board_height=rng.uniform(0.2, 0.9) if rng.random() < 0.6 else 0.0,
        walls=(boards[0] + room, boards[1] + room * rng.uniform(0.7, 1.4)),
        wall_height=rng.uniform(3, 7) * math.sqrt(1 + outdoor),
        outdoor=outdoor,
    )
