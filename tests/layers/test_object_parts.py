"""Parts of networks that find objects, against torchvision's and the runtimes' own."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import FeaturePyramidNetwork, nms
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from maskwright.export.operators import translations
from maskwright.layers import (
    FeaturePyramid,
    best,
    decode_boxes,
    encode_boxes,
    kept,
    kept_by_class,
    rows_at,
)
from maskwright.runtimes import ov


def boxes(count: int, seed: int = 0, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """xyxy boxes within 100 pixels that overlap a lot, and their scores, no two alike."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand((batch, count, 2), generator=generator) * 80
    sides = 4 + torch.rand((batch, count, 2), generator=generator) * 40
    places = torch.stack([torch.randperm(count, generator=generator) for _ in range(batch)])
    return torch.cat([corners, corners + sides], dim=2), (places + 1) / (count + 1)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_suppression_is_torchvisions(threshold):
    found_BN4, scores_BN = boxes(200)
    stays = kept(found_BN4, scores_BN, threshold)
    for own, four, scores in zip(stays, found_BN4, scores_BN):
        assert set(own.nonzero()[:, 0].tolist()) == set(nms(four, scores, threshold).tolist())
    assert 0 < stays.sum() < stays.numel()


def test_classes_suppress_their_own_alone():
    found_BN4, scores_BN = boxes(300)
    found_BN4 = found_BN4 - 60  # negative coordinates, too
    ids_BN = torch.arange(300).remainder(5).expand(2, -1)
    stays = kept_by_class(found_BN4, scores_BN, ids_BN, 0.4)
    for own, four, scores, ids in zip(stays, found_BN4, scores_BN, ids_BN):
        wanted = set()  # torchvision's batched_nms mixes classes where coordinates are negative
        for class_id in range(5):
            (places,) = torch.where(ids == class_id)
            wanted |= set(places[nms(four[places], scores[places], 0.4)].tolist())
        assert set(own.nonzero()[:, 0].tolist()) == wanted


class _Suppress(nn.Module):
    def forward(self, boxes_BN4, scores_BN):
        ids_BN = torch.zeros_like(scores_BN, dtype=torch.int64)
        stays = kept_by_class(boxes_BN4, scores_BN, ids_BN, 0.5)
        scores_BK, places_BK = best(scores_BN * stays, 20)
        return scores_BK, rows_at(boxes_BN4, places_BK)


@pytest.mark.parametrize("count", [8, 150])
def test_suppression_in_a_graph(count):
    found_BN4, scores_BN = boxes(count, batch=1)
    wanted = _Suppress()(found_BN4, scores_BN)
    program = torch.onnx.export(
        _Suppress().eval(),
        (found_BN4, scores_BN),
        dynamo=True,
        opset_version=20,
        input_names=["boxes", "scores"],
        custom_translation_table=translations(),
        verbose=False,
    )
    graph = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    inputs = {"boxes": found_BN4.numpy(), "scores": scores_BN.numpy()}
    core = ov._core()
    compiled = core.compile_model(core.read_model(graph), "CPU")
    for outputs in (session.run(None, inputs), list(compiled(inputs).values())):
        for got, want in zip(outputs, wanted):
            np.testing.assert_allclose(got, want.numpy(), atol=1e-6)


def test_empty_slots_score_nothing():
    scores_BK, places_BK = best(torch.tensor([[0.2, 0.9]]), 4)
    torch.testing.assert_close(scores_BK, torch.tensor([[0.9, 0.2, 0, 0]]))
    assert places_BK.tolist() == [[1, 0, 0, 0]]
    rows = rows_at(torch.arange(12).view(1, 2, 3, 2), places_BK)
    assert rows.shape == (1, 4, 3, 2)
    assert rows[0, 0].tolist() == [[6, 7], [8, 9], [10, 11]]


@pytest.mark.parametrize("weights", [(10.0, 10.0, 5.0, 5.0), (1.0, 1.0, 1.0, 1.0)])
def test_offsets_are_torchvisions(weights):
    own_N4, anchors_N4 = boxes(50, seed=1)[0]
    coder = BoxCoder(weights)
    offsets_N4 = encode_boxes(own_N4, anchors_N4, weights)
    torch.testing.assert_close(offsets_N4, coder.encode_single(own_N4, anchors_N4))
    torch.testing.assert_close(
        decode_boxes(offsets_N4, anchors_N4, weights), own_N4, atol=1e-3, rtol=0
    )
    wild_N4 = 9 * torch.randn(50, 4)
    torch.testing.assert_close(
        decode_boxes(wild_N4, anchors_N4, weights), coder.decode_single(wild_N4, anchors_N4)
    )


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_pyramid_is_torchvisions(norm):
    torch.manual_seed(0)
    own = FeaturePyramid((4, 6, 8), 5, extra=1, norm=norm).eval()
    other = FeaturePyramidNetwork([4, 6, 8], 5, LastLevelMaxPool(), norm_layer=norm).eval()
    renamed = {}
    for name, tensor in own.state_dict().items():
        part, level, kind, rest = name.split(".")
        block = {"lateral": "inner_blocks", "smooth": "layer_blocks"}[part]
        renamed[f"{block}.{level}.{ {'conv': 0, 'norm': 1}[kind] }.{rest}"] = tensor
    other.load_state_dict(renamed)
    features = [torch.randn(2, 4, 17, 24), torch.randn(2, 6, 9, 12), torch.randn(2, 8, 5, 6)]
    wanted = list(other({str(i): each for i, each in enumerate(features)}).values())
    found = own(features)
    assert len(found) == len(wanted) == 4
    for got, want in zip(found, wanted):
        torch.testing.assert_close(got, want)


def test_pyramid_with_strided_levels_and_activations():
    own = FeaturePyramid(
        (4, 6), 5, extra=2, strided=True, enlargement="bilinear", activation=nn.ReLU
    )
    found = own([torch.randn(1, 4, 16, 16), torch.randn(1, 6, 8, 8)])
    assert [tuple(each.shape[-2:]) for each in found] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert [bool((each >= 0).all()) for each in found] == [True, True, False, False]
