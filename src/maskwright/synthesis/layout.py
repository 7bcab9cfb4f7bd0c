"""Where the camera stands and looks, and where the bodies are put so that they are often seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from maskwright.synthesis.bodies import TEAM_COLOURS, WHITE, Body, ball, goal_frame
from maskwright.synthesis.bystanders import clutter, person
from maskwright.synthesis.camera import Camera
from maskwright.synthesis.markings import FieldSize
from maskwright.synthesis.robots import ROBOTS
from maskwright.synthesis.stage import Stage

FRAME = (240, 320)
"""(height, width) of the frame that "seen" is judged in; only its proportions matter."""
CLEARANCE = 0.7
"""Metres that bodies keep from the camera, so that it can sway."""


def draw_camera(
    rng: np.random.Generator,
    field: FieldSize,
    height: tuple[float, float],
    view: tuple[float, float],
    fisheye: float,
) -> Camera:
    """A camera on the field that looks at something worth seeing, slightly down."""
    half_view = math.radians(rng.uniform(*view)) / 2
    bend = rng.uniform(0.35, 0.95) if rng.random() < fisheye else 1.0
    if bend == 1.0:
        half_view = min(half_view, math.radians(52))
    focal = 0.5 * bend / math.tan(bend * half_view)
    x = rng.uniform(-0.5, 0.5) * (field.length - 2 * CLEARANCE)
    y = rng.uniform(-0.5, 0.5) * field.width
    aim_x, aim_y = _aim(rng, field)
    if math.hypot(aim_x - x, aim_y - y) < 1.5:
        aim_x, aim_y = -x, -y
    steep = rng.random() < 0.08
    return Camera(
        position=(float(x), float(y), rng.uniform(*height)),
        yaw=math.atan2(aim_y - y, aim_x - x) + rng.normal(0, 0.25) * half_view,
        pitch=half_view * (rng.uniform(0.55, 0.9) if steep else rng.uniform(0.04, 0.5)),
        roll=rng.normal(0, 0.03) * (3 if rng.random() < 0.15 else 1),
        focal=focal,
        bend=bend,
    )


def draw_bodies(
    rng: np.random.Generator,
    field: FieldSize,
    stage: Stage,
    camera: Camera,
    robots: tuple[int, int],
    ball_chance: float,
    most_people: int,
    most_clutter: int,
) -> tuple[Body, ...]:
    """Goals, ball, robots, people and clutter, numbered through as tracks."""
    placed = _goals(rng, field)
    if rng.random() < ball_chance:
        carpet = (stage.carpet[0] - 0.3, stage.carpet[1] - 0.3)
        _put(rng, placed, ball(rng), camera, (0.7, 6.5), carpet)
    teams = [TEAM_COLOURS[k] for k in rng.choice(len(TEAM_COLOURS), 2, replace=False)]
    kinds = [str(rng.choice(list(ROBOTS), p=(0.4, 0.3, 0.2, 0.1))) for _ in range(2)]
    kinds[1] = kinds[0] if rng.random() < 0.6 else kinds[1]
    for _ in range(rng.integers(robots[0], robots[1] + 1)):
        side = int(rng.integers(2))
        body = ROBOTS[kinds[side]](rng, teams[side])
        _put(rng, placed, body, camera, (1.0, 11.0), stage.carpet)
    for _ in range(rng.integers(0, most_people + 1) if rng.random() < 0.45 else 0):
        _put(rng, placed, person(rng), camera, (2.0, 14.0), stage.boards, off=field)
    for _ in range(rng.integers(0, most_clutter + 1)):
        _put(rng, placed, clutter(rng), camera, (1.5, 14.0), stage.boards, off=field)
    return tuple(replace(body, track_id=number) for number, body in enumerate(placed))


def _aim(rng: np.random.Generator, field: FieldSize) -> tuple[float, float]:
    end = field.length / 2 * (1 if rng.random() < 0.5 else -1)
    what = rng.random()
    if what < 0.5:
        return end, rng.uniform(-1, 1) * field.goal[0]
    if what < 0.65:
        return 0.0, 0.0
    side = 1 if rng.random() < 0.5 else -1
    return end * rng.uniform(-0.9, 0.9), side * field.width / 2 * rng.uniform(0.2, 1)


def _goals(rng: np.random.Generator, field: FieldSize) -> list[Body]:
    white = rng.random() < 0.8
    placed = []
    for number, colour in enumerate(((0.1, 0.25, 0.8), (0.95, 0.8, 0.1))):
        shade = WHITE if white else colour
        for bar in goal_frame(rng, field, shade):
            heading = 0.0 if number == 0 else math.pi
            place = field.length / 2 * (1 if number == 0 else -1)
            placed.append(bar.placed(place, 0.0, heading))
    return placed


def _put(
    rng: np.random.Generator,
    placed: list[Body],
    body: Body,
    camera: Camera,
    reach: tuple[float, float],
    within: tuple[float, float],
    off: FieldSize | None = None,
) -> None:
    """Add the body at a free spot, seen if possible; leave it out where there is none.

    Args:
        rng: source of randomness.
        placed: what stands already; the body is appended.
        body: at the origin.
        camera: that should see it.
        reach: least and most distance from the camera in metres; near is likelier.
        within: half-lengths of the rectangle that must hold it.
        off: a field whose lines must not, where given.
    """
    low, high = math.log(reach[0]), math.log(reach[1])
    half_view = math.atan2(1.0, 2.5 * camera.focal)
    for _ in range(25):
        away = math.exp(rng.uniform(low, high))
        bearing = camera.yaw + rng.uniform(-1.05, 1.05) * half_view
        x = camera.position[0] + away * math.cos(bearing)
        y = camera.position[1] + away * math.sin(bearing)
        heading = rng.uniform(0, math.tau)
        if abs(x) > within[0] - body.radius or abs(y) > within[1] - body.radius:
            continue
        if off and abs(x) < off.length / 2 + 0.3 and abs(y) < off.width / 2 + 0.3:
            continue
        if away < CLEARANCE + body.radius or not _free(placed, x, y, body.radius):
            continue
        if body.class_name == "ball" and not _in_frame(camera, x, y, body.radius):
            continue
        placed.append(body.placed(x, y, heading))
        return


def _free(placed: list[Body], x: float, y: float, radius: float) -> bool:
    return all(
        math.hypot(x - other.spot[0], y - other.spot[1]) > radius + other.radius + 0.05
        for other in placed
    )


def _in_frame(camera: Camera, x: float, y: float, z: float) -> bool:
    u, v = camera.project(np.array([[x, y, z]]), FRAME)[0]
    return bool(0 < u < FRAME[1] and 0 < v < FRAME[0])
