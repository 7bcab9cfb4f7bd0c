"""SparseInst: matching, losses, and what deploy makes of its outputs, against independent forms."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import FrozenBatchNorm2d, masks_to_boxes

from maskwright.architectures import batch_norm_fusion, modify, sparseinst
from maskwright.architectures.encoders import RESNET_FORMS, EncoderSettings, create_encoder
from maskwright.architectures.sparseinst import SparseInstConfig, from_reference
from maskwright.architectures.sparseinst_losses import (
    WEIGHTS,
    Wanted,
    mask_overlaps,
    match,
    set_losses,
    shrink_truth,
)
from maskwright.core.errors import ConfigError
from maskwright.layers.deformable import DeformableConv
from maskwright.layers.frozen_norm import freeze_norms
from maskwright.layers.mask_extents import mask_extents, mean_inside
from maskwright.layers.places import with_places
from maskwright.losses.matching import best_matching
from maskwright.losses.object_truth import ObjectTruth


def truth_of(masks_MHW, class_ids, crowds=(), has_mask=None, known=True) -> ObjectTruth:
    boxes = masks_to_boxes(masks_MHW) + torch.tensor([0.0, 0, 1, 1])
    has = torch.ones(len(masks_MHW)).bool() if has_mask is None else torch.tensor(has_mask)
    return ObjectTruth(
        known=known,
        boxes_N4=boxes,
        class_ids_N=torch.tensor(class_ids, dtype=torch.int64),
        masks_NHW=masks_MHW.to(torch.uint8),
        has_mask_N=has,
        crowds_M4=torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


def outputs_of(images=1, instances=6, classes=3, side=8, seed=0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    return {
        "logits_BNK": noise(images, instances, classes),
        "objectness_BN1": noise(images, instances, 1),
        "mask_logits_BNhw": noise(images, instances, side, side),
        "size_2": torch.tensor([4 * side, 4 * side]),
    }


def squares(*corners, side=32) -> torch.Tensor:
    masks_MHW = torch.zeros(len(corners), side, side)
    for mask_HW, (top, left, size) in zip(masks_MHW, corners):
        mask_HW[top : top + size, left : left + size] = 1
    return masks_MHW


@pytest.mark.parametrize(("candidates", "objects"), [(5, 3), (3, 5), (4, 4), (3, 0)])
def test_matching_is_the_best_of_all(candidates, objects):
    scores = torch.rand(candidates, objects, generator=torch.Generator().manual_seed(7))
    rows, columns = best_matching(scores)
    assert len(rows) == len(set(rows.tolist())) == min(candidates, objects)
    assert len(set(columns.tolist())) == len(columns)
    wide = scores if candidates >= objects else scores.T
    best = max(
        sum(wide[row, column].item() for column, row in enumerate(order))
        for order in itertools.permutations(range(wide.shape[0]), wide.shape[1])
    )
    assert scores[rows, columns].sum().item() == pytest.approx(best)


def test_matching_takes_what_is_not_finite():
    scores = torch.tensor([[math.nan, 0.5], [math.inf, 0.1]])
    rows, columns = best_matching(scores)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])


def test_a_pair_scores_by_dice_and_class():
    """Two instances with one object's mask: the class decides; then the mask outweighs the class.

    The exponents show in the last case: 0.9 of the mask and a twentieth of the class win over a
    third of the mask and a sure class, which with equal exponents they would not.
    """
    masks_MP = torch.ones(1, 16)
    wanted = Wanted(class_ids_M=torch.tensor([1]), masks_MP=masks_MP, unknown_P=torch.zeros(16) > 0)
    same = torch.full((2, 16), 8.0)
    instances, _ = match(torch.tensor([[0.0, -1.0], [0.0, 1.0]]), same, wanted)
    assert instances.tolist() == [1]
    part = torch.full((16,), -9.0)
    part[:3] = 9.0  # dice 2 * 3 / (3 + 16)
    most = torch.full((16,), -9.0)
    most[:13] = 9.0  # dice 26 / 29
    weak, sure = math.log(0.05 / 0.95), 9.0
    logits = torch.tensor([[0.0, weak], [0.0, sure]])
    instances, _ = match(logits, torch.stack([most, part]), wanted)
    score = (26 / 29) ** 0.8 * 0.05**0.2, (6 / 19) ** 0.8
    assert score[0] > score[1]
    assert 26 / 29 * 0.05 < 6 / 19
    assert instances.tolist() == [0]


def by_hand(outputs, masks_MHW, class_ids, pairs) -> dict[str, float]:
    """The losses of one image, loops and the formulas of the paper."""
    logits, objectness = outputs["logits_BNK"][0].detach(), outputs["objectness_BN1"][0].detach()
    chances = outputs["mask_logits_BNhw"][0].detach().sigmoid()
    # at stride 4, a bilinear reading is the mean of a cell's inner four pixels
    small = F.avg_pool2d(masks_MHW[:, 1:-1, 1:-1].double(), 2, stride=4)
    sums = dict.fromkeys(WEIGHTS, 0.0)
    for n, k in itertools.product(range(logits.shape[0]), range(logits.shape[1])):
        chance = logits[n, k].sigmoid().item()
        right = any(i == n and class_ids[j] == k for i, j in pairs)
        at, alpha = (chance, 0.25) if right else (1 - chance, 0.75)
        sums["classes"] -= alpha * (1 - at) ** 2 * math.log(at)
    for i, j in pairs:
        p, t = chances[i], small[j]
        sums["dice"] += 1 - (2 * (p * t).sum() / ((p**2).sum() + (t**2).sum() + 1e-4)).item()
        sums["masks"] -= (t * p.log() + (1 - t) * (1 - p).log()).mean().item()
        found, true = p.numpy() >= 0.4, t.numpy() > 0.5
        overlap = np.logical_and(found, true).sum() / np.logical_or(found, true).sum()
        o = objectness[i, 0].sigmoid().item()
        sums["objectness"] -= overlap * math.log(o) + (1 - overlap) * math.log(1 - o)
    return {name: WEIGHTS[name] * sums[name] / len(pairs) for name in WEIGHTS}


def test_losses_by_hand():
    outputs = outputs_of()
    masks_MHW = squares((2, 3, 13), (15, 14, 16))
    class_ids = [2, 0]
    losses = set_losses(outputs, [truth_of(masks_MHW, class_ids)])
    wanted = shrink_truth(
        truth_of(masks_MHW, class_ids), (32, 32), outputs["mask_logits_BNhw"][0].detach()
    )
    pairs = match(outputs["logits_BNK"][0], outputs["mask_logits_BNhw"][0].flatten(1), wanted)
    expected = by_hand(outputs, masks_MHW, class_ids, list(zip(*(p.tolist() for p in pairs))))
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-9), name
    assert losses["total"].item() == pytest.approx(sum(expected.values()), rel=1e-9)


def test_a_batch_is_one_sum_over_its_pairs():
    outputs = outputs_of(images=2)
    truths = [truth_of(squares((2, 3, 13), (15, 14, 16), (4, 20, 9)), [2, 0, 1]),
              truth_of(squares((8, 8, 20)), [1])]  # fmt: skip
    together = set_losses(outputs, truths)["total"]
    alone = [
        set_losses(
            {name: one if name == "size_2" else one[i : i + 1] for name, one in outputs.items()},
            truths[i : i + 1],
        )["total"]
        for i in range(2)
    ]
    assert together.item() == pytest.approx((3 * alone[0] + alone[1]).item() / 4)


def test_the_unknown_is_no_negative():
    """A crowd, and the box of an object without a mask, spare the instances that lie inside."""
    outputs = outputs_of(instances=2, seed=1)
    with torch.no_grad():
        outputs["mask_logits_BNhw"].fill_(-20.0)
        outputs["mask_logits_BNhw"][0, 0, :3, :3] = 20.0  # in 0..12
        outputs["mask_logits_BNhw"][0, 1, 5:, 5:] = 20.0  # in 20..32
    nothing = torch.zeros(0, 32, 32)
    boxed = truth_of(squares((0, 0, 12)), [1], has_mask=[False])
    for truth in (truth_of(nothing, [], crowds=[[0, 0, 12, 12]]), boxed):
        (gradient,) = torch.autograd.grad(
            set_losses(outputs, [truth])["total"], outputs["logits_BNK"]
        )
        assert (gradient[0, 0] == 0).all()
        assert (gradient[0, 1] > 0).all()


def test_an_unlabelled_image_teaches_nothing():
    outputs = outputs_of(images=2)
    truths = [truth_of(squares((2, 3, 13)), [2], known=False), truth_of(squares((8, 8, 20)), [1])]
    losses = set_losses(outputs, truths)
    for name in ("logits_BNK", "objectness_BN1", "mask_logits_BNhw"):
        (gradient,) = torch.autograd.grad(losses["total"], outputs[name], retain_graph=True)
        assert (gradient[0] == 0).all(), name
        assert (gradient[1] != 0).any(), name


def test_overlaps_of_masks():
    chances = torch.tensor([[0.5, 0.41, 0.39, 0.0], [0.1, 0.1, 0.1, 0.1]])
    masks = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(mask_overlaps(chances, masks), torch.tensor([1 / 3, 0.0]))


def test_extents_are_the_boxes_of_masks():
    masks = torch.rand(3, 5, 12, 9, generator=torch.Generator().manual_seed(0)) > 0.97
    masks[..., 6, 4] = True
    boxes, some = mask_extents(masks, 4)
    expected = masks_to_boxes(masks.flatten(0, 1)) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(boxes.flatten(0, 1), 4 * expected)
    assert (some == 1).all()
    boxes, some = mask_extents(torch.zeros(1, 2, 4, 4).bool(), 2)
    assert not boxes.any()
    assert not some.any()


def test_mean_inside():
    chances = torch.tensor([[[[0.4, 0.5], [0.9, 0.1]], [[0.1, 0.2], [0.3, 0.45]]]])
    torch.testing.assert_close(mean_inside(chances, 0.45), torch.tensor([[0.7, 0.0]]))


def test_places():
    placed = with_places(torch.zeros(2, 4, 3, 5))
    assert placed.shape == (2, 6, 3, 5)
    assert placed[1, 0, 2].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert placed[1, 1, :, 3].tolist() == [-1, 0, 1]


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_deformable_by_sampling(stride, dilation):
    """torchvision's operation, and what is exported in its stead, offsets past the edges too."""
    torch.manual_seed(0)
    layer = DeformableConv(6, 4, stride, dilation).double()
    images = torch.randn(2, 6, 9, 12).double()
    plain = F.conv2d(images, layer.weight, None, stride, dilation, dilation)
    torch.testing.assert_close(layer(images), plain)
    nn.init.normal_(layer.offset.weight, std=0.6)
    moved = layer(images)
    assert not torch.allclose(moved, plain)
    sampled = layer.by_sampling(images, layer.offset(images))
    torch.testing.assert_close(sampled, moved, rtol=1e-9, atol=1e-10)


