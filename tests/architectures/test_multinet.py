"""MultiNet's parts against plain loops over what the paper and its recorded outputs say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from box_truths import box_truth

from maskwright.architectures import multinet, multinet_parts
from maskwright.architectures import multinet_losses as losses
from maskwright.architectures.encoders.same_resnet import SameResNet
from maskwright.core.errors import ConfigError
from maskwright.losses import ObjectTruth, Targets
from maskwright.losses.choice import pixel_loss

STRIDE = 32


OBJECTS = box_truth(
    [[10, 8, 50, 60], [30, 4, 90, 40], [64, 30, 95, 63]], [0, 2, 1], crowds=[[100, 70, 120, 90]]
)


def centres(rows=3, columns=4) -> torch.Tensor:
    return torch.tensor(
        [[(x + 0.5) * STRIDE, (y + 0.5) * STRIDE] for y in range(rows) for x in range(columns)]
    )


def outputs(seed=0, classes=3, batch=1) -> dict[str, torch.Tensor]:
    """What a network might say of 3 x 4 cells."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "boxes_BG4": (4, 20), "confidences_BGN": (classes + 1, 1),
        "second_boxes_BG4": (4, 20), "second_confidences_BGN": (classes + 1, 1),
    }  # fmt: skip
    said = {
        name: torch.randn((batch, 12, width), generator=generator) * scale
        for name, (width, scale) in shapes.items()
    }
    return {**said, "centres_G2": centres()}


def learnt_by_loops(objects: ObjectTruth, unseen: int = 0):
    """Of each cell: (class of the confidences, box as it is told)."""
    found = []
    for x, y in centres().tolist():
        meeting = [
            (math.dist((x, y), ((left + right) / 2, (top + bottom) / 2)), number)
            for number, (left, top, right, bottom) in enumerate(objects.boxes_N4.tolist())
            if left < x + 16 and right > x - 16 and top < y + 16 and bottom > y - 16
            and objects.class_ids_N[number] >= unseen
        ]  # fmt: skip
        if meeting:
            number = min(meeting)[1]
            left, top, right, bottom = objects.boxes_N4[number].tolist()
            box = [(left + right) / 2 - x, (top + bottom) / 2 - y, right - left, bottom - top]
            found.append((int(objects.class_ids_N[number]) - unseen + 1, box))
            continue
        crowded = any(
            left < x + 16 and right > x - 16 and top < y + 16 and bottom > y - 16
            for left, top, right, bottom in objects.crowds_M4.tolist()
        )
        found.append((losses.UNKNOWN if crowded else 0, [0.0] * 4))
    return found


@pytest.mark.parametrize("unseen", [0, 1, 3])
def test_a_cell_learns_the_nearest_object_that_meets_it(unseen):
    class_G, boxes_G4 = losses.assign(OBJECTS, centres(), STRIDE, unseen)
    wanted = learnt_by_loops(OBJECTS, unseen)
    assert class_G.tolist() == [one for one, _ in wanted]
    torch.testing.assert_close(boxes_G4, torch.tensor([box for _, box in wanted]))
    assert losses.UNKNOWN in class_G


def test_boxes_come_back_from_what_the_cells_learn():
    class_G, boxes_G4 = losses.assign(OBJECTS, centres(), STRIDE, 0)
    decoded_G4 = losses.decode(boxes_G4[None], centres())[0][class_G > 0]
    for box in OBJECTS.boxes_N4:
        assert any(torch.allclose(box, one) for one in decoded_G4)
    assert all(any(torch.allclose(box, one) for box in OBJECTS.boxes_N4) for one in decoded_G4)


def test_sides_below_nothing_are_nothing():
    decoded = losses.decode(torch.tensor([[[3.0, 4.0, -5.0, 6.0]]]), torch.tensor([[10.0, 20.0]]))
    assert decoded.tolist() == [[[13.0, 21.0, 13.0, 27.0]]]


def test_losses_of_cells():
    said = outputs(batch=2)
    nothing = replace(OBJECTS, known=False)
    terms = losses.cell_losses(said, [OBJECTS, nothing], STRIDE, 0)
    learnt = [one for one in enumerate(learnt_by_loops(OBJECTS)) if one[1][0] != losses.UNKNOWN]
    for prefix in ("", "second_"):
        sure = boxes = 0.0
        for cell, (kind, box) in learnt:
            logits = said[f"{prefix}confidences_BGN"][0, cell].tolist()
            sure += math.log(sum(map(math.exp, logits))) - logits[kind]
            for told, true in zip(said[f"{prefix}boxes_BG4"][0, cell].tolist(), box):
                far = abs(told - true) / STRIDE if kind else 0.0
                small = far < losses.ROUND
                boxes += far**2 / 2 / losses.ROUND if small else far - losses.ROUND / 2
        assert float(terms[f"{prefix}confidences"]) == pytest.approx(sure / len(learnt), rel=1e-5)
        assert float(terms[f"{prefix}boxes"]) == pytest.approx(boxes / len(learnt), rel=1e-5)


