"""Region mutual information against its authors' recorded values, and by loops.

Legend: B batch, K classes, H W the size of the truth.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_losses import assert_as_recorded, case, made, recorded

from maskwright.losses import Targets, pixel_loss, rmi
from maskwright.losses.rmi import region_information

POOLINGS = ("max", "mean", "resize")


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_values_are_the_authors(softmax, number):
    entry = recorded("rmi_softmax_sigmoid" if softmax else "rmi_sigmoid")[number]
    logits, labels = made(entry)
    targets, args = Targets(class_map_BHW=labels), entry["args"]
    sizes = {
        "radius": args.get("rmi_radius", 3),
        "pool": args.get("rmi_pool_size", 3),
        "pooling": POOLINGS[args.get("rmi_pool_way", 0)],
    }
    balance = args.get("loss_weight_lambda", 0.5)
    if args.get("lambda_way", 1):
        loss = rmi(logits, targets, balance=balance, softmax=softmax, **sizes)
    else:  # the authors' other sum: all of the pixels, and so much of the regions
        pixels = rmi(logits, targets, balance=1.0, softmax=softmax, **sizes)
        loss = pixels + balance * region_information(logits, targets, clamp=softmax, **sizes)
    assert_as_recorded(loss, logits, entry, rel=1e-9)


def test_region_information_by_loops():
    """Without pooling; covariances by numpy's own function."""
    logits, targets = case(3, (1, 2, 5, 6))
    truth, found = targets.class_map_BHW[0].numpy(), logits[0].sigmoid().numpy()
    expected = 0.0
    for k in range(2):
        maps = ((truth == k).astype(float), np.where(truth == 255, 0, found[k]) + 1e-6)
        regions = [(y, x) for y in range(4) for x in range(5)]
        points = np.array(
            [[map_[y + j, x + i] for map_ in maps for j in (0, 1) for i in (0, 1)]
             for y, x in regions]
        )  # fmt: skip
        joint = np.cov(points.T, bias=True) * len(points)
        given = joint[4:, 4:] + 5e-4 * np.eye(4)
        rest = joint[:4, :4] - joint[:4, 4:] @ np.linalg.inv(given) @ joint[4:, :4]
        expected += 0.5 * math.log(np.linalg.det(rest + 5e-4 * np.eye(4))) / 4
    loss = region_information(logits, targets, radius=2, pool=1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)  # the authors add 1e-8 inside the log


def test_gradients_are_those_of_finite_differences():
    logits, targets = case(5, (1, 2, 9, 10))
    assert torch.autograd.gradcheck(
        lambda x: rmi(x, targets, radius=2, pool=2, pooling="mean"), (logits.requires_grad_(),)
    )


def test_the_right_answer_costs_less_than_another():
    truth = torch.zeros(1, 24, 24, dtype=torch.int64)
    truth[:, 5:15, 8:20] = 1
    right = torch.nn.functional.one_hot(truth, 2).movedim(-1, 1) * 16.0 - 8.0
    targets = Targets(class_map_BHW=truth)
    blurred = torch.nn.functional.avg_pool2d(right, 5, 1, 2)
    costs = [float(region_information(x, targets)) for x in (right, blurred, 0 * right)]
    assert costs == sorted(costs)


def test_void_and_precision():
    logits, targets = case(7, (2, 5, 20, 22))
    other = torch.where((targets.class_map_BHW == 255).unsqueeze(1), 50.0 - logits, logits)
    assert float(rmi(logits, targets)) == pytest.approx(float(rmi(other, targets)), rel=1e-12)
    single = rmi(logits.float(), targets)
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(float(rmi(logits, targets)), rel=1e-4)
    assert rmi(logits.bfloat16(), targets).dtype == torch.float32


def test_a_batch_of_void_has_no_gradient():
    logits = torch.randn(2, 4, 16, 16, requires_grad=True)
    loss = pixel_loss("rmi")(logits, Targets(class_map_BHW=torch.full((2, 16, 16), 255)))
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("size", [(6, 60), (60, 6)])
def test_a_truth_that_is_short_one_way_only_is_told(size):
    logits, targets = case(1, (1, 2, *size))
    with pytest.raises(ValueError, match="expected a truth of 3x3 or more after pooling by 3"):
        rmi(logits, targets)


def test_a_truth_smaller_than_a_region_is_told():
    logits, targets = case(1, (1, 2, 5, 6))
    with pytest.raises(ValueError, match=r"after pooling by 3, got \(2, 2\) from \(5, 6\)"):
        rmi(logits, targets)