def test_a_deformable_network_is_exported(tmp_path):
    torch.manual_seed(0)
    layer = nn.Sequential(DeformableConv(6, 4, 2)).eval()
    nn.init.normal_(layer[0].offset.weight, std=0.4)
    images = torch.randn(1, 6, 10, 14)
    path = tmp_path / "layer.onnx"
    torch.onnx.export(layer, (images,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    np.testing.assert_allclose(found, layer(images).detach().numpy(), atol=1e-4)


def test_frozen_norms_say_the_same_and_learn_nothing():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3)))
    network(torch.randn(8, 3, 9, 9))
    network.eval()
    images = torch.randn(2, 3, 9, 9)
    before = network(images)
    freeze_norms(network)
    torch.testing.assert_close(network.train()(images), before)
    assert {name for name, _ in network.named_parameters()} == {"0.weight", "0.bias"}
    assert {"1.0.weight", "1.0.running_mean"} <= set(network.state_dict())


def test_frozen_norms_fold_into_convolutions():
    """Into deformable ones, too."""
    torch.manual_seed(0)
    config = SparseInstConfig(
        classes=3, encoder="resnet50vd-dcn", encoder_width=0.125, frozen_norm=True, instances=4,
        width=8, instance_width=8, mask_width=8, kernel_width=4,
    )  # fmt: skip
    network = sparseinst.SparseInst(config).double().eval()
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean, std=0.1)
        if isinstance(module, DeformableConv):
            nn.init.normal_(module.offset.weight, std=0.1)
    folded = copy.deepcopy(network)
    modify(folded, batch_norm_fusion(network))
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in folded.modules())
    images = torch.randn(1, 3, 64, 96).double()
    with torch.no_grad():
        torch.testing.assert_close(folded.fuse(images), network.fuse(images))


