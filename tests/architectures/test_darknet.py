"""Anchors in cells against loops, and Darknet's files against what their format says."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from box_truths import box_truth
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from maskwright.architectures import build, yolov4_tiny
from maskwright.architectures.anchor_losses import anchor_losses, assign_anchors
from maskwright.architectures.darknet_files import read_cfg
from maskwright.architectures.encoders import EncoderSettings, create_encoder
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.layers.anchor_cells import anchor_cells, decode_cells
from maskwright.training import read_initial_weights

ANCHORS = ((10, 14), (30, 20), (60, 80))


def cells(height: int = 3, width: int = 4, stride: int = 32) -> torch.Tensor:
    return anchor_cells((height, width), stride, ANCHORS, torch.zeros(()).view(1))


def test_a_box_is_told_from_its_cell_and_anchor():
    told_N4 = torch.zeros(36, 4)
    row = (1 * 4 + 2) * 3 + 1  # row 1, column 2, second anchor
    boxes_N4 = decode_cells(told_N4, cells())
    assert boxes_N4[row].tolist() == [2.5 * 32 - 15, 1.5 * 32 - 10, 2.5 * 32 + 15, 1.5 * 32 + 10]
    told_N4[row] = torch.tensor([100.0, -100.0, 0.0, np.log(2)])
    grown = decode_cells(told_N4, cells(), sensitivity=1.1)[row]
    # the sigmoid's ends lie 0.05 of a cell beyond its edges
    x, y = (2 + 1.05) * 32, (1 - 0.05) * 32
    torch.testing.assert_close(grown, torch.tensor([x - 15, y - 20, x + 15, y + 20]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 120), st.floats(0, 90), st.floats(1, 100), st.floats(1, 90)),
        max_size=6,
    )
)
def test_anchors_are_assigned_as_loops_do(given_boxes):
    boxes = [[x, y, min(x + w, 128.0), min(y + h, 96.0)] for x, y, w, h in given_boxes]
    cells_N5 = cells().double()
    boxes_G4 = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    wants: dict[int, list[tuple[float, int]]] = {}
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        column, row = int((x1 + x2) / 2 // 32), int((y1 + y2) / 2 // 32)
        w, h = x2 - x1, y2 - y1
        overlaps = [
            min(w, aw) * min(h, ah) / (w * h + aw * ah - min(w, aw) * min(h, ah))
            for aw, ah in ANCHORS
        ]
        for anchor, (aw, ah) in enumerate(ANCHORS):
            alike = max(w / aw, aw / w, h / ah, ah / h) < 4
            if column < 4 and row < 3 and (alike or overlaps[anchor] == max(overlaps)):
                wants.setdefault((row * 4 + column) * 3 + anchor, []).append(
                    (overlaps[anchor], number)
                )
    found = assign_anchors(cells_N5, boxes_G4).tolist()
    for place, number in enumerate(found):
        if place not in wants:
            assert number == -1
        else:
            highest = max(overlap for overlap, _ in wants[place])
            assert any(n == number and o >= highest - 1e-9 for o, n in wants[place])


@pytest.mark.parametrize("exclusive", [False, True])
def test_losses_are_those_of_the_equations(exclusive):
    torch.manual_seed(0)
    told_NV = torch.randn(36, 8, dtype=torch.float64)
    cells_N5 = cells().double()
    own = box_truth([[10, 10, 40, 60], [70, 30, 90, 44]], [0, 1], crowds=[[96, 64, 128, 96]])
    found = anchor_losses(told_NV[None], cells_N5, [own], 1.0, exclusive)
    objects = assign_anchors(cells_N5, own.boxes_N4.double()).tolist()
    boxes = decode_cells(told_NV[:, :4], cells_N5)
    count, objectness, classes = 0, 0.0, 0.0
    for place, number in enumerate(objects):
        chance = torch.sigmoid(told_NV[place, 4])
        iou = box_iou(boxes[place : place + 1], own.boxes_N4.double())[0]
        if number >= 0:
            count += 1
            wanted = iou[number]
            objectness -= wanted * chance.log() + (1 - wanted) * (1 - chance).log()
            logits, kind = told_NV[place, 5:], number % 3
            if exclusive:
                classes -= logits.softmax(0)[kind].log()
            else:
                for k, one in enumerate(logits.sigmoid()):
                    classes -= one.log() if k == kind else (1 - one).log()
            continue
        low = torch.maximum(boxes[place, :2], own.crowds_M4[0, :2])
        high = torch.minimum(boxes[place, 2:], own.crowds_M4[0, 2:])
        area = (boxes[place, 2:] - boxes[place, :2]).prod()
        if iou.max() <= 0.7 and (high - low).clamp_min(0).prod() / area < 0.5:
            objectness -= (1 - chance).log()
    assert count
    torch.testing.assert_close(found["objectness"], objectness / count)
    torch.testing.assert_close(found["classes"], classes / count)
    assert found["boxes"] > 0


def test_the_truth_itself_costs_nothing():
    own = box_truth([[10, 10, 40, 60]], [0])
    cells_N5 = cells()
    told_NV = torch.full((36, 8), -30.0)
    told_NV[:, :2] = 0
    for place in (assign_anchors(cells_N5, own.boxes_N4) >= 0).nonzero().flatten().tolist():
        column, row, stride, width, height = cells_N5[place].tolist()
        inside = torch.tensor([25 / stride - column, 35 / stride - row])
        told_NV[place, :2] = inside.logit()
        told_NV[place, 2:4] = torch.tensor([30 / width, 50 / height]).log()
        told_NV[place, 4:6] = 30.0
    found = anchor_losses(told_NV[None], cells_N5, [own], 1.0, False)
    assert max(one.item() for one in found.values()) < 1e-4


@pytest.mark.parametrize("name", ["yolov4-tiny", "yolo-lite", "tiny-yolov2"])
@pytest.mark.parametrize("size", [(64, 96), (65, 99)])
def test_features_of_the_encoders(name, size):
    for levels in range(8):
        encoder = create_encoder(EncoderSettings(encoder=name, encoder_width=0.25, levels=levels))
        found = encoder(torch.rand(1, 3, *size))
        assert levels in (0, len(found)) or levels > len(found)
        assert [tuple(one.shape[1:]) for one in found] == [
            (channels, -(-size[0] // stride), -(-size[1] // stride))
            for channels, stride in zip(encoder.channels, encoder.strides)
        ]


def darknet_bytes(network, order, header=(0, 2, 5), seen=64) -> bytes:
    """As Darknet writes: of each convolution its norm or biases, then its weights."""
    state = network.state_dict()
    parts = [struct.pack("<3i", *header), struct.pack("<i" if header[:2] < (0, 2) else "<q", seen)]
    for place in order:
        if f"{place}.norm.weight" in state:
            names = [f"{place}.norm.{n}" for n in ("bias", "weight", "running_mean", "running_var")]
            names.append(f"{place}.conv.weight")
        else:
            own = f"{place}.conv" if f"{place}.conv.weight" in state else place
            names = [f"{own}.bias", f"{own}.weight"]
        parts += [state[name].numpy().astype("<f4").tobytes() for name in names]
    return b"".join(parts)


ORDER = (
    "encoder.stem encoder.second "
    + " ".join(
        f"encoder.stages.{i}.{part}"
        for i in range(3)
        for part in ("first", "inner.0", "inner.1", "merge")
    )
    + " encoder.last neck.reduce neck.coarse.0 neck.coarse.1 neck.bridge neck.fine.0 neck.fine.1"
).split()


@pytest.mark.parametrize("header", [(0, 2, 5), (0, 1, 0), (1, 0, 3)])
@pytest.mark.parametrize("classes", [1, 7])
def test_darknet_weights_load(tmp_path, header, classes):
    torch.manual_seed(3)
    network = build("yolov4-tiny", classes=classes, width=8)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    path = tmp_path / "x.weights"
    path.write_bytes(darknet_bytes(network, ORDER, header))
    found = read_initial_weights(path, "yolov4-tiny", {"width": 8})
    state = network.state_dict()
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert set(found) == set(state) - counters
    for name, tensor in found.items():
        assert torch.equal(tensor, state[name]), name


def test_darknet_weights_of_an_encoder_alone_load(tmp_path):
    network = build("yolov4-tiny", classes=4, width=8)
    path = tmp_path / "encoder.conv.29"
    path.write_bytes(darknet_bytes(network, ORDER[:15]))
    found = read_initial_weights(path, "yolov4-tiny", {"width": 8})
    assert {name.split(".")[0] for name in found} == {"encoder"}
    assert "encoder.last.conv.weight" in found


def test_chains_load(tmp_path):
    for name in ("yolo-lite", "tiny-yolov2"):
        widths = (8,) * (6 if name == "yolo-lite" else 8)
        options = {"widths": widths}
        network = build(name, classes=5, **options)
        order = [f"encoder.convs.{i}" for i in range(len(widths))] + ["answer"]
        path = tmp_path / f"{name}.weights"
        path.write_bytes(darknet_bytes(network, order))
        found = read_initial_weights(path, name, options)
        assert all(torch.equal(found[key], network.state_dict()[key]) for key in found)
        assert "answer.bias" in found


def test_other_numbers_are_told(tmp_path):
    data = darknet_bytes(build("yolov4-tiny", classes=4, width=8), ORDER)
    path = tmp_path / "x.weights"
    for wrong, message in (
        (data + b"\0" * 4, r"holds \d+ numbers, expected \d+ of yolov4-tiny"),
        (data[:20], "holds 0 numbers"),
        (data[:-1], "ends within a number"),
        (data[:-4] + struct.pack("<f", np.nan), "not finite"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ModelFileError, match=message):
            read_initial_weights(path, "yolov4-tiny", {"width": 8})
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="one of Darknet's detectors"):
        read_initial_weights(path, "unet")


def cfg_of_tiny(width: int = 8, classes: int = 3, anchors: str = "1,2, 3,4, 5,6, 7,8, 9,10, 11,12"):
    """YOLOv4-tiny's sections, as the README of the goldens lists them."""
    lines = ["[net]", "width=320", "height=256  # a remark", "channels=3", ""]

    def conv(filters, size=3, stride=1, norm=True, activation="leaky"):
        lines.extend(
            [
                "[convolutional]", *(["batch_normalize=1"] if norm else []),
                f"filters={filters}", f"size={size}", f"stride={stride}", "pad=1",
                f"activation={activation}", "",
            ]
        )  # fmt: skip

    conv(width, stride=2)
    conv(2 * width, stride=2)
    for block in range(3):
        c = 2 * width * 2**block
        conv(c)
        lines.extend(["[route]", "layers=-1", "groups=2", "group_id=1", ""])
        conv(c // 2)
        conv(c // 2)
        lines.extend(["[route]", "layers=-1,-2", ""])
        conv(c, 1)
        lines.extend(["[route]", "layers=-6,-1", "", "[maxpool]", "size=2", "stride=2", ""])
    conv(16 * width)
    conv(8 * width, 1)
    conv(16 * width)
    conv(3 * (5 + classes), 1, norm=False, activation="linear")
    head = [f"anchors={anchors}", f"classes={classes}", "num=6", "scale_x_y=1.05", ""]
    lines.extend(["[yolo]", "mask = 3,4,5", *head, "[route]", "layers=-4", ""])
    conv(4 * width, 1)
    lines.extend(["[upsample]", "stride=2", "", "[route]", "layers=-1,23", ""])
    conv(8 * width)
    conv(3 * (5 + classes), 1, norm=False, activation="linear")
    lines.extend(["[yolo]", "mask = 0,1,2", *head])
    return "\n".join(lines)


def test_a_cfg_of_yolov4_tiny(tmp_path):
    path = tmp_path / "tiny.cfg"
    path.write_text(cfg_of_tiny())
    name, options = read_cfg(path)
    assert name == "yolov4-tiny"
    assert options == {
        "anchors": (((7, 8), (9, 10), (11, 12)), ((1, 2), (3, 4), (5, 6))),
        "sensitivity": 1.05,
        "width": 8,
        "size": (256, 320),
    }
    del options["size"]
    assert isinstance(build(name, classes=2, **options), yolov4_tiny.YOLOv4Tiny)


def test_a_cfg_of_a_chain(tmp_path):
    lines = ["[net]", "height=224", "width=224"]
    for number, filters in enumerate((4, 6, 8, 10, 12, 14)):
        lines += ["[convolutional]", f"filters={filters}", "size=3", "activation=leaky"]
        lines += ["batch_normalize=1"] if number == 0 else []
        lines += ["[maxpool]", "size=2", "stride=2"] if number < 5 else []
    lines += ["[convolutional]", "filters=18", "size=1", "activation=linear"]
    lines += ["[region]", "anchors = 1,2, 0.5,0.25", "classes=4", "num=2"]
    path = tmp_path / "chain.cfg"
    path.write_text("\n".join(lines))
    assert read_cfg(path)[0] == "tiny-yolov2"
    options = read_cfg(path)[1]
    assert options["widths"] == (4, 6, 8, 10, 12, 14)
    assert options["norms"] == (True, False, False, False, False, False)
    assert options["anchors"] == (((32, 64), (16, 8)),)
    assert options["size"] == (224, 224)
    assert not options["pool_last"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begin with the section"),
        ("[net]\nwidth 3", "line 2"),
        ("[net]\n[convolutional]\nfilters=3", "its sections are"),
        (cfg_of_tiny().replace("filters=16", "filters=17", 1), r"convolution 1 .*17"),
        (cfg_of_tiny(anchors="1,2,3"), "is missing or no number"),
        (cfg_of_tiny().replace("filters=8", "filters=eight", 1), "eight"),
        (cfg_of_tiny() + "\n[convolutional]\nfilters=3\nsize=1", "expected 21"),
    ],
)
def test_other_cfgs_are_told(tmp_path, text, message):
    path = tmp_path / "x.cfg"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_cfg(path)
    with pytest.raises(ConfigError, match="could not read"):
        read_cfg(tmp_path / "missing.cfg")