def test_labels_share_the_truth():
    logits_BK = torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.2, 0.3], [5.0, 1.0, 1.0], [9.0, 1.0, 1.0]])
    labels_BC = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]])
    targets = Targets(
        labels_BC=labels_BC, labels_known_B=torch.tensor([True, True, True, False])
    )  # nothing is true of the third, nothing known of the fourth
    log_BK = logits_BK.log_softmax(dim=1)
    wanted = -((log_BK[0, 0] + log_BK[0, 2]) / 2 + log_BK[1, 1]) / 2
    torch.testing.assert_close(losses.label_loss(logits_BK, targets), wanted)
    last_two = losses.label_loss(logits_BK[:, 1:], targets)
    log_BK = logits_BK[:, 1:].log_softmax(dim=1)
    torch.testing.assert_close(last_two, -(log_BK[0, 1] + log_BK[1, 0]) / 2)


def test_pixels_of_untold_classes_are_void():
    """Also where the loss weighs every class, told or not."""
    logits_BKHW = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    class_map_BHW = torch.arange(16).view(1, 4, 4) % 4
    told_BHW = class_map_BHW.where(class_map_BHW < 2, 255)
    network = multinet.tiny(4)
    for loss, weights_K in (("ce", None), ("weighted-ce", torch.tensor([1.0, 3.0, 2.0, 5.0]))):
        network.pixel_loss = pixel_loss(loss, weights_K)
        found = network.pixel_term(logits_BKHW, Targets(class_map_BHW=class_map_BHW))["pixels"]
        alone = pixel_loss(loss, None if weights_K is None else weights_K[:2])
        wanted = alone(logits_BKHW, Targets(class_map_BHW=told_BHW))
        torch.testing.assert_close(found, wanted)
        assert found > 0
    with pytest.raises(ConfigError, match="expected class maps of the 4 classes at most, got 5"):
        network.pixel_term(torch.zeros(1, 5, 4, 4), Targets(class_map_BHW=class_map_BHW))


@pytest.mark.parametrize("part", ["class_map_BHW", "labels_BC", "boxes"])
def test_an_unlabelled_task_gives_a_connected_zero(part):
    network = multinet.tiny(3)
    every = {
        "class_map_BHW": torch.ones((1, 64, 64), dtype=torch.int64),
        "labels_BC": torch.eye(3)[:1],
        "labels_known_B": torch.tensor([True]),
        "boxes": (torch.tensor([[3.0, 4, 40, 50]]),),
        "class_ids": (torch.tensor([1]),),
        "objects_known_B": torch.tensor([True]),
    }
    terms = {"class_map_BHW": ["pixels"], "labels_BC": ["labels"]}.get(
        part, ["confidences", "boxes", "second_confidences", "second_boxes"]
    )
    found = network.losses(network(torch.randn(1, 3, 64, 64)), Targets(**every | {part: None}))
    for name, loss in found.items():
        assert (loss.item() == 0) == (name in terms), name
        assert loss.requires_grad


def test_the_second_look_reads_the_finer_map_inside_the_box():
    torch.manual_seed(0)
    cells = multinet_parts.Cells(
        6, 5, 3, 4, classes=2, shares=(-0.25, 0.0, 0.5), scale_down=0.1
    ).double()
    early_BChw8 = torch.randn(1, 4, 8, 12, dtype=torch.float64)
    boxes_BG4 = 30 * torch.randn(1, 6, 4, dtype=torch.float64)  # some reach beyond the map
    middles_G2 = multinet_parts._centres(torch.zeros(1, 1, 2, 3, dtype=torch.float64))
    found_GS = cells._rezoom(early_BChw8, boxes_BG4, middles_G2)[0]
    assert found_GS.shape == (6, 9 * 3)
    for cell, (x, y, width, height) in enumerate(boxes_BG4[0].tolist()):
        seen = []
        for share_x in (-0.25, 0.0, 0.5):
            for share_y in (-0.25, 0.0, 0.5):
                column = (float(middles_G2[cell, 0]) + x + share_x * width) / 8
                row = (float(middles_G2[cell, 1]) + y + share_y * height) / 8
                column, row = min(max(column, 0), 11), min(max(row, 0), 7)
                left, top = min(int(column), 10), min(int(row), 6)
                a, b = column - left, row - top
                four = early_BChw8[0, :3, top : top + 2, left : left + 2]
                weights = torch.tensor([[(1 - a) * (1 - b), a * (1 - b)], [(1 - a) * b, a * b]])
                seen.append((four * weights).sum(dim=(1, 2)))
        torch.testing.assert_close(found_GS[cell], torch.cat(seen))


