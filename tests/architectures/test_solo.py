"""SOLO: Matrix NMS against the authors' recorded cases, assignment and losses by plain loops."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from shared import golden_rule, shared_path

from maskwright.architectures import solo, solov2
from maskwright.core.errors import ConfigError
from maskwright.layers.matrix_nms import matrix_nms
from maskwright.layers.solo_grid import best_cells, local_maxima
from maskwright.losses import ObjectTruth, Targets
from maskwright.losses.grid_objects import (
    assign_cells,
    centre_of,
    class_loss,
    dice_losses,
    scaled_sizes,
)

SIZE = (64, 96)


def made(shape, seed: int) -> torch.Tensor:
    """The goldens' inputs, by their shared rule."""
    return torch.as_tensor(golden_rule().make_input(shape, seed)).double()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_matrix_nms_is_the_authors(number):
    text = shared_path("parity/goldens/solo-matrix-nms.json").read_text()
    case = json.loads(text)["cases"][number]
    count, height, width, seed = case["n"], case["h"], case["w"], case["seed"]
    b = made((count, 4), seed + 1)
    y, x = (b[:, 0] + 1) / 2 * height, (b[:, 1] + 1) / 2 * width
    ry, rx = (b[:, 2] + 1) / 2 * height / 3 + 1, (b[:, 3] + 1) / 2 * width / 3 + 1
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    masks = ((rows - y.view(-1, 1, 1)).abs() <= ry.view(-1, 1, 1)) & (
        (columns - x.view(-1, 1, 1)).abs() <= rx.view(-1, 1, 1)
    )
    scores = made((count,), seed + 2).abs().sort(descending=True).values
    labels = ((made((count,), seed + 3) + 1) / 2 * case["classes"]).floor().long()
    assert masks.sum(dim=(1, 2)).tolist() == case["sum_masks"]
    found = matrix_nms(
        masks.double().flatten(1)[None], labels[None], scores[None], case["kernel"], case["sigma"]
    )
    np.testing.assert_allclose(found[0], case["updated_scores"], rtol=1e-5, atol=1e-6)


def test_local_maxima_look_up_and_left():
    chances = torch.rand(2, 3, 7, 7)
    found = local_maxima(chances)
    for b, k, y, x in np.ndindex(2, 3, 7, 7):
        window = chances[b, k, max(0, y - 1) : y + 1, max(0, x - 1) : x + 1]
        own = chances[b, k, y, x]
        assert found[b, k, y, x] == (own if own == window.max() else 0)


def test_the_best_cells_of_all_levels():
    levels = [torch.rand(1, 2, 3, 3), torch.rand(1, 2, 2, 2)]
    scores, cells, classes = best_cells(levels, 5)
    every = sorted(
        (
            (float(level[0, k].flatten()[c]), c + 9 * number, k)
            for number, level in enumerate(levels)
            for k in range(2)
            for c in range(level.shape[2] ** 2)
        ),
        reverse=True,
    )
    assert list(zip(scores[0].tolist(), cells[0].tolist(), classes[0].tolist())) == every[:5]


