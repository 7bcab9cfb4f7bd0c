"""YOLACT: Fast NMS against the authors' recorded cases, losses against plain loops."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from shared import golden_rule, shared_path

from maskwright.architectures import yolact
from maskwright.architectures import yolact_losses as losses
from maskwright.core.errors import ConfigError
from maskwright.layers.box_offsets import decode_boxes
from maskwright.layers.fast_nms import fast_nms, pairwise_iou
from maskwright.layers.suppression import best, rows_at
from maskwright.losses import ObjectTruth

SIZE = (64, 96)
CLASSES, PROTOTYPES = 3, 4


def made(shape, seed: int) -> torch.Tensor:
    """The goldens' inputs, by their shared rule."""
    return torch.as_tensor(golden_rule().make_input(shape, seed)).double()


def cases() -> list[dict]:
    return json.loads(shared_path("parity/goldens/yolact-fast-nms.json").read_text())["cases"]


@pytest.mark.parametrize("number", [0, 1])
def test_fast_nms_is_the_authors(number):
    case = cases()[number]
    count, classes, seeds = case["n"], case["classes"], case["seeds"]
    boxes = made((count, 4), seeds["boxes"])
    low = (boxes[:, :2] + 1) / 4
    boxes = torch.cat([low, low + (boxes[:, 2:] + 1) / 4 + 0.05], dim=1)
    scores = made((classes, count), seeds["scores"]).abs()
    masks = made((count, 32), seeds["masks"])
    kept, places = fast_nms(boxes[None], scores[None], min(200, count), 0.5)
    values, chosen = best(kept.flatten(1), 100)
    wanted = case["outputs"]["fast_nms"]
    found = rows_at(places.flatten(1), chosen)[0]
    np.testing.assert_allclose(values[0], wanted["scores"], atol=1e-12)
    assert (chosen[0] // kept.shape[2]).tolist() == wanted["classes"]
    np.testing.assert_allclose(boxes[found], wanted["boxes"], atol=1e-12)
    np.testing.assert_allclose(masks[found].sum(dim=1), wanted["mask_sum"], atol=1e-9)


@pytest.mark.parametrize("number", [0, 1])
def test_offsets_are_decoded_as_the_authors_do(number):
    case = cases()[number]
    boxes = made((case["n"], 4), case["seeds"]["boxes"])
    middle, sides = (boxes[:, :2] + 1) / 4, (boxes[:, 2:] + 1) / 4 + 0.05
    priors = torch.cat([middle - sides / 2, middle + sides / 2], dim=1)
    offsets = made((case["n"], 4), case["seeds"]["loc"])
    found = decode_boxes(offsets, priors, yolact.OFFSET_WEIGHTS)
    np.testing.assert_allclose(found, case["outputs"]["decode"], atol=1e-10)


def test_overlaps_of_pairs_are_torchvisions():
    from torchvision.ops import box_iou

    corners = torch.rand(20, 4) * 50
    boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:]], dim=1)
    torch.testing.assert_close(pairwise_iou(boxes[None])[0], box_iou(boxes, boxes))


def truth(boxes, ids, crowds=()) -> ObjectTruth:
    generator = torch.Generator().manual_seed(9)
    count = len(ids)
    return ObjectTruth(
        known=True,
        boxes_N4=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        class_ids_N=torch.tensor(ids, dtype=torch.int64),
        masks_NHW=torch.randint(0, 2, (count, *SIZE), generator=generator, dtype=torch.uint8),
        has_mask_N=torch.ones(count, dtype=torch.bool),
        crowds_M4=torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


OBJECTS = truth([[10, 8, 50, 60], [30, 4, 90, 40], [60, 30, 95, 63]], [0, 2, 1])


def iou(one, other) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0, width) * max(0, height)
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return common / (sum(area) - common)


def priors() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    middle = torch.rand((150, 2), generator=generator) * torch.tensor([96.0, 64.0])
    half = 4 + torch.rand((150, 2), generator=generator) * 24
    return torch.cat([middle - half, middle + half], dim=1)


def test_priors_match_as_the_paper_says():
    every = priors()
    found = losses.match_priors(every, OBJECTS)
    owners = {}
    pairs = sorted(
        ((iou(p, g), n, k) for n, p in enumerate(every.tolist())
         for k, g in enumerate(OBJECTS.boxes_N4.tolist())),
        reverse=True,
    )  # fmt: skip
    for _, prior, one in pairs:
        if one not in owners.values() and prior not in owners:
            owners[prior] = one
    for prior, box in enumerate(every.tolist()):
        overlaps = [iou(box, own) for own in OBJECTS.boxes_N4.tolist()]
        one = owners.get(prior, int(np.argmax(overlaps)))
        if prior in owners or overlaps[one] >= 0.5:
            assert found.labels_N[prior] == OBJECTS.class_ids_N[one] + 1
            assert found.objects_N[prior] == one
        else:
            assert found.labels_N[prior] == (0 if max(overlaps) < 0.4 else -1)
    assert len(owners) == 3


