"""Tiles against a dense blend of the whole image, and against networks that no tile can change."""

from __future__ import annotations

import tracemalloc
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import make_card, make_images
from test_loading import RUNTIMES, SIZE, bundle, by_hand, make_graph, needs  # noqa: F401
from test_predictor import objects
from test_probabilities import make_soft_graph, soft_bundle  # noqa: F401

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError, ModelFileError
from maskwright.core.image import write_image
from maskwright.core.resize import Resize
from maskwright.runtimes import Bundle, Predictor, Tiled, load, open_bundle
from maskwright.runtimes.blend import likeliest
from maskwright.runtimes.cover import Cover

FACTS = {"name": "by hand", "threads": 1, "precision": "f32"}
OVERLAPS = st.floats(0, 0.95)
NEAR = 1e-5
"""Sums closer than this may be decided either way: float32 against float64."""


# --- one side --------------------------------------------------------------------------------


def depth(cover: Cover, number: int, pixel: int) -> float:
    """Pixels from a pixel's centre to the nearest edge of a tile that lies inside the image."""
    start, end = cover.starts[number], cover.starts[number] + cover.tile
    if not start <= pixel < end:
        return 0.0
    left = pixel + 0.5 - start if start > 0 else cover.tile
    right = end - pixel - 0.5 if end < cover.length else cover.tile
    return min(left, right, cover.tile)


@given(st.integers(1, 400), st.integers(1, 90), OVERLAPS)
def test_every_pixel_is_covered_by_as_few_tiles_as_the_overlap_allows(length, tile, overlap):
    cover = Cover.of(length, tile, overlap)
    assert cover.tile == min(tile, length)
    assert cover.starts[0] == 0
    assert cover.starts[-1] + cover.tile == length
    step = max(1, round(cover.tile * (1 - overlap)))
    gaps = np.diff(cover.starts)
    assert ((gaps >= 1) & (gaps <= step)).all()
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    fewer = len(cover.starts) - 2
    assert fewer < 0 or cover.tile + fewer * step < length
    assert [cover.carried(number) for number in range(len(gaps))] == list(cover.tile - gaps)


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(1, 60), OVERLAPS)
def test_weights_are_tents_that_sum_to_one(length, tile, overlap):
    cover = Cover.of(length, tile, overlap)
    total = np.zeros(length)
    for number, (weight_t, start) in enumerate(zip(cover.weights(), cover.starts)):
        assert weight_t.min() > 0
        total[start : start + cover.tile] += weight_t
        for place in range(cover.tile):
            depths = [depth(cover, other, start + place) for other in range(len(cover.starts))]
            assert weight_t[place] == pytest.approx(depths[number] / sum(depths), rel=1e-5)
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(st.integers(1, 200), st.integers(1, 60), OVERLAPS)
def test_every_pixel_is_owned_by_the_tile_in_which_it_lies_deepest(length, tile, overlap):
    cover = Cover.of(length, tile, overlap)
    owned = cover.owned()
    assert [pixel for place in owned for pixel in range(length)[place]] == list(range(length))
    for number, place in enumerate(owned):
        for pixel in range(length)[place]:
            depths = [depth(cover, other, pixel) for other in range(len(cover.starts))]
            assert depths[number] == max(depths)


def test_a_weight_is_small_at_an_inner_edge_and_whole_at_the_images_border():
    weights_Nt = Cover.of(1000, 200, 0.25).weights()
    np.testing.assert_allclose(weights_Nt[0, :100], 1)
    np.testing.assert_allclose(weights_Nt[-1, -100:], 1)
    assert weights_Nt[0, -1] < 0.02
    assert (weights_Nt[1:-1, [0, -1]] < 0.02).all()


@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
def test_the_likeliest_class_is_the_first_of_the_largest(classes, height, width, seed):
    sums_Khw = np.random.default_rng(seed).integers(0, 5, (classes, height, width))
    for dtype in (np.uint8, np.uint16):
        out_hw = np.full((height, width), 77, dtype)
        likeliest(sums_Khw.astype(np.float32), out_hw)
        np.testing.assert_array_equal(out_hw, sums_Khw.argmax(0))


