"""Generated pitches as samples: same bits for a seed, any size, sequences that hold together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskwright.core.errors import ConfigError
from maskwright.synthesis import (
    PITCH_CLASSES,
    PitchConfig,
    draw_scene,
    pitch_scene,
    pitch_sequence,
    render,
)

SIZE = (72, 96)
THINGS = {PITCH_CLASSES.names[thing] for thing in PITCH_CLASSES.things}


def same(first, second):
    a, b = first.read_truth(), second.read_truth()
    return (
        np.array_equal(first.image, second.image)
        and np.array_equal(a.semantic, b.semantic)
        and a.instances == b.instances
    )


@pytest.mark.parametrize("seed", [0, 5, 77])
def test_a_seed_gives_the_same_bits(seed):
    first = pitch_scene(seed, SIZE)
    pitch_scene(seed + 1, SIZE)  # no state is carried from scene to scene
    assert same(first, pitch_scene(seed, SIZE))
    assert not same(first, pitch_scene(seed + 1, SIZE))


def test_the_global_random_state_is_left_alone_and_unused():
    np.random.seed(1)
    first = pitch_scene(4, SIZE)
    np.random.seed(2)
    before = np.random.get_state()[1].copy()
    assert same(first, pitch_scene(4, SIZE))
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (61, 97), (200, 90), (256, 512)])
def test_any_size(size):
    sample = pitch_scene(2, size)
    truth = sample.read_truth()
    assert sample.read_image().shape == (*size, 3)
    assert sample.read_image().dtype == np.uint8
    assert truth.size == truth.semantic.shape == size
    assert sample.tasks == {"semantic", "instances", "boxes"}


@pytest.mark.parametrize("seed", range(12))
def test_instances_are_the_things_of_the_class_map(seed):
    truth = pitch_scene(seed, SIZE).read_truth()
    covered = np.zeros(SIZE, int)
    for instance in truth.instances:
        pixels = instance.mask.decode()
        assert pixels.any()
        assert (truth.semantic[pixels] == instance.class_id).all()
        rows, columns = np.nonzero(pixels)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert instance.box_xyxy == box
        covered += pixels
    things = np.isin(truth.semantic, list(PITCH_CLASSES.things))
    np.testing.assert_array_equal(covered, things.astype(int))
    assert len({i.track_id for i in truth.instances}) == len(truth.instances)


def test_every_class_is_often_seen():
    seen = np.zeros(len(PITCH_CLASSES), int)
    count = 60
    for seed in range(count):
        seen[np.unique(pitch_scene(seed, (48, 64)).read_truth().semantic)] += 1
    share = dict(zip(PITCH_CLASSES.names, seen / count))
    assert min(share["background"], share["field"], share["line"]) >= 0.9
    assert min(share["ball"], share["robot"]) >= 0.6
    assert share["post"] >= 0.4


def test_scenes_differ_widely():
    means = np.array([pitch_scene(s, (48, 64)).image.mean((0, 1)) for s in range(24)])
    assert (means.std(0) > 12).all()


def test_lines_are_brighter_than_the_field_where_truth_says_so():
    """Image and truth are aligned: without blur or noise, paint is brighter than turf beside it."""
    config = PitchConfig(severity=0.0, robots=(0, 0), ball=0.0, people=0, clutter=0)
    brighter = []
    for seed in range(20):
        sample = pitch_scene(seed, (120, 160), config=config)
        grey, semantic = sample.image.mean(2), sample.read_truth().semantic
        below = (semantic[1:-1] == 2) & (semantic[2:] == 1)
        brighter += (grey[1:-1][below] > grey[2:][below]).tolist()
    assert len(brighter) > 1000
    assert np.mean(brighter) > 0.95


def test_config_is_obeyed():
    config = PitchConfig(robots=(0, 0), ball=0.0)
    for seed in range(8):
        names = {body.class_name for body in draw_scene(seed, config).bodies}
        assert names <= {"post", "background"}
    high = PitchConfig(camera_height=(1.5, 1.6), outdoor=1.0)
    assert all(1.5 <= draw_scene(s, high).camera.position[2] <= 1.6 for s in range(8))
    assert all(draw_scene(s, high).stage.outdoor for s in range(8))


def test_sequence_starts_with_the_scene_and_keeps_its_tracks():
    frames = list(pitch_sequence(9, 6, SIZE))
    assert same(frames[0], pitch_scene(9, SIZE))
    assert len({frame.name for frame in frames}) == 6
    names = {body.track_id: body.class_name for body in draw_scene(9).bodies}
    for frame in frames:
        for instance in frame.read_truth().instances:
            assert names[instance.track_id] == PITCH_CLASSES.names[instance.class_id]


def test_sequence_moves_smoothly():
    maps = [frame.read_truth().semantic for frame in pitch_sequence(9, 8, SIZE)]
    changed = [(a != b).mean() for a, b in itertools.pairwise(maps)]
    assert 0 < max(changed) < 0.2
    assert sum(changed) > 0.005
    boxes = {}
    for number, frame in enumerate(pitch_sequence(13, 6, SIZE)):
        for i in frame.read_truth().instances:
            centre = np.array([i.box_xyxy[0] + i.box_xyxy[2], i.box_xyxy[1] + i.box_xyxy[3]]) / 2
            boxes.setdefault(i.track_id, {})[number] = centre
    for track in boxes.values():
        for number, centre in track.items():
            if number + 1 in track:
                assert np.abs(track[number + 1] - centre).max() < 20


@pytest.mark.parametrize("seed", range(6))
def test_bodies_never_collide(seed):
    scene = draw_scene(seed, PitchConfig(robots=(5, 6)))
    for time in np.linspace(0, 20, 41):
        moved = scene.at(float(time))
        eye = np.array(moved.camera.position[:2])
        spots = [(np.array(body.spot), body.radius) for body in moved.bodies]
        for number, (spot, radius) in enumerate(spots):
            if moved.bodies[number].class_name in ("ball", "robot"):
                assert np.linalg.norm(spot - eye) > radius
                for other, reach in spots[:number] + spots[number + 1 :]:
                    assert np.linalg.norm(spot - other) > radius + reach - 1e-9


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fields": ("moon",)}, "moon"),
        ({"ball": 1.5}, "1.5"),
        ({"robots": (5, 2)}, r"\(5, 2\)"),
        ({"camera_height": (0.0, 1.0)}, "camera_height"),
    ],
)
def test_bad_settings_are_named(settings, told):
    with pytest.raises(ConfigError, match=told):
        PitchConfig(**settings)


def test_bad_seed_and_size_are_named():
    with pytest.raises(ConfigError, match="-1"):
        pitch_scene(-1)
    with pytest.raises(ConfigError, match="8 x 64"):
        render(draw_scene(0), (8, 64))