def test_crowds_are_no_background():
    own = replace(truth([], []), crowds_M4=torch.tensor([[0.0, 0.0, 50.0, 64.0]]))
    inside = torch.tensor([[5.0, 5.0, 25.0, 25.0], [60.0, 5.0, 80.0, 25.0]])
    assert losses.match_priors(inside, own).labels_N.tolist() == [-1, 0]


def test_the_losses_are_their_formulas():
    generator = torch.Generator().manual_seed(5)
    every = priors()
    grid = (SIZE[0] // 4, SIZE[1] // 4)
    outputs = {
        "offsets_BN4": torch.randn((1, 150, 4), generator=generator),
        "class_logits_BNC": torch.randn((1, 150, CLASSES + 1), generator=generator),
        "coefficients_BNP": torch.randn((1, 150, PROTOTYPES), generator=generator).tanh(),
        "priors_N4": every,
        "prototypes_BPhw": torch.randn((1, PROTOTYPES, *grid), generator=generator).relu(),
        "area_logits_BKhw": torch.randn((1, CLASSES, 8, 12), generator=generator),
    }
    found = losses.yolact_losses(outputs, [OBJECTS], yolact.OFFSET_WEIGHTS, None)
    matches = losses.match_priors(every, OBJECTS)
    positive = [n for n in range(150) if matches.labels_N[n] > 0]
    assert 3 <= len(positive) <= losses.MOST_MASKS
    chances = outputs["class_logits_BNC"][0].softmax(dim=1)
    costs = {n: -math.log(float(chances[n, matches.labels_N[n]])) for n in range(150)
             if matches.labels_N[n] >= 0}  # fmt: skip
    ground = sorted((costs[n] for n in costs if matches.labels_N[n] == 0), reverse=True)
    classes = sum(costs[n] for n in positive) + sum(ground[: 3 * len(positive)])
    assert float(found["classes"]) == pytest.approx(classes / len(positive), rel=1e-4)
    box = mask = 0.0
    for n in positive:
        one = int(matches.objects_N[n])
        (a, b, c, d), (e, f, g, h) = every[n].tolist(), OBJECTS.boxes_N4[one].tolist()
        wanted = [
            10 * ((e + g) / 2 - (a + c) / 2) / (c - a), 10 * ((f + h) / 2 - (b + d) / 2) / (d - b),
            5 * math.log((g - e) / (c - a)), 5 * math.log((h - f) / (d - b)),
        ]  # fmt: skip
        for got, want in zip(outputs["offsets_BN4"][0, n].tolist(), wanted):
            away = abs(got - want)
            box += away - 0.5 if away > 1 else away**2 / 2
        weights = outputs["coefficients_BNP"][0, n].view(-1, 1, 1)
        seen = (weights * outputs["prototypes_BPhw"][0]).sum(dim=0).sigmoid()
        total, cells = 0.0, 0
        for y in range(grid[0]):
            for x in range(grid[1]):
                if e <= 4 * x + 2 < g and f <= 4 * y + 2 < h:
                    block = OBJECTS.masks_NHW[one, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
                    p = float(seen[y, x])
                    total -= math.log(p if float(block.float().mean()) > 0.5 else 1 - p)
                    cells += 1
        mask += total / cells
    assert float(found["boxes"]) == pytest.approx(1.5 * box / len(positive), rel=1e-4)
    assert float(found["masks"]) == pytest.approx(6.125 * mask / len(positive), rel=1e-3)
    area = 0.0
    for k in range(CLASSES):
        own = OBJECTS.masks_NHW[OBJECTS.class_ids_N == k].float()
        for y in range(8):
            for x in range(12):
                block = own[:, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8].mean(dim=(1, 2))
                p = float(outputs["area_logits_BKhw"][0, k, y, x].sigmoid())
                area -= math.log(p if bool((block > 0.5).any()) else 1 - p)
    assert float(found["areas"]) == pytest.approx(area / 96, rel=1e-4)


def test_small_masks_are_scored():
    scorer = yolact.tiny_plus(3).scorer
    found = losses.mask_ious(scorer, torch.ones(2, 1, 16, 20))
    assert found.shape == (2, 3)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({"prior_scales": ((1,),)}, "prior_scales of 5 levels"),
        ({"prior_scales": ((1,), (2,), (3, 4), (5,), (6,))}, "as many prior_scales"),
        ({"mask_stride": 3}, "mask_stride 1, 2 or 4"),
        ({"output_stride": 16}, "output_stride 32"),
    ],
)
def test_sizes_that_make_no_network_are_refused(sizes, match):
    with pytest.raises(ConfigError, match=match):
        yolact.YOLACTConfig(**sizes)
