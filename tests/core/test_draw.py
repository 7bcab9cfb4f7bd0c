"""Pictures: exact where opacity is 1, within the objects elsewhere, and never larger than asked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from maskwright.core import (
    Classes,
    DataError,
    Instance,
    Label,
    Mask,
    Panoptic,
    Segmentation,
    draw,
    paint,
)
from maskwright.core import image as image_module
from maskwright.core.text import chip_size, fitted, ink_on, measure

CLASSES = Classes.of(
    ["field", "ball", "robot"], [(10, 200, 30), (240, 20, 20), (30, 60, 220)], [1, 2]
)
SIZE = (160, 200)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def disc(centre, radius, hole=0):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    return (distance <= radius) & (distance >= hole)


def thing(pixels, class_id=1, **more):
    mask = Mask.encode(pixels)
    return Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask, **more)


def of(**parts):
    return Segmentation(size=SIZE, classes=CLASSES, **parts)


@pytest.mark.parametrize("outline", [False, True])
def test_a_class_map_tints_its_classes_and_leaves_void(outline):
    semantic = np.full(SIZE, 255, np.uint8)
    semantic[:100] = 0
    semantic[40:60] = 1
    semantic[0, 0] = 77  # no class: as void
    before = IMAGE.copy()
    picture = draw.overlay(IMAGE, of(semantic=semantic), opacity=1.0, outline=outline)
    np.testing.assert_array_equal(IMAGE, before)
    void = semantic > 2
    np.testing.assert_array_equal(picture[void], IMAGE[void])
    np.testing.assert_array_equal(picture[~void], np.array(CLASSES.colours)[semantic[~void]])


@pytest.mark.parametrize("outline", [False, True])
@pytest.mark.parametrize("pixels", [1, 600, 1999])
def test_tints_are_drawn_in_strips_that_nobody_sees(monkeypatch, pixels, outline):
    semantic = np.random.default_rng(1).integers(0, 4, SIZE, np.uint8)
    semantic[semantic == 3] = 255
    semantic = np.kron(semantic[:40, :50], np.ones((4, 4), np.uint8))  # with edges between strips
    whole = draw.overlay(IMAGE, of(semantic=semantic), outline=outline)
    monkeypatch.setattr(image_module, "STRIP_PIXELS", pixels)
    np.testing.assert_array_equal(
        draw.overlay(IMAGE, of(semantic=semantic), outline=outline), whole
    )


def test_the_tint_is_the_mean_at_half_opacity():
    semantic = np.zeros(SIZE, np.uint8)
    picture = draw.overlay(IMAGE, of(semantic=semantic), opacity=0.5)
    expected = IMAGE / 2 + np.array(CLASSES.colours[0]) / 2
    assert np.abs(picture - expected).max() <= 1
    untouched = draw.overlay(IMAGE, of(semantic=semantic), opacity=0.0)
    np.testing.assert_array_equal(untouched, IMAGE)


def test_region_borders_are_stronger():
    grey = np.full((*SIZE, 3), 128, np.uint8)
    semantic = np.zeros(SIZE, np.uint8)
    semantic[80:] = 1
    plain, traced = (
        draw.overlay(grey, of(semantic=semantic), outline=outline) for outline in (False, True)
    )
    changed = (plain != traced).any(axis=2)
    assert changed[79].all()
    assert changed.sum() == SIZE[1]


def test_a_mask_fills_its_pixels_only_and_its_hole_stays():
    pixels = disc((80, 100), 50, hole=20)
    picture = draw.overlay(
        IMAGE, of(instances=(thing(pixels),)), opacity=1.0, outline=False, labels=False
    )
    np.testing.assert_array_equal(picture[~pixels], IMAGE[~pixels])
    assert (picture[pixels] == CLASSES.colours[1]).all()


def test_the_smaller_object_lies_on_top_in_another_shade():
    large, small = disc((80, 100), 60), disc((80, 100), 20)
    both = (thing(small), thing(large))
    picture = draw.overlay(IMAGE, of(instances=both), opacity=1.0, outline=False, labels=False)
    assert tuple(picture[80, 100]) == draw.instance_colour(CLASSES.colours[1], 0)
    assert tuple(picture[80, 150]) == draw.instance_colour(CLASSES.colours[1], 1)
    assert draw.instance_colour(CLASSES.colours[1], 0) != draw.instance_colour(
        CLASSES.colours[1], 1
    )


def test_a_track_keeps_its_colour_when_others_leave():
    left, right = disc((80, 40), 20), disc((80, 150), 20)
    both = of(instances=(thing(left, track_id=3), thing(right, track_id=8)))
    one = of(instances=(thing(right, track_id=8),))
    pictures = [
        draw.overlay(IMAGE, s, opacity=1.0, outline=False, labels=False) for s in (both, one)
    ]
    np.testing.assert_array_equal(pictures[0][right], pictures[1][right])


@pytest.mark.parametrize("number", range(30))
def test_shades_are_colours_near_their_class(number):
    for colour in [*CLASSES.colours, (0, 0, 0), (255, 255, 255), (128, 128, 128)]:
        shade = draw.instance_colour(colour, number)
        assert all(0 <= channel <= 255 for channel in shade)
    assert draw.instance_colour((240, 20, 20), 0) == (240, 20, 20)


def test_a_box_without_mask_is_a_frame_on_its_outer_pixels():
    box = Instance(class_id=2, box_xyxy=(20, 30, 61, 91))
    picture = draw.overlay(IMAGE, of(instances=(box,)), labels=False)
    changed = (picture != IMAGE).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (20, 30, 61, 91)
    assert not changed[35:85, 25:55].any()


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 500, 500),
        (float("nan"), 0, 5, 5),
        (float("-inf"), 0, float("inf"), 9),
        (300, 300, 310, 310),
        (9, 9, 3, 3),
        (1e30, -1e30, 1e38, 0),
    ],
)
def test_a_prediction_with_a_wild_box_is_drawn_without_harm(box):
    picture = draw.overlay(IMAGE, of(instances=(Instance(class_id=2, box_xyxy=box, score=0.1),)))
    assert picture.shape == IMAGE.shape


def test_labels_lie_above_their_object_and_can_be_left_out():
    pixels = disc((100, 100), 20)
    found = of(instances=(thing(pixels, score=0.9),))
    bare, labelled = (draw.overlay(IMAGE, found, labels=labels) for labels in (False, True))
    rows, columns = np.nonzero((bare != labelled).any(axis=2))
    assert 50 < rows.min() <= rows.max() < 80
    assert columns.min() >= 80


def test_labels_stay_inside_and_never_cover_one_another(monkeypatch):
    plates = []

    def put(picture, text, at, scale, colour):
        width, height = chip_size(text, scale)
        plates.append((text, at[0], at[1], at[0] + width, at[1] + height))

    monkeypatch.setattr(paint, "put_chip", put)
    crowded = tuple(thing(disc((5, 195), 30), score=score / 10) for score in range(10))
    draw.overlay(IMAGE, of(instances=crowded, labels=(Label(class_id=0, score=0.5),)))
    assert [plate[0] for plate in plates[:2]] == ["field 0.50", "ball 0.90"]
    assert len(plates) < 11
    covered = np.zeros(SIZE, int)
    for _, left, top, right, bottom in plates:
        assert 0 <= left < right <= SIZE[1]
        assert 0 <= top < bottom <= SIZE[0]
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1


def test_small_pictures_carry_no_labels():
    small = Segmentation(
        size=(40, 50), classes=CLASSES, instances=(Instance(class_id=1, box_xyxy=(5, 20, 20, 30)),)
    )
    image = np.zeros((40, 50, 3), np.uint8)
    with_labels, without = (draw.overlay(image, small, labels=labels) for labels in (True, False))
    np.testing.assert_array_equal(with_labels, without)


def test_an_empty_mask_and_a_crowd_are_drawn():
    empty = Instance(class_id=1, box_xyxy=(0, 0, 0, 0), mask=Mask.encode(np.zeros(SIZE, bool)))
    pixels = disc((80, 100), 30)
    crowd, single = (
        draw.overlay(
            np.zeros_like(IMAGE),
            of(instances=(empty, thing(pixels, class_id=2, crowd=crowd))),
            outline=False,
            labels=False,
        )
        for crowd in (True, False)
    )
    assert 0 < crowd[80, 100].sum() < single[80, 100].sum()


def test_panoptic_segments_are_drawn_where_there_is_nothing_else():
    ids = np.zeros(SIZE, np.int32)
    ids[:80, :100], ids[:80, 100:], ids[80:, :50], ids[80:, 50:90] = 1000, 7, 42, 99
    panoptic = Panoptic(segment_ids=ids, class_of={1000: 0, 7: 1, 42: 1})
    picture = draw.overlay(IMAGE, of(panoptic=panoptic), opacity=1.0)
    unknown = (ids == 0) | (ids == 99)
    np.testing.assert_array_equal(picture[unknown], IMAGE[unknown])
    assert (picture[ids == 1000] == CLASSES.colours[0]).all()
    shades = {tuple(picture[ids == segment][0].tolist()) for segment in (7, 42)}
    assert shades == {draw.instance_colour(CLASSES.colours[1], n) for n in (0, 1)}


@pytest.mark.parametrize(
    ("image", "opacity", "said"),
    [
        (IMAGE[:-1], 0.5, r"\(160, 200, 3\).*\(159, 200, 3\)"),
        (IMAGE[..., 0], 0.5, r"\(160, 200\)"),
        (IMAGE / 255, 0.5, "float64"),
        (IMAGE, 1.5, "1.5"),
    ],
)
def test_overlay_refuses_what_does_not_fit(image, opacity, said):
    with pytest.raises(DataError, match=said):
        draw.overlay(image, of(), opacity)


def test_an_index_png_holds_the_ids_and_shows_the_colours():
    ids = np.random.default_rng(1).integers(0, 256, (13, 17), np.uint8)
    ids[0, :4] = (0, 1, 2, 255)
    opened = Image.open(io.BytesIO(draw.index_png(ids, CLASSES)))
    assert opened.mode == "P"
    np.testing.assert_array_equal(np.array(opened), ids)
    shown = np.array(opened.convert("RGB"))
    np.testing.assert_array_equal(shown[0, :4], [*CLASSES.colours, (0, 0, 0)])


def test_void_is_white_where_a_class_is_black():
    classes = Classes.of(["night", "day"], [(0, 0, 0), (255, 255, 0)])
    assert draw.void_colour(classes) == (255, 255, 255)
    opened = Image.open(io.BytesIO(draw.index_png(np.array([[0, 255]], np.uint8), classes)))
    np.testing.assert_array_equal(opened.convert("RGB"), [[(0, 0, 0), (255, 255, 255)]])


def test_an_index_png_of_16_bits():
    many = Classes.of(str(i) for i in range(300))
    ids = np.array([[0, 299, 65535]], np.uint16)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(draw.index_png(ids, many)))), ids)
    with pytest.raises(DataError, match="int64"):
        draw.index_png(ids.astype(np.int64), many)


def test_side_by_side_keeps_each_picture_whole():
    small, grey = IMAGE[:80, :100], IMAGE[..., 0]
    row = draw.side_by_side([IMAGE, grey], ["a", "b" * 200])
    flat = row.reshape(-1, row.shape[1] * 3)
    assert row.shape[0] > SIZE[0]
    for part in (IMAGE, np.repeat(grey[..., None], 3, 2)):
        top_line = part[0].ravel().tobytes()
        assert any(top_line in line.tobytes() for line in flat)
    assert draw.side_by_side([IMAGE, small]).shape[0] < row.shape[0]  # no titles, no room for them


def test_a_contact_sheet_has_as_many_rows_as_needed():
    tile = (60, 80)
    heights = [
        draw.contact_sheet([IMAGE] * count, columns=3, tile=tile).shape for count in (1, 3, 4, 7)
    ]
    step = heights[2][0] - heights[1][0]
    assert step > tile[0]
    assert heights[3][0] - heights[2][0] == step
    assert heights[0][0] == heights[1][0]
    assert heights[0][1] < heights[1][1] == heights[2][1]


def test_a_legend_shows_every_colour():
    picture = draw.legend(CLASSES).reshape(-1, 3)
    for colour in CLASSES.colours:
        assert (picture == colour).all(axis=1).sum() > 50
    many = Classes.of(f"class {i}" for i in range(45))
    assert draw.legend(many, rows=20).shape[1] > 2 * draw.legend(many, rows=45).shape[1]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: draw.side_by_side([]), "none"),
        (lambda: draw.side_by_side([IMAGE], ["a", "b"]), "1, got 2"),
        (lambda: draw.contact_sheet([IMAGE / 2]), "float64"),
        (lambda: draw.contact_sheet([IMAGE], columns=0), "0 columns"),
        (lambda: draw.legend(Classes.of([])), "got 0"),
    ],
)
def test_panels_refuse_what_they_cannot_draw(call, said):
    with pytest.raises(DataError, match=said):
        call()


def test_texts_are_shortened_to_fit():
    for width in (0, 5, 40, 100, 1000):
        text = fitted("a rather long file name.jpg", width, 0.45)
        assert text == "" or measure(text, 0.45)[0] <= width
    assert fitted("short", 1000, 0.45) == "short"
    assert fitted("a rather long file name.jpg", 100, 0.45).endswith("...")


def test_ink_stands_out():
    assert ink_on((255, 255, 0)) == (0, 0, 0)
    assert ink_on((0, 0, 120)) == (255, 255, 255)