def test_padding_of_odd_sizes_stands_on_both_sides():
    """TensorFlow's "SAME": ceil(n / 2) places, the odd zero behind; written out for a size."""
    torch.manual_seed(0)
    network = SameResNet((4, 4, 4, 4), (1, 1, 1, 1)).double().eval()
    for size, before in ((20, (2, 3)), (21, (3, 3))):
        images_B3HW = torch.randn(1, 3, size, size, dtype=torch.float64)
        padded = F.pad(images_B3HW, (*before, *before))
        stem = F.relu(network.stem.norm(F.conv2d(padded, network.stem.conv.weight, stride=2)))
        around = (0, 1) if stem.shape[-1] % 2 == 0 else (1, 1)
        pooled = F.max_pool2d(F.pad(stem, (*around, *around), value=-math.inf), 3, 2)
        torch.testing.assert_close(network(images_B3HW)[0], network.stages[0](pooled))


def test_fewer_classes_are_the_last_ones_of_objects_and_labels():
    config = replace(multinet.tiny(4).sizes, pixel_classes=2, box_classes=1, label_classes=3)
    network = multinet.MultiNet(config).eval()
    images_B3HW = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        answer = network.deploy_probabilities(images_B3HW)
        assert {*network.deploy(images_B3HW)} == {*answer} - {"probabilities"}
    assert (answer["class_ids"][answer["scores"] > 0] == 3).all()
    assert answer["labels"].shape == (1, 4)
    assert answer["labels"][0, 0] == 0
    assert answer["labels"].sum().item() == pytest.approx(1)
    assert answer["probabilities"].shape == (1, 4, 64, 96)
    assert (answer["probabilities"][:, 2:] == 0).all()
    assert torch.equal(answer["probabilities"].argmax(dim=1), answer["class_map"].long())


@pytest.mark.parametrize("size", [(70, 97), (64, 64)])
@pytest.mark.parametrize("build", [multinet.tiny, multinet.tiny_resnet])
def test_odd_sizes_are_segmented_whole(build, size):
    network = build(3).eval()
    with torch.no_grad():
        answer = network.deploy(torch.zeros((1, 3, *size), dtype=torch.uint8))
    assert answer["class_map"].shape == (1, *size)
    assert answer["labels"].shape == (1, 3)


def test_without_labels():
    network = multinet.MultiNet(replace(multinet.tiny(3).sizes, labels=False)).eval()
    with torch.no_grad():
        assert "labels" not in network.deploy(torch.zeros((1, 3, 64, 64), dtype=torch.uint8))
    assert not any(prefix.startswith("label") for prefix in network.head_prefixes())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"box_classes": 4}, "label_classes of 0 to the number of classes, 3, got .0, 4, 0."),
        ({"early_width": 33}, "early_width of 32 at most.*got 33"),
        ({"fc_kernel": 4}, "odd fc_kernel, got .* and 4"),
        ({"rezoom": ()}, "places in rezoom.*got 24, \\(\\)"),
        ({"widths": (8, 8, 8, 8)}, "5 positive entries in widths"),
        ({"hidden": 0}, "hidden >= 1, got 0"),
        ({"encoder": "resnet", "widths": (8,) * 4, "depths": (1,) * 4, "from_dense": True},
         "from_dense with the encoder vgg"),
    ],
)  # fmt: skip
def test_sizes_that_contradict_each_other(changes, text):
    with pytest.raises(ConfigError, match=text):
        replace(multinet.tiny(3).sizes, **changes)


def test_objects_from_behind_the_dense_layers():
    network = multinet.MultiNet(replace(multinet.tiny(3).sizes, from_dense=True, fc_width=40))
    assert network.detect.hidden.in_features == network.label.narrow.in_features == 40
    assert network(torch.zeros(1, 3, 64, 64))["boxes_BG4"].shape == (1, 4, 4)
