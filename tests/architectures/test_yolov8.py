"""YOLOv8's assignment and losses against plain loops over their papers' formulas."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torchvision.ops import complete_box_iou_loss

from maskwright.architectures import yolov8
from maskwright.architectures import yolov8_losses as losses
from maskwright.core.errors import ConfigError
from maskwright.losses import ObjectTruth

SIZE = (64, 96)
CLASSES, STEPS, PROTOTYPES = 3, 8, 4


def truth(boxes, ids, crowds=(), masks=None) -> ObjectTruth:
    return ObjectTruth(
        known=True,
        boxes_N4=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        class_ids_N=torch.tensor(ids, dtype=torch.int64),
        masks_NHW=masks,
        has_mask_N=torch.ones(len(ids), dtype=torch.bool),
        crowds_M4=torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


def outputs(seed: int = 0, batch: int = 1) -> dict[str, torch.Tensor]:
    """What a network might say, at places of strides 8, 16 and 32."""
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.zeros(1, 1, SIZE[0] // s, SIZE[1] // s) for s in yolov8.STRIDES]
    places = [losses.places_of(one, stride) for one, stride in zip(maps, yolov8.STRIDES)]
    count = sum(len(each) for each, _ in places)
    return {
        "sides_BA4R": torch.randn((batch, count, 4, STEPS), generator=generator),
        "class_logits_BAK": torch.randn((batch, count, CLASSES), generator=generator),
        "places_A2": torch.cat([each for each, _ in places]),
        "strides_A": torch.cat([each for _, each in places]),
        "coefficients_BAP": torch.randn((batch, count, PROTOTYPES), generator=generator),
        "prototypes_BPhw": torch.randn(
            (batch, PROTOTYPES, SIZE[0] // 4, SIZE[1] // 4), generator=generator
        ),
    }


OBJECTS = truth([[10, 8, 50, 60], [30, 4, 90, 40], [60, 30, 95, 63]], [0, 2, 1])


def test_sides_are_the_means_of_their_distributions():
    said = outputs()
    wanted = [0.0, 1.0, 2.5, 7.0]
    logits = torch.full((4, STEPS), -1e4)
    for side, distance in enumerate(wanted):
        low = math.floor(distance)
        for step in {low, math.ceil(distance)}:
            logits[side, step] = 0.0
    said["sides_BA4R"][0, 5] = logits
    x, y = said["places_A2"][5].tolist()
    assert (x, y) == (44.0, 4.0)
    found = losses.decode(said)[0, 5].tolist()
    assert found == pytest.approx([x, y - 8, x + 20, y + 56])


def plain_assignment(boxes, logits, said, own):
    """Equation 3 of TOOD and the text around it, place by place."""
    count, objects = len(boxes), len(own.boxes_N4)
    iou = [
        [
            max(0.0, 1 - float(complete_box_iou_loss(boxes[a], own.boxes_N4[g])))
            for a in range(count)
        ]
        for g in range(objects)
    ]
    aligned = [[-1.0] * count for _ in range(objects)]
    for g in range(objects):
        left, top, right, bottom = own.boxes_N4[g].tolist()
        for a, (x, y) in enumerate(said["places_A2"].tolist()):
            if left < x < right and top < y < bottom:
                score = float(logits[a, own.class_ids_N[g]].sigmoid())
                aligned[g][a] = score**0.5 * iou[g][a] ** 6
    wants = [[] for _ in range(count)]
    for g in range(objects):
        order = sorted(range(count), key=lambda a: -aligned[g][a])[:10]
        for a in order:
            if aligned[g][a] >= 0:
                wants[a].append(g)
    given = [max(own_g, key=lambda g: iou[g][a]) if own_g else -1 for a, own_g in enumerate(wants)]
    scores = torch.zeros(count, CLASSES)
    for g in range(objects):
        mine = [a for a in range(count) if given[a] == g]
        if mine:
            highest = max(aligned[g][a] for a in mine)
            best = max(iou[g][a] for a in mine)
            for a in mine:
                scores[a, own.class_ids_N[g]] = aligned[g][a] / max(highest, 1e-9) * best
    return given, scores


@pytest.mark.parametrize("seed", range(4))
def test_places_are_assigned_as_the_paper_says(seed):
    said = outputs(seed)
    boxes = losses.decode(said)[0]
    found = losses.assign(boxes, said["class_logits_BAK"][0], said, OBJECTS)
    given, scores = plain_assignment(boxes, said["class_logits_BAK"][0], said, OBJECTS)
    assert found.object_A.tolist() == given
    torch.testing.assert_close(found.scores_AK, scores, atol=1e-5, rtol=1e-4)
    assert found.known_A.all()
    assert set(given) == {-1, 0, 1, 2}


def test_the_smallest_object_gets_a_place():
    said = outputs()
    dot = truth([[17.2, 9.1, 18.2, 10.1]], [1])
    found = losses.assign(losses.decode(said)[0], said["class_logits_BAK"][0], said, dot)
    taken = (found.object_A == 0).nonzero().squeeze(1)
    assert len(taken) >= 1
    assert (said["places_A2"][taken] - torch.tensor([17.7, 9.6])).abs().max() <= 4.1


def test_crowds_are_no_background():
    said = outputs()
    own = replace(truth([], []), crowds_M4=torch.tensor([[0.0, 0.0, 48.0, 64.0]]))
    found = losses.assign(losses.decode(said)[0], said["class_logits_BAK"][0], said, own)
    assert torch.equal(found.known_A, said["places_A2"][:, 0] >= 48)
    assert (found.object_A == -1).all()


def test_the_losses_are_their_formulas():
    said = outputs(3)
    generator = torch.Generator().manual_seed(4)
    masks = torch.randint(0, 2, (3, *SIZE), generator=generator, dtype=torch.uint8)
    own = replace(OBJECTS, masks_NHW=masks)
    found = losses.yolo_losses(said, [own])
    boxes, logits = losses.decode(said)[0], said["class_logits_BAK"][0]
    given, scores = plain_assignment(boxes, logits, said, own)
    total = max(1.0, float(scores.sum()))
    classes = torch.nn.functional.binary_cross_entropy_with_logits(logits, scores, reduction="sum")
    assert float(found["classes"]) == pytest.approx(0.5 * float(classes) / total, rel=1e-4)
    box = side = mask = 0.0
    count = 0
    prototypes = said["prototypes_BPhw"][0]
    for a, g in enumerate(given):
        if g < 0:
            continue
        count += 1
        share = float(scores[a].sum())
        box += share * float(complete_box_iou_loss(boxes[a], own.boxes_N4[g]))
        x, y = said["places_A2"][a].tolist()
        left, top, right, bottom = own.boxes_N4[g].tolist()
        stride = float(said["strides_A"][a])
        logs = said["sides_BA4R"][0, a].log_softmax(dim=-1)
        for n, distance in enumerate((x - left, y - top, right - x, bottom - y)):
            wanted = min(distance / stride, STEPS - 1 - 0.01)
            low = math.floor(wanted)
            share_low = low + 1 - wanted
            own_side = -(logs[n, low] * share_low + logs[n, low + 1] * (1 - share_low))
            side += share * float(own_side) / 4
        seen = (said["coefficients_BAP"][0, a].view(-1, 1, 1) * prototypes).sum(dim=0).sigmoid()
        inside = 0
        sum_of_cells = 0.0
        for row in range(SIZE[0] // 4):
            for column in range(SIZE[1] // 4):
                if left <= column * 4 + 2 < right and top <= row * 4 + 2 < bottom:
                    block = masks[g, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                    true, p = float(block.float().mean()), float(seen[row, column])
                    sum_of_cells -= true * math.log(p) + (1 - true) * math.log(1 - p)
                    inside += 1
        mask += sum_of_cells / inside
    assert float(found["boxes"]) == pytest.approx(7.5 * box / total, rel=1e-4)
    assert float(found["sides"]) == pytest.approx(1.5 * side / total, rel=1e-4)
    assert float(found["masks"]) == pytest.approx(7.5 * mask / count, rel=1e-4)


def test_masks_reach_no_further_than_their_boxes():
    network = yolov8.tiny(3).eval()
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        answer = network.deploy(images)
    stride = 64 / answer["masks"].shape[-1]
    for boxes, masks in zip(answer["boxes"], answer["masks"]):
        for (left, top, right, bottom), mask in zip(boxes.tolist(), masks):
            rows, columns = mask.nonzero(as_tuple=True)
            if len(rows):
                assert (columns.min() + 0.5) * stride >= left
                assert (columns.max() + 0.5) * stride < right
                assert (rows.min() + 0.5) * stride >= top
                assert (rows.max() + 0.5) * stride < bottom


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({"mask_stride": 8}, "mask_stride 1, 2 or 4, got 8"),
        ({"inner": (0.5,)}, "2 entries of inner"),
        ({"nested": (True,)}, "8 of nested"),
        ({"widths": (8, 8)}, "widths"),
    ],
)
def test_sizes_that_make_no_network_are_refused(sizes, match):
    with pytest.raises(ConfigError, match=match):
        yolov8.YOLOv8Config(**sizes)