# --- against a dense blend -------------------------------------------------------------------


def blurred(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
    """A "network" that sees 9 pixels around, and at a tile's edge less: its answers differ there.

    It is the softmax of the blurred colours.
    """
    image_HW3 = images_B3HW[0].transpose(1, 2, 0).astype(np.float32)
    around_HW3 = cv2.blur(image_HW3, (9, 9), borderType=cv2.BORDER_CONSTANT) / 12
    raised = np.exp(around_HW3 - around_HW3.max(-1, keepdims=True))
    soft_KHW = (raised / raised.sum(-1, keepdims=True)).transpose(2, 0, 1)
    return {"class_map": soft_KHW.argmax(0)[None].astype(np.uint8), "probabilities": soft_KHW[None]}


def predictor(
    resize: Resize | None = None, run=blurred, probabilities=True, **changes
) -> Predictor:
    card = make_card(resize=resize or Resize(size=SIZE), **changes)
    return Predictor(card, run, FACTS, run_probabilities=run if probabilities else None)


def quietly(*arguments, **settings) -> Tiled:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Tiled(*arguments, **settings)


def pixels_of(image: np.ndarray, tiled: Tiled, top: int, left: int) -> np.ndarray:
    """A tile's pixels; beyond a smaller image its reflection, in which the edge stands once."""
    height, width = tiled.tile
    before = [max(0, side - length) // 2 for side, length in zip(tiled.tile, image.shape)]

    def reflected(place, length):
        if length == 1:
            return 0
        place %= 2 * (length - 1)
        return min(place, 2 * (length - 1) - place)

    rows = [reflected(top + row - before[0], image.shape[0]) for row in range(height)]
    columns = [reflected(left + column - before[1], image.shape[1]) for column in range(width)]
    return image[rows][:, columns]


def dense(tiled: Tiled, model: Predictor, image: np.ndarray) -> np.ndarray:
    """The blend in float64 with the whole image's probabilities in memory, [K, H, W]."""
    height, width = image.shape[:2]
    rows, columns = tiled.grid((height, width))
    sums_KHW, total_HW = np.zeros((3, height, width)), np.zeros((height, width))
    before = [max(0, tile - side) // 2 for tile, side in zip(tiled.tile, image.shape)]
    for row, top in enumerate(rows.starts):
        for column, left in enumerate(columns.starts):
            soft_KHW = model.predict_probabilities(pixels_of(image, tiled, top, left)).restored()
            soft_KHW = soft_KHW[:, before[0] :, before[1] :][:, : rows.tile, : columns.tile]
            place = slice(top, top + rows.tile), slice(left, left + columns.tile)
            down = [depth(rows, row, pixel) for pixel in range(height)[place[0]]]
            right = [depth(columns, column, pixel) for pixel in range(width)[place[1]]]
            weight_hw = np.outer(down, right)
            sums_KHW[:, *place] += weight_hw * soft_KHW
            total_HW[place] += weight_hw
    return sums_KHW / total_HW


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("size", [(48, 65), (97, 131), (49, 300), (150, 64), (30, 200), (301, 1)])
@pytest.mark.parametrize(
    ("resize", "tile"),
    [
        (Resize(size=SIZE), None),
        (Resize(size=SIZE), (60, 50)),
        (Resize(size=SIZE, mode="letterbox"), (40, 90)),
    ],
)
def test_tiles_are_blended_as_the_whole_image_would_be(resize, tile, size, overlap):
    model = predictor(resize)
    tiled = Tiled(model, tile, overlap)
    [image] = make_images(1, size)
    wanted_KHW = dense(tiled, model, image)
    np.testing.assert_allclose(wanted_KHW.sum(0), 1, atol=NEAR)
    found = tiled.predict(image)
    assert found.semantic.shape == found.size == size
    chosen_HW = np.take_along_axis(wanted_KHW, found.semantic[None].astype(int), 0)[0]
    assert (wanted_KHW.max(0) - chosen_HW).max() < NEAR
    assert (found.semantic == wanted_KHW.argmax(0)).mean() > 0.99


def test_blending_is_seen():
    """So that a blend which changes nothing is not taken for one that does."""
    [image] = make_images(1, (150, 200))
    blended = Tiled(predictor()).predict(image).semantic
    joined = quietly(predictor(probabilities=False)).predict(image).semantic
    assert 0.001 < (blended != joined).mean() < 0.2
    assert len(np.unique(blended)) == 3


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.7])
@pytest.mark.parametrize("size", [(97, 131), (30, 200), (48, 65)])
def test_without_probabilities_each_pixel_comes_from_where_it_lies_deepest(size, overlap):
    model = predictor(probabilities=False)
    tiled = quietly(model, overlap=overlap)
    [image] = make_images(1, size)
    found = tiled.predict(image).semantic
    rows, columns = tiled.grid(size)
    top_of = [
        np.argmax([depth(rows, n, y) for n in range(len(rows.starts))]) for y in range(size[0])
    ]
    left_of = [
        np.argmax([depth(columns, n, x) for n in range(len(columns.starts))])
        for x in range(size[1])
    ]
    before = max(0, SIZE[0] - size[0]) // 2
    tiles = {
        (row, column): model.predict(pixels_of(image, tiled, top, left)).semantic[before:]
        for row, top in enumerate(rows.starts)
        for column, left in enumerate(columns.starts)
    }
    for y in range(size[0]):
        for x in range(size[1]):
            row, column = top_of[y], left_of[x]
            wanted = tiles[row, column][y - rows.starts[row], x - columns.starts[column]]
            assert found[y, x] == wanted


# --- networks that no tile can change --------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("soft", [True, False])
def test_a_pointwise_network_answers_as_on_the_whole_image(tmp_path, runtime, soft):
    """Each pixel's answer hangs on that pixel alone; classes keep their order."""
    needs(runtime)
    graph = make_soft_graph() if soft else make_graph()
    model = open_bundle(Bundle(card=make_card(), graph=graph), threads=1, runtime=runtime)
    for size in [SIZE, (49, 64), (47, 65), (101, 203), (20, 31), (1, 1), (1, 150)]:
        [image] = make_images(1, size)
        for overlap in (0, 0.25, 0.6):
            found = quietly(model, overlap=overlap).predict(image).semantic
            np.testing.assert_array_equal(found, by_hand(image))


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("tile", [SIZE, (96, 128), (75, 100), (30, 100)])
def test_an_image_of_a_tiles_size_is_answered_as_without_tiles(soft, mode, tile):
    asked = []

    def counted(images_B3HW):
        asked.append(1)
        return blurred(images_B3HW)

    model = predictor(Resize(size=SIZE, mode=mode), counted, soft)
    [image] = make_images(1, tile)
    found = quietly(model, tile).predict(image)
    assert len(asked) == 1
    np.testing.assert_array_equal(found.semantic, model.predict(image).semantic)
    assert found.times.keys() == model.predict(image).times.keys()


def test_all_forms_of_one_picture_are_answered_alike(soft_bundle, tmp_path):  # noqa: F811
    tiled = Tiled(load(soft_bundle, threads=1))
    [image] = make_images(1, (101, 150))
    wanted = by_hand(image)
    write_image(tmp_path / "photo.png", image)
    alpha = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    deep = image.astype(np.uint16) * 257
    for form in (image, tmp_path / "photo.png", alpha, deep, np.asfortranarray(image)):
        np.testing.assert_array_equal(tiled.predict(form).semantic, wanted)
    for form in (image[..., ::-1], cv2.cvtColor(alpha, cv2.COLOR_RGBA2BGRA), deep[..., ::-1]):
        np.testing.assert_array_equal(tiled.predict(form, "bgr").semantic, wanted)
    # a file knows its own order
    found = tiled.predict(tmp_path / "photo.png", "bgr").semantic
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("size", [(101, 150), (30, 150), (30, 40)])
def test_grey_images(soft_bundle, size):  # noqa: F811
    tiled = Tiled(load(soft_bundle, threads=1))
    grey = make_images(1, size)[0][..., 1]
    wanted = by_hand(np.repeat(grey[..., None], 3, axis=2))
    for form in (grey, grey[..., None], grey.astype(np.uint16) * 257):
        np.testing.assert_array_equal(tiled.predict(form).semantic, wanted)


def test_more_than_255_classes():
    classes = Classes.of([f"class {number}" for number in range(300)])

    def run(images_B3HW):
        """Red 0..255 is class 0..255, and more where green helps."""
        ids_HW = images_B3HW[0, 0].astype(np.int32) + images_B3HW[0, 1] // 8
        soft_KHW = (np.arange(300)[:, None, None] == ids_HW).astype(np.float32)
        return {"class_map": ids_HW[None], "probabilities": soft_KHW[None]}

    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    found = Tiled(predictor(run=run, classes=classes)).predict(image).semantic
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, image[..., 0].astype(int) + image[..., 1] // 8)
    assert found.max() > 255


# --- what it takes ---------------------------------------------------------------------------


def test_the_images_probabilities_are_never_in_memory_as_a_whole():
    classes = 16

    def run(images_B3HW):
        soft_KHW = np.full((classes, *SIZE), 1 / classes, np.float32)
        return {"class_map": np.zeros((1, *SIZE), np.uint8), "probabilities": soft_KHW[None]}

    names = Classes.of([f"class {number}" for number in range(classes)])
    tiled = Tiled(predictor(run=run, classes=names))
    image = np.zeros((1500, 700, 3), np.uint8)
    out = tiled.predict(image)
    tracemalloc.start()
    try:
        assert tiled.predict(image, out=out) is out
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    rows, columns = tiled.grid(image.shape[:2])
    strip = 4 * classes * (rows.most_carried() * 700 + rows.tile * columns.most_carried())
    tile = 4 * classes * SIZE[0] * SIZE[1]
    assert strip < peak < strip + 4 * tile
    assert peak < 4 * classes * 1500 * 700 / 20


def test_a_given_answer_is_written_over():
    tiled = Tiled(predictor())
    first, second = make_images(2, (97, 131))
    out = tiled.predict(first)
    kept = out.semantic
    assert tiled.predict(second, out=out) is out
    assert out.semantic is kept
    np.testing.assert_array_equal(kept, tiled.predict(second).semantic)
    assert all(seconds >= 0 for seconds in out.times.values())
    with pytest.raises(DataError, match=r"\(98, 131\) .*got 3 classes and \(97, 131\)"):
        tiled.predict(make_images(1, (98, 131))[0], out=out)


def test_hard_seams_are_told_once_and_how_to_soften_them():
    with pytest.warns(UserWarning, match=r"stand-in was exported without.*--probabilities") as told:
        tiled = Tiled(predictor(probabilities=False))
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiled.predict(make_images(1, (97, 131))[0])
        assert Tiled(predictor()).gives_probabilities


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 25, float("nan"), float("inf")])
def test_an_overlap_out_of_range_is_told(overlap):
    with pytest.raises(ConfigError, match=f"from 0 to below 1, got {overlap}"):
        Tiled(predictor(), overlap=overlap)


@pytest.mark.parametrize("tile", [(0, 64), (48, -1)])
def test_a_tile_without_pixels_is_told(tile):
    with pytest.raises(ConfigError, match="at least one pixel"):
        Tiled(predictor(), tile)


def test_objects_are_refused():
    for tasks in (("instances",), ("semantic", "boxes"), ("semantic", "labels")):
        model = predictor(run=objects, tasks=tasks)
        with pytest.raises(ConfigError, match=f"expected a semantic network.*{', '.join(tasks)}"):
            Tiled(model)


def test_a_network_that_breaks_its_cards_promise_is_told():
    with pytest.raises(ModelFileError, match="promises a class map"):
        quietly(predictor(run=objects, probabilities=False)).predict(make_images(1)[0])


@pytest.mark.parametrize("image", [np.zeros((5, 48, 64), np.uint8), np.zeros((9, 9), np.float32)])
def test_arrays_that_are_no_images_are_told(image):
    with pytest.raises(DataError):
        Tiled(predictor()).predict(image)
