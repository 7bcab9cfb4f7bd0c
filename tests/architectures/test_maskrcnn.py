"""Mask R-CNN and its losses against torchvision's own, part by part and as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection._utils import (
    BalancedPositiveNegativeSampler,
    BoxCoder,
    Matcher,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.roi_heads import (
    fastrcnn_loss,
    maskrcnn_loss,
)
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign, box_iou

from maskwright.architectures import maskrcnn
from maskwright.architectures import maskrcnn_losses as losses
from maskwright.core.errors import ConfigError
from maskwright.layers.anchors import base_anchors, grid_anchors
from maskwright.layers.regions import paste_masks, pool_regions
from maskwright.losses import ObjectTruth, Targets

SIZE = (96, 128)
CLASSES = 3


def boxes(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    high = torch.tensor([size[1], size[0]])
    places = torch.rand((count, 2, 2), generator=generator) * high
    low, far = places.amin(dim=1), torch.minimum(places.amax(dim=1) + 4, high)
    return torch.cat([torch.minimum(low, far - 8), far], dim=1)  # a few pixels of every level


def truth(count: int, seed: int = 5, crowds: int = 0) -> ObjectTruth:
    """Objects of random boxes and classes, whose masks are noise."""
    generator = torch.Generator().manual_seed(seed)
    return ObjectTruth(
        known=True,
        boxes_N4=boxes(count, seed),
        class_ids_N=torch.randint(0, CLASSES, (count,), generator=generator),
        masks_NHW=torch.randint(0, 2, (count, *SIZE), generator=generator, dtype=torch.uint8),
        has_mask_N=torch.ones(count, dtype=torch.bool),
        crowds_M4=boxes(crowds, seed + 1),
    )


@pytest.fixture(scope="module")
def pair():
    """torchvision's network on a ResNet-18, untrained, and ours with its weights."""
    torch.manual_seed(0)
    sizes = tuple((size,) for size in (16, 32, 48, 64, 96))
    theirs = TorchvisionMaskRCNN(
        resnet_fpn_backbone(backbone_name="resnet18", weights=None),
        num_classes=CLASSES + 1,
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5),
        min_size=SIZE[0],
        max_size=SIZE[1],
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_test=200,
        box_score_thresh=0.0,
        box_detections_per_img=40,
    ).eval()
    with torch.no_grad():  # else every score were the same
        for layer in (theirs.roi_heads.box_predictor.cls_score, theirs.rpn.head.cls_logits):
            layer.weight.normal_(std=0.1)
        theirs.roi_heads.box_predictor.bbox_pred.weight.normal_(std=0.02)
        theirs.roi_heads.mask_predictor.mask_fcn_logits.weight.normal_(std=2.0)
    ours = maskrcnn.MaskRCNN(
        maskrcnn.MaskRCNNConfig(
            classes=CLASSES,
            encoder="resnet18",
            anchor_sizes=(16, 32, 48, 64, 96),
            best_anchors=300,
            proposals=200,
            candidates=600,
            slots=40,
        )
    ).eval()
    ours.load_state_dict(maskrcnn.from_reference(theirs.state_dict()))
    return ours, theirs


def test_the_whole_network_is_torchvisions(pair):
    ours, theirs = pair
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        wanted = theirs([image / 255])[0]
        found = ours.deploy(image[None])
    count = len(wanted["scores"])
    assert count == 40
    torch.testing.assert_close(found["scores"][0], wanted["scores"], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["boxes"][0], wanted["boxes"], atol=5e-2, rtol=0)
    assert torch.equal(found["class_ids"][0].long() + 1, wanted["labels"])
    # torchvision rounds boxes to pixels before it lays masks into the frame
    theirs_N = (wanted["masks"][:, 0] > 0.5)[:, 1::2, 1::2]
    ours_N = found["masks"][0] > 0
    agree = (theirs_N == ours_N).float().mean().item()
    assert agree > 0.97
    assert 0.01 < ours_N.float().mean() < 0.9


