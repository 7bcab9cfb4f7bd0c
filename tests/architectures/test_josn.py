"""JOSN's boxes against plain loops over the formulas of YOLO and YOLO9000."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from box_truths import box_truth

from maskwright.architectures import josn
from maskwright.architectures import josn_losses as losses
from maskwright.core.errors import ConfigError
from maskwright.layers.anchor_cells import decode_cells
from maskwright.losses import Targets

STRIDE = josn.STRIDE
PRIORS = ((16.0, 16.0), (40.0, 24.0), (20.0, 60.0))


OBJECTS = box_truth(
    [[10, 8, 50, 30], [30, 4, 52, 60], [64, 30, 95, 63]], [0, 2, 1], crowds=[[0, 60, 60, 96]]
)


def priors(rows=3, columns=4) -> torch.Tensor:
    return torch.tensor(
        [[x, y, STRIDE, *prior] for y in range(rows) for x in range(columns) for prior in PRIORS]
    )


def outputs(seed=0, batch=1) -> dict[str, torch.Tensor]:
    """What a network might say of 3 x 4 cells."""
    generator = torch.Generator().manual_seed(seed)
    count = 12 * len(PRIORS)
    return {
        "offsets_BN4": 0.5 * torch.randn((batch, count, 4), generator=generator),
        "objectness_BN": torch.randn((batch, count), generator=generator),
        "class_logits_BNK": torch.randn((batch, count, 3), generator=generator),
        "cells_N5": priors(),
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def box_of(offsets, prior) -> tuple[float, float, float, float]:
    """Figure 3 of YOLO9000."""
    x = STRIDE * (prior[0] + sigmoid(offsets[0]))
    y = STRIDE * (prior[1] + sigmoid(offsets[1]))
    width, height = prior[3] * math.exp(offsets[2]), prior[4] * math.exp(offsets[3])
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def area(box) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def common(a, b) -> float:
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a, b) -> float:
    return common(a, b) / (area(a) + area(b) - common(a, b))


def learnt_by_loops(objects) -> dict[int, int]:
    """Prior -> the object that it learns."""
    found: dict[int, int] = {}
    boxes = [tuple(box) for box in objects]
    for number in sorted(range(len(boxes)), key=lambda one: -area(boxes[one])):
        left, top, right, bottom = boxes[number]
        row, column = int((top + bottom) / 2 // STRIDE), int((left + right) / 2 // STRIDE)
        likeness = {}
        for place, (width, height) in enumerate(PRIORS):
            own, prior = (0, 0, right - left, bottom - top), (0, 0, width, height)
            likeness[(row * 4 + column) * len(PRIORS) + place] = iou(own, prior)
        free = [one for one in likeness if one not in found]
        if free:
            found[max(free, key=lambda one: likeness[one])] = number
    return found


def test_boxes_are_decoded():
    said = outputs()
    decoded_N4 = decode_cells(said["offsets_BN4"], said["cells_N5"])[0]
    wanted = [box_of(*one) for one in zip(said["offsets_BN4"][0].tolist(), priors().tolist())]
    torch.testing.assert_close(decoded_N4, torch.tensor(wanted))


def test_what_is_encoded_is_decoded():
    given = losses.assign(OBJECTS.boxes_N4, priors())
    own_Q4 = priors()[given.priors_Q]
    wanted_Q4 = OBJECTS.boxes_N4[given.objects_Q]
    told_Q4 = losses.encode(wanted_Q4, own_Q4)
    offsets_Q4 = torch.cat([told_Q4[:, :2].logit(), told_Q4[:, 2:]], dim=1)
    torch.testing.assert_close(decode_cells(offsets_Q4, own_Q4), wanted_Q4)


CROWDED = [[33.0, 33, 60, 60 + n] for n in range(1, 3)] + [[40.0, 33, 62, 60], [36.0, 36, 50, 50]]
"""Four objects in one cell of three priors."""


@pytest.mark.parametrize("objects", [OBJECTS.boxes_N4.tolist(), CROWDED, []])
def test_an_object_is_learnt_by_the_prior_of_its_shape(objects):
    given = losses.assign(torch.tensor(objects).reshape(-1, 4), priors())
    found = dict(zip(given.priors_Q.tolist(), given.objects_Q.tolist()))
    assert found == learnt_by_loops(objects)
    assert len(found) == min(len(objects), len(PRIORS))


def test_a_middle_on_the_far_edge_is_in_the_last_cell():
    given = losses.assign(torch.tensor([[120.0, 90, 136, 102]]), priors())
    assert given.priors_Q.tolist() == [11 * len(PRIORS)]


def test_losses_of_boxes():
    said = outputs(batch=2)
    near = [40.0, 66, 60, 90]
    told_14 = losses.encode(torch.tensor([near]), priors()[28:29])
    # the cell's second prior answers it as well, though the first one learns it
    said["offsets_BN4"][0, 28] = torch.cat([told_14[0, :2].logit(), told_14[0, 2:]])
    objects = box_truth([*OBJECTS.boxes_N4.tolist(), near], [0, 2, 1, 1], [[100.0, 0, 128, 20]])
    terms = losses.box_losses(said, [objects, replace(OBJECTS, known=False)])
    learnt = learnt_by_loops(objects.boxes_N4.tolist())
    boxes = objectness = classes = 0.0
    ignored = 0
    for place, prior in enumerate(priors().tolist()):
        offsets = said["offsets_BN4"][0, place].tolist()
        logits = said["class_logits_BNK"][0, place].tolist()
        own, chance = box_of(offsets, prior), sigmoid(float(said["objectness_BN"][0, place]))
        if place in learnt:
            true = objects.boxes_N4[learnt[place]].tolist()
            middle = (true[0] + true[2]) / 2, (true[1] + true[3]) / 2
            wanted = [middle[0] / STRIDE - prior[0], middle[1] / STRIDE - prior[1],
                      math.log((true[2] - true[0]) / prior[3]),
                      math.log((true[3] - true[1]) / prior[4])]  # fmt: skip
            told = [sigmoid(offsets[0]), sigmoid(offsets[1]), *offsets[2:]]
            boxes += 5 * sum((a - b) ** 2 for a, b in zip(told, wanted))
            objectness += (chance - iou(own, true)) ** 2
            kind = int(objects.class_ids_N[learnt[place]])
            classes += math.log(sum(map(math.exp, logits))) - logits[kind]
        elif max(iou(own, box) for box in objects.boxes_N4.tolist()) > 0.6 or any(
            common(own, crowd) / area(own) > 0.5 for crowd in objects.crowds_M4.tolist()
        ):
            ignored += 1
        else:
            objectness += 0.5 * chance**2
    assert ignored >= 2  # one of each reason at least, as they were laid
    for name, total in (("boxes", boxes), ("objectness", objectness), ("classes", classes)):
        assert float(terms[name]) == pytest.approx(total / len(learnt), rel=1e-4), name


@pytest.mark.parametrize("part", ["class_map_BHW", "boxes"])
def test_an_unlabelled_task_gives_a_connected_zero(part):
    network = josn.tiny(3).eval()
    every = {
        "class_map_BHW": torch.ones((1, 64, 64), dtype=torch.int64),
        "boxes": (torch.tensor([[3.0, 4, 40, 50]]),),
        "class_ids": (torch.tensor([1]),),
        "objects_known_B": torch.tensor([True]),
    }
    zeros = ["pixels"] if part == "class_map_BHW" else ["boxes", "objectness", "classes"]
    found = network.losses(network(torch.randn(1, 3, 64, 64)), Targets(**every | {part: None}))
    for name, loss in found.items():
        assert (loss.item() == 0) == (name in zeros), name
        assert loss.requires_grad


@pytest.mark.parametrize("size", [(70, 97), (33, 64)])
def test_odd_sizes_are_answered_whole(size):
    network = josn.tiny(3).eval()
    with torch.no_grad():
        answer = network.deploy_probabilities(torch.zeros((1, 3, *size), dtype=torch.uint8))
        outputs_of = network(torch.zeros(1, 3, *size))
    assert answer["class_map"].shape == (1, *size)
    assert torch.equal(answer["probabilities"].argmax(dim=1), answer["class_map"].long())
    cells = math.ceil(size[0] / STRIDE) * math.ceil(size[1] / STRIDE)
    assert outputs_of["cells_N5"].shape == (3 * cells, 5)
    assert outputs_of["class_logits_BNK"].shape == (1, 3 * cells, 3)


def test_priors_stand_in_the_order_of_the_boxes():
    network = josn.JOSN(replace(josn.tiny(2).sizes, priors=PRIORS)).eval()
    with torch.no_grad():
        # of each cell, the third prior alone is sure
        network.detect.boxes.weight.zero_()
        network.detect.boxes.bias.zero_()[14] = 9.0
        found = network(torch.randn(1, 3, 96, 128))
    torch.testing.assert_close(found["cells_N5"], priors())
    sure_N = found["objectness_BN"][0] > 1
    assert sure_N.nonzero().flatten().tolist() == list(range(2, 36, 3))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"priors": ()}, "priors of some width and height, in pixels, got \\(\\)"),
        ({"priors": ((8.0, 0.0),)}, "got \\(\\(8.0, 0.0\\),\\)"),
        ({"widths": (8, 8, 8)}, "4 positive entries in widths"),
        ({"box_width": 0}, "box_width >= 1, got 0"),
    ],
)
def test_sizes_that_make_no_sense(changes, text):
    with pytest.raises(ConfigError, match=text):
        replace(josn.tiny(3).sizes, **changes)
