"""An independent, slow ray caster: what surface does the ray through a pixel's centre meet?

Nothing is shared with the generator but its description of the scene. The direction of a ray comes
from the lens's definition, markings are written out for the whole field, and solids are met by a
search: along a ray, the gauge of a convex solid (<= 0 inside) is convex, so a ternary search finds
its least value and a bisection the entry.
"""

from __future__ import annotations

import math

import numpy as np


def ray(camera, u, v, size):
    """Unit direction through (u, v), from yaw, pitch and roll applied one after the other."""
    focal = camera.focal * math.sqrt(size[0] ** 2 + size[1] ** 2)
    x, y = (u - size[1] / 2) / focal, (v - size[0] / 2) / focal
    radius = math.sqrt(x * x + y * y)
    angle = math.atan(camera.bend * radius) / camera.bend
    turn = math.atan2(y, x) + camera.roll
    right, down = math.sin(angle) * math.cos(turn), math.sin(angle) * math.sin(turn)
    ahead = math.cos(angle)
    level = ahead * math.cos(camera.pitch) - down * math.sin(camera.pitch)
    up = -ahead * math.sin(camera.pitch) - down * math.cos(camera.pitch)
    sin, cos = math.sin(camera.yaw), math.cos(camera.yaw)
    return np.array([level * cos + right * sin, level * sin - right * cos, up])


def painted(field, x, y):
    """Whether a ground point lies on a line, every line of the field written out."""
    half, end, side = field.line_width / 2, field.length / 2, field.width / 2

    def segment(x0, x1, y0, y1):
        return x0 - half <= x <= x1 + half and y0 - half <= y <= y1 + half

    def circle(cx, cy, radius):
        return radius - half <= math.dist((x, y), (cx, cy)) <= radius + half

    found = [segment(-end, end, side, side), segment(-end, end, -side, -side)]
    found += [segment(at, at, -side, side) for at in (-end, 0, end)]
    found += [circle(0, 0, field.circle), math.hypot(x, y) <= field.mark]
    for sign in (-1, 1):
        for depth, width in (field.goal_area, field.penalty_area):
            near, far = sorted((sign * end, sign * (end - depth)))
            front = sign * (end - depth)
            found.append(segment(front, front, -width / 2, width / 2))
            found += [segment(near, far, s * width / 2, s * width / 2) for s in (-1, 1)]
        spot = sign * (end - field.penalty_mark)
        found.append(math.dist((x, y), (spot, 0)) <= field.mark)
        if field.penalty_arc:
            outside = sign * x <= end - field.penalty_area[0]
            found.append(outside and circle(spot, 0, field.penalty_arc))
        if field.corner_arc:
            for s in (-1, 1):
                inside = abs(x) <= end and abs(y) <= side
                found.append(inside and circle(sign * end, s * side, field.corner_arc))
    return any(found)


def gauge(solid, points_N3):
    """<= 0 within the solid; convex."""
    x, y, z = np.linalg.solve(solid.axes, (points_N3 - solid.centre).T)
    if solid.kind == "box":
        return np.maximum(np.maximum(abs(x), abs(y)), abs(z)) - 1
    if solid.bulge:
        return np.sqrt(x**2 + y**2 + z**2) - 1
    return np.maximum(abs(z) - 1, np.hypot(x, y) - (1 - solid.taper * z))


def entries(solid, origin, rays_N3):
    """Distance to the solid along each ray, inf for a miss."""
    way = float(np.linalg.norm(solid.centre - origin))
    low, high = np.zeros(len(rays_N3)), np.full(len(rays_N3), 2 * way + 20)
    for _ in range(90):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        down = gauge(solid, origin + first[:, None] * rays_N3) > gauge(
            solid, origin + second[:, None] * rays_N3
        )
        low, high = np.where(down, first, low), np.where(down, high, second)
    deepest = (low + high) / 2
    hit = gauge(solid, origin + deepest[:, None] * rays_N3) <= 0
    outside, inside = np.zeros(len(rays_N3)), deepest
    for _ in range(60):
        middle = (outside + inside) / 2
        within = gauge(solid, origin + middle[:, None] * rays_N3) <= 0
        outside, inside = np.where(within, outside, middle), np.where(within, middle, inside)
    return np.where(hit, inside, np.inf)


def cast(scene, pixels, size):
    """Class name and track id (None for the stage) of what each pixel (row, column) sees."""
    origin = np.array(scene.camera.position)
    rays_N3 = np.array([ray(scene.camera, j + 0.5, i + 0.5, size) for i, j in pixels])
    nearest = np.full(len(pixels), np.inf)
    answers = []
    for number, direction in enumerate(rays_N3):
        answers.append(("background", None))
        board = _board(scene.stage, origin, direction)
        ground = -origin[2] / direction[2] if direction[2] < 0 else math.inf
        nearest[number] = min(board, ground)
        if ground < board:
            x, y, _ = origin + ground * direction
            if abs(x) <= scene.stage.carpet[0] and abs(y) <= scene.stage.carpet[1]:
                answers[number] = ("line" if painted(scene.field, x, y) else "field", None)
    for body in scene.bodies:
        for solid in body.solids:
            distance = entries(solid, origin, rays_N3)
            for number in np.flatnonzero(distance < nearest):
                nearest[number] = distance[number]
                answers[number] = (body.class_name, body.track_id)
    return answers


def _board(stage, origin, direction):
    """Distance to the advertising boards: four upright plates, one after the other."""
    found = math.inf
    for axis in (0, 1):
        for sign in (-1, 1):
            if direction[axis] * sign <= 0:
                continue
            way = (sign * stage.boards[axis] - origin[axis]) / direction[axis]
            place = origin + way * direction
            if (
                abs(place[1 - axis]) <= stage.boards[1 - axis]
                and 0 <= place[2] <= stage.board_height
            ):
                found = min(found, way)
    return found
