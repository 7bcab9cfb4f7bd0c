"""How a scene moves: the camera sways, robots wander, the ball rolls. Smooth, and never colliding.

Every coordinate follows amplitude * (sin(rate * t + phase) - sin(phase)): 0 at time 0, so that a
sequence starts with the still scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from maskwright.synthesis.bodies import Body
from maskwright.synthesis.camera import Camera

SWAY = 0.1
"""Most amplitude of the camera's way in x and y, in metres."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A smooth path of one coordinate through 0 at time 0; rate in radians a second."""

    amplitude: float
    rate: float
    phase: float

    def at(self, time: float) -> float:
        """Its value after `time` seconds."""
        return self.amplitude * (math.sin(self.rate * time + self.phase) - math.sin(self.phase))


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """The paths of a scene.

    Attributes:
        position: of the camera's x, y, z in metres.
        angles: of its yaw, pitch and roll in radians.
        bodies: track id -> paths in x and y of what moves.
    """

    position: tuple[Wave, Wave, Wave]
    angles: tuple[Wave, Wave, Wave]
    bodies: dict[int, tuple[Wave, Wave]]

    def move_camera(self, camera: Camera, time: float) -> Camera:
        """The camera after `time` seconds."""
        x, y, z = (p + wave.at(time) for p, wave in zip(camera.position, self.position))
        yaw, pitch, roll = (wave.at(time) for wave in self.angles)
        return replace(
            camera,
            position=(x, y, z),
            yaw=camera.yaw + yaw,
            pitch=camera.pitch + pitch,
            roll=camera.roll + roll,
        )

    def move_body(self, body: Body, time: float) -> Body:
        """The body after `time` seconds; a ball rolls."""
        if body.track_id not in self.bodies:
            return body
        dx, dy = (wave.at(time) for wave in self.bodies[body.track_id])
        if body.class_name == "ball":
            return body.rolled(dx, dy, body.radius)
        return body.placed(dx, dy, 0.0)


def draw_motion(rng: np.random.Generator, bodies: tuple[Body, ...], camera: Camera) -> Motion:
    """Paths for the camera, the balls and the robots; goals, people and clutter stand still.

    Nothing moves farther than half the gap to what stands nearest.
    """
    paths = {}
    for body in bodies:
        if body.class_name in ("ball", "robot"):
            reach = min(0.45 if body.class_name == "ball" else 0.2, _room(body, bodies, camera))
            paths[body.track_id] = (_wave(rng, reach, 1.2), _wave(rng, reach, 1.2))
    return Motion(
        position=(_wave(rng, SWAY, 0.8), _wave(rng, SWAY, 0.8), _wave(rng, 0.02, 6)),
        angles=(_wave(rng, 0.35, 0.9), _wave(rng, 0.04, 1.5), _wave(rng, 0.02, 2.5)),
        bodies=paths,
    )


def _room(body: Body, bodies: tuple[Body, ...], camera: Camera) -> float:
    """The amplitude in x and y that keeps a body within half the gap to its neighbours.

    A wave goes up to twice its amplitude, along x and y at once: 2 * sqrt(2) times it.
    """
    x, y = body.spot
    gaps = [math.dist(o.spot, body.spot) - o.radius for o in bodies if o is not body]
    eye = math.hypot(camera.position[0] - x, camera.position[1] - y) - 2 * math.sqrt(8) * SWAY
    return max(0.0, min([eye, *gaps]) - body.radius) / (2 * math.sqrt(8))


def _wave(rng: np.random.Generator, amplitude: float, rate: float) -> Wave:
    strength = amplitude * rng.uniform(0.3, 1)
    return Wave(strength, rate * rng.uniform(0.6, 1.4), rng.uniform(0, math.tau))