def test_regions_are_those_of_torchvision():
    generator = torch.Generator().manual_seed(2)
    height, width = 192, 256
    features = [
        torch.randn((2, 8, height // s, width // s), generator=generator, dtype=torch.float64)
        for s in maskrcnn.STRIDES
    ]
    places = torch.stack([boxes(60, seed, (height, width)) for seed in (3, 4)]).double()
    places[0, 0] = torch.tensor([0, 0, width, height])
    places[0, 1] = torch.tensor([width - 40, height - 30, width, height])
    for side in (7, 14):
        pool = MultiScaleRoIAlign(["0", "1", "2", "3"], side, 2)
        named = {str(i): one for i, one in enumerate(features)}
        wanted = pool(named, list(places), [(height, width)] * 2)
        torch.testing.assert_close(pool_regions(features, places, maskrcnn.STRIDES, side), wanted)


def test_anchors_match_as_torchvisions():
    own = truth(12)
    base = base_anchors((32,), (0.5, 1.0, 2.0), own.boxes_N4)
    anchors = grid_anchors(base, (12, 16), SIZE)
    labels_N, wanted_N4 = losses.match_anchors(anchors, own)
    matches = Matcher(0.7, 0.3, allow_low_quality_matches=True)(box_iou(own.boxes_N4, anchors))
    expected = torch.where(matches >= 0, 1, torch.where(matches == -1, 0, -1))
    assert torch.equal(labels_N, expected)
    found = labels_N == 1
    assert found.sum() >= 12
    assert torch.equal(wanted_N4[found], own.boxes_N4[matches[found]])


def test_losses_of_proposals_are_torchvisions(pair):
    _, theirs = pair
    rpn = theirs.rpn
    torch.manual_seed(3)
    anchors = grid_anchors(base_anchors((32,), (0.5, 1.0, 2.0), torch.zeros(1)), (12, 16), SIZE)
    logits, offsets = torch.randn(2, len(anchors)), torch.randn(2, len(anchors), 4)
    truths = [truth(6, 7), truth(9, 8)]
    found = losses.proposal_losses(
        {"objectness_BN": logits, "offsets_BN4": offsets, "anchors_N4": anchors},
        truths,
        maskrcnn.PROPOSAL_WEIGHTS,
        10**6,
    )
    every = BalancedPositiveNegativeSampler(10**6, 0.5)  # all of them
    before, rpn.fg_bg_sampler = rpn.fg_bg_sampler, every
    labels, matched = rpn.assign_targets_to_anchors(
        [anchors, anchors], [{"boxes": one.boxes_N4} for one in truths]
    )
    wanted = rpn.compute_loss(
        logits.reshape(-1, 1), offsets.reshape(-1, 4), labels,
        list(rpn.box_coder.encode(matched, [anchors, anchors])),
    )  # fmt: skip
    rpn.fg_bg_sampler = before
    torch.testing.assert_close(found["objectness"], wanted[0])
    torch.testing.assert_close(found["proposals"], wanted[1])


def test_losses_of_regions_are_torchvisions():
    torch.manual_seed(4)
    truths = [truth(5, 9), truth(7, 10)]
    proposals = torch.stack([boxes(40, 11), boxes(40, 12)])
    for number, own in enumerate(truths):  # some that lie on objects
        proposals[number, :5] = own.boxes_N4[:5] + torch.rand(5, 4)
    drawn = losses.draw_regions(proposals, torch.ones(2, 40), truths, 10**4)
    assert (drawn.labels_BR > 0).any(dim=1).all()
    chosen = losses.regions_with_masks(drawn, truths, 28)
    count = drawn.labels_BR.shape[1]
    logits, offsets = torch.randn(2, count, CLASSES + 1), torch.randn(2, count, CLASSES + 1, 4)
    masks = torch.randn(len(chosen.labels_Q), CLASSES + 1, 28, 28)
    known, masked = drawn.labels_BR >= 0, chosen.labels_Q >= 0
    found = losses.region_losses(
        {
            "class_logits_NC": logits[known],
            "box_offsets_NC4": offsets[known],
            "labels_N": drawn.labels_BR[known],
            "wanted_boxes_N4": drawn.wanted_BR4[known],
            "regions_N4": drawn.boxes_BR4[known],
            "mask_logits_QCSS": masks[masked],
            "mask_labels_Q": chosen.labels_Q[masked],
            "wanted_masks_QSS": chosen.masks_QSS[masked],
        },
        maskrcnn.BOX_WEIGHTS,
    )
    coder = BoxCoder(maskrcnn.BOX_WEIGHTS)
    targets = coder.encode_single(drawn.wanted_BR4[known], drawn.boxes_BR4[known])
    wanted = fastrcnn_loss(
        logits[known], offsets[known].flatten(1), [drawn.labels_BR[known]], [targets]
    )
    torch.testing.assert_close(found["classes"], wanted[0])
    torch.testing.assert_close(found["boxes"], wanted[1])
    per_image = chosen.labels_Q.view(2, -1) > 0
    own_boxes = [b[k] for b, k in zip(chosen.boxes_BQ4, per_image)]
    own_masks = masks.view(2, -1, CLASSES + 1, 28, 28)
    expected = maskrcnn_loss(
        torch.cat([m[k] for m, k in zip(own_masks, per_image)]),
        own_boxes,
        [one.masks_NHW.float() for one in truths],
        [one.class_ids_N + 1 for one in truths],
        [drawn.matched_BR[i][drawn.labels_BR[i] > 0] for i in range(2)],
    )
    torch.testing.assert_close(found["masks"], expected)


def test_a_quarter_of_the_regions_is_objects_at_most():
    own = truth(30)
    near = own.boxes_N4.repeat(10, 1) + torch.rand(300, 4)
    drawn = losses.draw_regions(
        torch.cat([near, boxes(300, 20)])[None], torch.ones(1, 600), [own], 64
    )
    assert drawn.labels_BR.shape == (1, 64)
    assert (drawn.labels_BR > 0).sum() == 16


def test_nothing_is_learnt_inside_a_crowd_or_of_an_unlabelled_image():
    own = truth(2, crowds=1)
    crowd = torch.tensor([[20.0, 20.0, 80.0, 80.0]])
    far = torch.tensor([[0.0, 0.0, 10.0, 10.0], [90.0, 60.0, 120.0, 90.0]])
    own = ObjectTruth(
        known=True, boxes_N4=far, class_ids_N=own.class_ids_N, masks_NHW=own.masks_NHW,
        has_mask_N=own.has_mask_N, crowds_M4=crowd,
    )  # fmt: skip
    inside = torch.tensor([[30.0, 30.0, 60.0, 60.0], [10.0, 30.0, 70.0, 60.0]])
    outside = torch.tensor([[0.0, 50.0, 30.0, 90.0]])
    labels_N, _ = losses.match_anchors(torch.cat([inside, outside]), own)
    assert labels_N.tolist() == [-1, -1, 0]
    drawn = losses.draw_regions(torch.cat([inside, outside])[None], torch.ones(1, 3), [own], 64)
    assert sorted(drawn.labels_BR[0].tolist()) == sorted([0, *(own.class_ids_N + 1).tolist()])
    unknown = replace(own, known=False)
    labels_N, _ = losses.match_anchors(inside, unknown)
    assert labels_N.tolist() == [-1, -1]
    drawn = losses.draw_regions(inside[None], torch.ones(1, 2), [unknown], 64)
    assert (drawn.labels_BR == -1).all()


def test_masks_are_laid_into_their_boxes():
    """Each pixel's middle reads the mask, bilinear, with zeros around it."""
    generator = torch.Generator().manual_seed(6)
    coarse = torch.rand((1, 6, 7, 7), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (28, 28), mode="bicubic").clamp(0, 1)
    places = boxes(6, 30, SIZE).round()
    found = paste_masks(smooth, places[None], SIZE, 1)[0] > 0.5
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in SIZE), indexing="ij")
    for own, mask, (left, top, right, bottom) in zip(found, smooth[0], places.tolist()):
        grid = torch.stack([(x - left) / (right - left), (y - top) / (bottom - top)], -1) * 2 - 1
        inside = (x > left) & (x < right) & (y > top) & (y < bottom)
        read = torch.nn.functional.grid_sample(mask[None, None], grid[None], align_corners=False)
        wanted = (read[0, 0] > 0.5) & inside
        assert (own == wanted).float().mean() > 0.9995
        assert wanted.any()