def truth(boxes, ids, crowds=(), masked: bool = True) -> ObjectTruth:
    masks = torch.zeros((len(ids), *SIZE), dtype=torch.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        masks[number, top:bottom, left:right] = 1
        masks[number, top : top + 3, left : left + 3] = 0  # so that the middle isn't the box's
    return ObjectTruth(
        known=True,
        boxes_N4=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        class_ids_N=torch.tensor(ids, dtype=torch.int64),
        masks_NHW=masks if masked else None,
        has_mask_N=torch.full((len(ids),), masked),
        crowds_M4=torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


OBJECTS = truth([[10, 8, 50, 60], [30, 4, 90, 40], [80, 50, 86, 58]], [0, 2, 1])


@pytest.mark.parametrize("cells", [5, 12, 40])
@pytest.mark.parametrize("sizes", [(0.0, 20.0), (10.0, 500.0), (46.0, 47.0)])
def test_cells_are_assigned_as_the_paper_says(cells, sizes):
    found = assign_cells(OBJECTS, cells, sizes, SIZE)
    owners = {}
    sides = OBJECTS.boxes_N4[:, 2:] - OBJECTS.boxes_N4[:, :2]
    for one in sorted(range(3), key=lambda g: -float(sides[g].prod())):
        left, top, right, bottom = OBJECTS.boxes_N4[one].tolist()
        width, height = right - left, bottom - top
        if not sizes[0] <= math.sqrt(width * height) <= sizes[1]:
            continue
        rows, columns = np.nonzero(OBJECTS.masks_NHW[one].numpy())
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        for row in range(cells):
            for column in range(cells):
                spans = (
                    (row, y, height, SIZE[0]),
                    (column, x, width, SIZE[1]),
                )
                inside = all(
                    math.floor((m - 0.1 * length) / side * cells)
                    <= at
                    <= math.floor((m + 0.1 * length) / side * cells)
                    and abs(at - math.floor(m / side * cells)) <= 1
                    for at, m, length, side in spans
                )
                if inside:
                    owners[row * cells + column] = one
    assert found.cells_Q.tolist() == sorted(owners)
    assert found.objects_Q.tolist() == [owners[cell] for cell in sorted(owners)]
    for cell, one in owners.items():
        assert found.labels_SS.flatten()[cell] == OBJECTS.class_ids_N[one]
    assert (found.labels_SS == -1).sum() == cells**2 - len(owners)


def test_without_a_mask_the_middle_is_the_boxs():
    plain = truth([[10, 8, 50, 60]], [0], masked=False)
    assert centre_of(plain, 0) == (30.0, 34.0)
    empty = replace(truth([[10, 8, 50, 60]], [0]), masks_NHW=torch.zeros(1, *SIZE))
    assert centre_of(empty, 0) == (30.0, 34.0)


def test_crowds_teach_no_cell():
    crowd = truth([[80, 50, 86, 58]], [1], crowds=[[0, 0, 48, 64], [78, 48, 90, 60]])
    found = assign_cells(crowd, 12, (0, 1000), SIZE)
    assert (found.labels_SS[:, :6] == -2).all()
    assert len(found.cells_Q) > 0
    assert (found.labels_SS.flatten()[found.cells_Q] == 1).all()
    logits = torch.randn(3, 12, 12)
    changed = logits.clone()
    changed[:, :, :6] += 3
    torch.testing.assert_close(
        class_loss(logits, found.labels_SS), class_loss(changed, found.labels_SS)
    )


def test_the_focal_loss_is_its_formula():
    logits = torch.randn(2, 3, 3)
    labels = torch.full((3, 3), -1)
    labels[1, 2], labels[0, 0] = 0, 1
    total = 0.0
    for k, y, x in np.ndindex(2, 3, 3):
        p = float(logits[k, y, x].sigmoid())
        if labels[y, x] == k:
            total -= 0.25 * (1 - p) ** 2 * math.log(p)
        else:
            total -= 0.75 * p**2 * math.log(1 - p)
    assert float(class_loss(logits, labels)) == pytest.approx(total, rel=1e-5)


def test_dice_is_its_formula():
    found, wanted = torch.rand(2, 4, 5), torch.rand(2, 4, 5).round()
    for got, p, q in zip(dice_losses(found, wanted), found, wanted):
        expected = 1 - 2 * float((p * q).sum()) / float((p**2).sum() + (q**2).sum())
        assert float(got) == pytest.approx(expected, rel=1e-5)


def test_sizes_grow_with_the_input_and_hold_every_object():
    found = scaled_sizes([(1, 96), (48, 192), (96, 384)], (400, 900), 800)
    assert found == [(0.0, 48.0), (24.0, 96.0), (48.0, math.inf)]


@pytest.mark.parametrize("kind", ["plain", "decoupled", "light"])
def test_candidates_have_the_masks_of_their_cells(kind):
    """What deployment reads from all levels at once is what training takes from each."""
    network = {"plain": solo.tiny, "decoupled": solo.tiny_decoupled, "light": solo.tiny_light}
    net = network[kind](3).eval()
    with torch.no_grad():
        outputs = net(torch.randn(1, 3, 64, 64))
        cells = torch.tensor([[0, 57, 110, 170, 230, 275]])
        found = net.candidate_masks(outputs, cells)[0]
        first = found.shape[-2:]
        starts = np.cumsum([0, *(s**2 for s in net.sizes.grids)])
        for place, cell in enumerate(cells[0].tolist()):
            level = int(np.searchsorted(starts, cell, side="right") - 1)
            own = net.mask_chances(outputs, level, 0, torch.tensor([cell - starts[level]]))
            wanted = F.interpolate(own[None], first, mode="bilinear", align_corners=False)[0, 0]
            torch.testing.assert_close(found[place], wanted)


def test_large_maps_in_half_precision_have_finite_losses():
    """The sum of such a map is beyond what half precision can hold."""
    network = solo.tiny(3)
    outputs = network(torch.randn(1, 3, 64, 64))
    halves = {name: value.detach().half() for name, value in outputs.items()}
    halves["masks.0"] = torch.full((1, 100, 200, 200), -0.5, dtype=torch.float16)
    assert not halves["masks.0"].sum().isfinite()
    assert network.losses(halves, Targets())["total"].item() == 0


@pytest.mark.parametrize(
    ("config", "sizes", "match"),
    [
        (solo.SOLOConfig, {"grids": (3,)}, "five levels"),
        (solo.SOLOConfig, {"head_width": 33}, "multiple of groups"),
        (solov2.SOLOv2Config, {"sizes": ((1, 2),)}, "five levels"),
        (solov2.SOLOv2Config, {"mask_width": 33}, "multiples of groups"),
    ],
)
def test_sizes_that_make_no_network_are_refused(config, sizes, match):
    with pytest.raises(ConfigError, match=match):
        config(**sizes)