@pytest.mark.parametrize("name", ["resnet18vd", "resnet50vd", "resnet50-dcn", "resnet50vd-dcn"])
def test_forms_of_residual_networks(name):
    timm = pytest.importorskip("timm")
    encoder = create_encoder(EncoderSettings(encoder=name, output_stride=32)).eval()
    plain = timm.create_model(name.removesuffix("-dcn").replace("vd", "d"), features_only=True)
    ours = {key for key in encoder.state_dict() if ".offset." not in key}
    assert ours == set(plain.state_dict())
    encoder.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(1, 3, 70, 90)
    # where taps are not moved yet, both are timm's network; sides of odd features are rounded up
    for own, theirs in zip(encoder(images), plain.eval()(images), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3)


def test_groups_and_softmax_make_weighted_means():
    """A map that lights one pixel gives that pixel's features; a dark one the mean of all."""
    config = SparseInstConfig(
        classes=3, encoder="resnet18", encoder_width=0.125, instances=4, width=8,
        instance_width=8, mask_width=8, kernel_width=4, softmax=True,
    )  # fmt: skip
    branch = sparseinst.SparseInst(config).instances
    nn.init.zeros_(branch.activate.weight)
    seen = torch.randn(2, 8, 5, 6)
    means = seen.mean(dim=(2, 3)).unsqueeze(1).expand(-1, 4, -1)
    torch.testing.assert_close(branch.describe(seen), means)
    branch.softmax_bias = None
    torch.testing.assert_close(branch.describe(seen), means)