def test_levels_of_anchors_are_five():
    with pytest.raises(ConfigError, match="expected 5 anchor_sizes"):
        maskrcnn.MaskRCNNConfig(anchor_sizes=(32, 64))
    with pytest.raises(ConfigError, match="takes output_stride 32"):
        maskrcnn.MaskRCNNConfig(output_stride=16)


def test_weights_of_older_files_load(pair):
    """torchvision's published first version names layers as it once did."""
    ours, theirs = pair
    older = {}
    for name, tensor in theirs.state_dict().items():
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        for layer in range(4):
            name = name.replace(f"mask_head.{layer}.0.", f"mask_head.mask_fcn{layer + 1}.")
        if ".fpn." in name:
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        older[name] = tensor
    found = maskrcnn.from_reference(older)
    assert set(found) == {name for name in ours.state_dict() if "num_batches" not in name}
    np.testing.assert_array_equal(
        found["mask_head.convs.2.conv.weight"], theirs.roi_heads.mask_head[2][0].weight.detach()
    )


def test_batch_norms_of_the_heads_see_regions_alone():
    """An unlabelled image has none: beside a labelled one or alone, it changes no statistics."""
    config = replace(maskrcnn.tiny(CLASSES).sizes, norm=True, box_convs=(16,))
    labelled = Targets(
        boxes=(torch.tensor([[10.0, 10.0, 60.0, 50.0], [40.0, 20.0, 100.0, 90.0]]),),
        class_ids=(torch.tensor([0, 2]),),
        masks=(torch.ones(2, *SIZE, dtype=torch.uint8),),
        has_mask=(torch.ones(2, dtype=torch.bool),),
        crowds=(torch.zeros(2, dtype=torch.bool),),
        objects_known_B=torch.tensor([True]),
    )
    none = Targets(
        boxes=(torch.zeros(0, 4),),
        class_ids=(torch.zeros(0, dtype=torch.int64),),
        masks=(torch.zeros(0, *SIZE, dtype=torch.uint8),),
        has_mask=(torch.zeros(0, dtype=torch.bool),),
        crowds=(torch.zeros(0, dtype=torch.bool),),
        objects_known_B=torch.tensor([False]),
    )
    both = Targets(
        **{
            name: getattr(labelled, name) + getattr(none, name)
            for name in ("boxes", "class_ids", "masks", "has_mask", "crowds")
        },
        objects_known_B=torch.tensor([True, False]),
    )
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))

    def statistics(seen: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(7)
        network = maskrcnn.MaskRCNN(config).train()
        network.encoder.eval()
        network.pyramid.eval()
        torch.manual_seed(8)
        total = network.losses(network.training_outputs(seen, targets), targets)["total"]
        total.backward()
        assert all(p.grad is not None for p in network.box_head.parameters())
        heads = (network.box_head, network.mask_head)
        own = [
            value for head in heads for name, value in head.state_dict().items() if "run" in name
        ]
        assert network.box_head.training
        assert len(own) == 4
        return torch.cat([one.flatten() for one in own]), total

    alone, _ = statistics(images[:1], labelled)
    beside, _ = statistics(images, both)
    torch.testing.assert_close(beside, alone)
    untouched, total = statistics(images[1:], none)
    assert total == 0
    assert set(untouched.tolist()) == {0.0, 1.0}  # as batch norms begin
