"""The truth of generated pitches, held against a brute-force ray caster and against the rules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from brute_force import cast

from maskwright.synthesis import FIELDS, PITCH_CLASSES, PitchConfig, draw_scene, render
from maskwright.synthesis.camera import Camera, pixel_centres
from maskwright.synthesis.markings import field_markings, paint_distance

SIZE = (72, 96)
EMPTY = PitchConfig(robots=(0, 0), ball=0.0, people=0, clutter=0)


def interesting_pixels(semantic, rng):
    """Random pixels, and as many beside a pixel of another class, where mistakes would show."""
    edge = np.zeros(semantic.shape, bool)
    edge[:, 1:] |= semantic[:, 1:] != semantic[:, :-1]
    edge[1:] |= semantic[1:] != semantic[:-1]
    border = np.argwhere(edge)
    some = border[rng.permutation(len(border))[:150]]
    anywhere = np.stack([rng.integers(0, n, 150) for n in semantic.shape], 1)
    return np.concatenate([some, anywhere])


@pytest.mark.parametrize("seed", range(8))
def test_truth_is_what_the_centre_ray_meets(seed):
    scene = draw_scene(seed)
    if seed % 2:
        scene = scene.at(1.7)
    truth = render(scene, SIZE).read_truth()
    pixels = interesting_pixels(truth.semantic, np.random.default_rng(seed))
    track_map = np.full(SIZE, -1)
    for instance in truth.instances:
        track_map[instance.mask.decode()] = instance.track_id
    for (row, column), (name, track) in zip(pixels, cast(scene, pixels, SIZE)):
        assert PITCH_CLASSES.names[truth.semantic[row, column]] == name, (row, column)
        if name in ("ball", "robot", "post"):
            assert track_map[row, column] == track


@pytest.mark.parametrize("seed", [3, 11, 26])
def test_solids_cover_enough_of_the_comparison(seed):
    """The comparison above would be idle if the drawn scenes were empty."""
    semantic = render(draw_scene(seed), SIZE).read_truth().semantic
    assert len(np.unique(semantic)) >= 4


@pytest.mark.parametrize("seed", range(4))
def test_same_scene_at_another_size(seed):
    """At three times the size, the middle one of every 3 x 3 pixels has the same centre."""
    scene = draw_scene(seed)
    small = render(scene, (60, 80)).read_truth().semantic
    large = render(scene, (180, 240)).read_truth().semantic
    np.testing.assert_array_equal(large[1::3, 1::3], small)


@pytest.mark.parametrize("bend", [0.0, 0.3, 0.7, 1.0])
def test_rays_and_projection_are_inverse(bend):
    camera = Camera(position=(1.0, -2.0, 0.7), yaw=2.1, pitch=0.3, roll=-0.2, focal=0.55, bend=bend)
    u, v = pixel_centres(SIZE)
    rays = camera.rays(u, v, SIZE)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, atol=1e-12)
    found = camera.project(np.array(camera.position) + 3.3 * rays, SIZE)
    np.testing.assert_allclose(found, np.stack([u, v], 1), atol=1e-8)


def test_camera_axes():
    """Level and unrolled: what is ahead is in the middle, left is left, up is up."""
    camera = Camera(position=(0, 0, 1), yaw=math.pi / 2, pitch=0, roll=0, focal=0.6)
    points = np.array([[0, 5, 1], [-1, 5, 1], [0, 5, 2], [0, -5, 1]], float)
    ahead, left, up, behind = camera.project(points, SIZE)
    np.testing.assert_allclose(ahead, (48, 36))
    assert left[0] < 48
    assert left[1] == pytest.approx(36)
    assert up[1] < 36
    assert np.isnan(behind).all()
    rolled = replace(camera, roll=0.1).project(points, SIZE)
    assert rolled[1][1] > 36, "the picture turns counter-clockwise: what is left goes down"


def test_pinhole_keeps_lines_straight_and_circles_conic():
    camera = Camera(position=(-4, 1, 0.8), yaw=0.1, pitch=0.3, roll=0.1, focal=0.6)
    along = np.linspace(0, 1, 20)[:, None]
    line = camera.project(np.array([-2, 3, 0]) + along * np.array([3.0, -5, 0]), SIZE)
    assert np.linalg.svd(line - line.mean(0))[1][1] < 1e-9
    turn = np.linspace(0, math.tau, 30)
    circle = np.stack([0.75 * np.cos(turn), 0.75 * np.sin(turn), 0 * turn], 1)
    x, y = (camera.project(circle, SIZE) / 50 - 0.7).T
    conic = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], 1)
    weights = np.linalg.svd(conic)
    assert weights[1][-1] < 1e-9
    a, b, c = weights[2][-1][:3]
    assert b * b < 4 * a * c, "an ellipse"


@pytest.mark.parametrize("name", FIELDS)
def test_lines_lie_where_the_rules_put_them(name):
    size = FIELDS[name]
    markings, half = field_markings(size), size.line_width / 2
    end, side, (depth, width) = size.length / 2, size.width / 2, size.penalty_area
    on = [(0, 0), (0, side), (end, side), (-end, -side), (size.circle, 0), (0, -size.circle)]
    on += [(end - depth, width / 2), (-end + depth, 0), (end - size.penalty_mark, 0)]
    on += [(1.0, side + 0.99 * half), (end + 0.99 * half, 0.3)]
    off = [(1.0, side + 1.01 * half), (end + 1.01 * half, 0.3), (size.circle / 2, 0.2)]
    off += [(end - depth / 2, width / 2 - 3 * half), (end, side + 2 * half)]
    for points, painted in ((on, True), (off, False)):
        x, y = np.array(points, float).T
        found = np.stack(paint_distance(markings, x, y)).min(0) <= 0
        assert found.tolist() == [painted] * len(points)


def test_paint_distance_is_a_distance():
    """Off the paint and off corners, it shrinks by the step taken straight towards a line."""
    markings = field_markings(FIELDS["humanoid_kid"])
    across, along, rings = paint_distance(markings, np.array([0.5]), np.array([1.9]))
    assert across[0] == pytest.approx(0.5 - 0.025)
    assert along[0] > 0
    assert rings[0] == pytest.approx(math.hypot(0.5, 1.9) - 0.75 - 0.025)


def line_points(field):
    """Points on the middles of the outer lines, the halfway line and the centre circle."""
    end, side = field.length / 2, field.width / 2
    t = np.linspace(-1, 1, 400)
    turn = field.circle * np.stack([np.cos(t * math.pi), np.sin(t * math.pi)], 1)
    lines = [np.stack([t * 0, t * side], 1), turn]
    lines += [np.stack([t * end, t * 0 + s * side], 1) for s in (-1, 1)]
    lines += [np.stack([t * 0 + s * end, t * side], 1) for s in (-1, 1)]
    return np.column_stack([np.concatenate(lines), np.zeros(400 * len(lines))])


def test_projected_lines_are_painted():
    """Points of the lines, thrown into the image, fall on pixels whose truth is line."""
    size, found = (480, 640), []
    for seed in range(12):
        scene = draw_scene(seed, EMPTY)
        points = line_points(scene.field)
        away = np.linalg.norm(points - np.array(scene.camera.position), axis=1)
        footprint = away**2 / scene.camera.position[2] / scene.camera.focal_pixels(size)
        broad = footprint < 0.4 * scene.field.line_width  # else the pixel's centre may be off it
        u, v = scene.camera.project(points[broad], size).T
        with np.errstate(invalid="ignore"):
            seen = (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])
        truth = render(scene, size).read_truth().semantic
        found += truth[v[seen].astype(int), u[seen].astype(int)].tolist()
    assert len(found) > 400
    names = {PITCH_CLASSES.names[class_id] for class_id in found}
    assert names <= {"line", "post"}, "a post may hide a line"


@pytest.mark.parametrize("seed", range(10))
def test_bodies_stand_on_the_ground(seed):
    scene = draw_scene(seed).at(0.9)
    for body in scene.bodies:
        if body.class_name == "ball":
            (sphere,) = body.solids
            radii = np.linalg.norm(sphere.axes, axis=0)
            np.testing.assert_allclose(radii, sphere.centre[2])
            np.testing.assert_allclose(sphere.centre[:2], body.spot)
        if body.class_name in ("robot", "background"):
            reach = [np.abs(s.axes[2]).sum() * (1 + abs(s.taper)) for s in body.solids]
            lowest = min(s.centre[2] - r for s, r in zip(body.solids, reach))
            assert -0.12 < lowest < 0.05