def test_scores_are_sure_only_of_sure_masks():
    """The best class of an instance, its objectness and its mask: each lowers the score."""
    network = sparseinst.tiny(3).eval()
    with torch.no_grad():
        outputs = network(network.normalise(torch.randint(0, 256, (1, 3, 64, 64)).byte()))
    outputs["logits_BNK"] = torch.full((1, 12, 3), -9.0)
    outputs["logits_BNK"][0, :, 1] = torch.logit(torch.tensor(0.5))
    outputs["objectness_BN1"] = torch.linspace(-2, 2, 12).view(1, 12, 1)
    outputs["mask_logits_BNhw"] = torch.full((1, 12, 16, 16), -9.0)
    outputs["mask_logits_BNhw"][0, 3:, 4:8, 2:10] = torch.logit(torch.tensor(0.8))
    network.forward = lambda images: outputs
    answer = network.deploy(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    objectness = torch.linspace(-2, 2, 12).sigmoid().flip(0)[:9]
    torch.testing.assert_close(answer["scores"][0, :9], (0.5 * objectness).sqrt() * 0.8)
    assert answer["scores"][0, 9] == 0
    assert (answer["class_ids"][0, :9] == 1).all()
    # bilinear enlargement moves an edge by less than a cell of the output
    expected = torch.tensor([8.0, 16, 40, 32]).expand(9, 4)
    assert (answer["boxes"][0, :9] - expected).abs().max() <= 2
    assert answer["masks"].shape == (1, 10, 32, 32)


def test_wrong_sizes_are_told():
    with pytest.raises(ConfigError, match="groups 3"):
        SparseInstConfig(groups=3)
    with pytest.raises(ConfigError, match="output_stride 32, got 16"):
        SparseInstConfig(output_stride=16)
    with pytest.raises(ConfigError, match="between 0 and 1, got 45"):
        SparseInstConfig(mask_threshold=45)
    network = sparseinst.tiny(3).eval()
    network.sizes = SparseInstConfig(mask_stride=7)
    with pytest.raises(ConfigError, match="sides that 7 divides"):
        network.deploy(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_deformable_stages_are_checked():
    with pytest.raises(ConfigError, match="stages from 1 to 4"):
        type(RESNET_FORMS["resnet50vd"])(deformable=(5,))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("backbone.stem.conv1.norm.weight", "encoder.bn1.weight"),
        ("backbone.res2.0.shortcut.norm.weight", "encoder.layer1.0.downsample.1.weight"),
        ("backbone.res4.2.conv2_offset.bias", "encoder.layer3.2.conv2.offset.bias"),
        ("backbone.layer1.0.downsample.1.weight", "encoder.layer1.0.downsample.1.weight"),
        ("encoder.fusion.bias", "context.fuse.bias"),
        ("decoder.mask_branch.mask_convs.6.bias", "masks.convs.3.conv.bias"),
    ],
)
def test_names_of_the_authors(theirs, ours):
    assert list(from_reference({theirs: torch.zeros(1)})) == [ours]
