"""Losses against loops over pixels, torch's own, and the recorded values of other libraries.

Legend: B batch, K classes, H W the size of the truth.
"""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared_path
from torch import Tensor

from maskwright.core.errors import ConfigError
from maskwright.losses import (
    PIXEL_LOSSES,
    LossConfig,
    Need,
    PixelLoss,
    SummedLoss,
    Targets,
    cross_entropy,
    dice,
    pixel_loss,
    rmi,
)

VOID = 255
WEIGHTS_K = torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)


def case(seed: int, size: tuple[int, int, int, int] = (2, 4, 5, 6)) -> tuple[Tensor, Targets]:
    """Float64 logits, and a truth with some void."""
    batch, classes, height, width = size
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, generator=generator, dtype=torch.float64) * 3
    ids = torch.randint(0, classes + 1, (batch, height, width), generator=generator)
    class_map = torch.where(ids == classes, VOID, ids)
    return logits, Targets(class_map_BHW=class_map)


def labelled(logits: Tensor, targets: Targets) -> list[tuple[list[float], int]]:
    """(softmax, class id) of each labelled pixel, by plain arithmetic."""
    pixels = []
    for image, truth in zip(logits.tolist(), targets.class_map_BHW.tolist()):
        for y, row in enumerate(truth):
            for x, class_id in enumerate(row):
                if class_id != VOID:
                    powers = [math.exp(channel[y][x]) for channel in image]
                    pixels.append(([power / sum(powers) for power in powers], class_id))
    return pixels


def dice_by_loops(logits: Tensor, targets: Targets, smooth: float) -> float:
    pixels, classes = labelled(logits, targets), logits.shape[1]
    terms = []
    for k in range(classes):
        truth = sum(class_id == k for _, class_id in pixels)
        overlap = sum(p[k] for p, class_id in pixels if class_id == k)
        both = truth + sum(p[k] for p, _ in pixels)
        terms.append(1 - (2 * overlap + smooth) / max(both + smooth, 1e-7) if truth else 0.0)
    return sum(terms) / classes


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), weighted=st.booleans())
def test_cross_entropy_is_the_weighted_mean_over_labelled_pixels(seed, weighted):
    logits, targets = case(seed)
    weights = WEIGHTS_K.tolist() if weighted else [1.0] * 4
    pixels = labelled(logits, targets)
    total = sum(-weights[k] * math.log(p[k]) for p, k in pixels)
    expected = total / sum(weights[k] for _, k in pixels)
    found = cross_entropy(logits, targets, WEIGHTS_K if weighted else None)
    assert float(found) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("weights_K", [None, WEIGHTS_K])
def test_cross_entropy_and_its_gradient_are_those_of_torch(weights_K):
    logits, targets = case(3)
    logits.requires_grad_()
    cross_entropy(logits, targets, weights_K).backward()
    other = logits.detach().clone().requires_grad_()
    F.cross_entropy(other, targets.class_map_BHW, weights_K, ignore_index=VOID).backward()
    torch.testing.assert_close(logits.grad, other.grad, rtol=1e-10, atol=1e-14)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), smooth=st.sampled_from([0.0, 1.0]))
def test_dice_by_loops(seed, smooth):
    logits, targets = case(seed, (2, 4, 3, 3))
    found = dice(logits, targets, smooth=smooth)
    assert float(found) == pytest.approx(dice_by_loops(logits, targets, smooth), rel=1e-10)
    assert 0 <= float(found) <= 1


@pytest.mark.parametrize("loss", [cross_entropy, dice])
def test_gradients_are_those_of_finite_differences(loss):
    logits, targets = case(5, (1, 3, 2, 3))
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), (logits.requires_grad_(),))


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_all():
    truth = torch.tensor([[[0, 1], [1, VOID]]])
    right = F.one_hot(truth.clamp_max(1), 2).movedim(-1, 1) * 100.0
    targets = Targets(class_map_BHW=truth)
    assert float(dice(right, targets)) == pytest.approx(0, abs=1e-6)
    assert float(cross_entropy(right, targets)) == pytest.approx(0, abs=1e-6)
    assert float(dice(-right, targets)) == pytest.approx(1, abs=1e-6)
    assert float(cross_entropy(-right, targets)) == pytest.approx(100)


def test_what_lies_in_void_pixels_changes_nothing():
    logits, targets = case(7)
    other = torch.where((targets.class_map_BHW == VOID).unsqueeze(1), 50.0 - logits, logits)
    assert not torch.equal(other, logits)
    for loss in (cross_entropy, dice):
        assert float(loss(logits, targets)) == pytest.approx(float(loss(other, targets)), rel=1e-12)


def test_void_above_255_classes():
    logits = torch.randn(1, 300, 2, 2)
    with_void = torch.tensor([[[299, 255], [65535, 0]]])
    found = cross_entropy(logits, Targets(class_map_BHW=with_void, void=65535))
    picked = logits.log_softmax(1)[0, [299, 255, 0], [0, 0, 1], [0, 1, 1]]
    assert float(found) == pytest.approx(float(-picked.mean()), rel=1e-5)


@pytest.mark.parametrize("names", ["ce", "weighted-ce", "dice", "weighted-ce+dice"])
def test_a_batch_of_void_gives_zero_and_no_gradient(names):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        logits = torch.randn(2, 4, 3, 3).to(dtype).requires_grad_()
        targets = Targets(class_map_BHW=torch.full((2, 3, 3), VOID))
        loss = pixel_loss(names, WEIGHTS_K)(logits, targets)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_classes_that_weigh_nothing_alone_give_zero():
    logits = torch.randn(1, 4, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, Targets(class_map_BHW=torch.full((1, 2, 2), 3)), WEIGHTS_K)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", [cross_entropy, dice])
def test_precisions(loss):
    logits, targets = case(11, (2, 5, 128, 128))
    exact = float(loss(logits, targets))
    assert loss(logits.float(), targets).dtype == torch.float32
    assert float(loss(logits.float(), targets)) == pytest.approx(exact, rel=1e-5)
    half = logits.detach().bfloat16()
    # all that bf16 costs is the rounding of the logits: sums are kept in float32
    rounded = float(loss(half.double(), targets))
    assert float(loss(half, targets)) == pytest.approx(rounded, rel=1e-5)
    assert rounded == pytest.approx(exact, rel=1e-2)


def test_sums_of_losses_by_name():
    logits, targets = case(13, (2, 4, 9, 9))
    plain, weighted = cross_entropy(logits, targets), cross_entropy(logits, targets, WEIGHTS_K)
    overlap = dice(logits, targets)
    expected = {
        "ce": plain,
        "weighted-ce": weighted,
        "dice": overlap,
        "ce+dice": plain + overlap,
        "rmi": rmi(logits, targets),
        " weighted-ce + dice ": weighted + overlap,
    }
    assert set(PIXEL_LOSSES) < set(expected)
    for names, value in expected.items():
        assert float(pixel_loss(names, WEIGHTS_K)(logits, targets)) == float(value)
    assert float(plain) != float(weighted)
    unknown_weights: PixelLoss = pixel_loss("weighted-ce")
    assert float(unknown_weights(logits, targets)) == float(plain)


def test_factors_and_settings_by_name():
    logits, targets = case(17, (2, 4, 16, 16))
    expected = {
        "ce + 0.5*dice": cross_entropy(logits, targets) + 0.5 * dice(logits, targets),
        "2 * dice(smooth=1)": 2 * dice(logits, targets, smooth=1.0),
        ".25*rmi(radius=2, pool=1)+1e1*ce": 0.25 * rmi(logits, targets, radius=2, pool=1)
        + 10 * cross_entropy(logits, targets),
        "rmi(pooling=mean, softmax=true)": rmi(logits, targets, pooling="mean", softmax=True),
        "0.1234567890123*ce": 0.1234567890123 * cross_entropy(logits, targets),
        "1e-7*ce()": 1e-7 * cross_entropy(logits, targets),
    }
    for text, value in expected.items():
        loss = pixel_loss(text)
        assert float(loss(logits, targets)) == pytest.approx(float(value), rel=1e-12)
        again = pixel_loss(str(loss))  # what is written down is what was read
        assert again.terms == loss.terms
        assert str(again) == str(loss)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("focal", "no loss 'focal'"),
        ("dise", "did you mean dice"),
        ("ce+", "breaks off at its end"),
        ("", "breaks off at its end"),
        ("ce dice", "'dice' in 'ce dice'"),
        ("ce - dice", "'- dice' in 'ce - dice'"),
        ("-1*ce", "expected a loss as"),
        ("0*ce", "factors above zero, got 0"),
        ("dice(smoth=1)", "did you mean smooth"),
        ("dice(smooth=much)", "expected smooth to be float, got 'much'"),
        ("dice(smooth=-1)", "smooth >= 0"),
        ("dice(smooth)", "NAME=VALUE, got 'smooth'"),
        ("dice(smooth=1, smooth=2)", "each setting once, got smooth twice"),
        ("1e999*ce", "factors above zero, got inf"),
        ("rmi(radius=0)", "radius >= 1"),
        ("rmi(pooling=min)", "pooling"),
        ("rmi(radius=5", r"'\(radius=5' in 'rmi\(radius=5'"),
    ],
)
def test_what_is_no_loss_is_told(text, told):
    with pytest.raises(ConfigError, match=told):
        pixel_loss(text)


def test_a_sum_is_written_as_one_would_write_it():
    for text in ("ce", "2*ce + 0.5*dice(smooth=1.0)", "weighted-ce + rmi(radius=5, softmax=True)"):
        assert str(pixel_loss(text)) == text
    assert str(pixel_loss("1.0 * ce+10.50*rmi( radius = 3 )")) == "ce + 10.5*rmi"


def test_what_the_terms_of_a_sum_need_is_needed(monkeypatch):
    """A loss is one class and one line; what it needs reaches the loader, each thing once."""
    distance = Need(name="signed-distance")

    @dataclass(frozen=True, kw_only=True)
    class Boundary(LossConfig):
        needs = (distance,)

        def __call__(self, logits_BKHW, targets, weights_K=None):
            return (logits_BKHW.softmax(dim=1) * targets.made[distance]).mean()

    monkeypatch.setitem(PIXEL_LOSSES, "boundary", Boundary)
    loss = pixel_loss("ce + 0.01*boundary + boundary")
    assert loss.needs == {distance}
    assert pixel_loss("ce + dice").needs == frozenset()
    logits, targets = case(19)
    with_maps = replace(targets, made={distance: torch.full_like(logits, 3.0)})
    expected = float(cross_entropy(logits, targets)) + 1.01 * 3 / 4
    assert float(loss(logits, with_maps)) == pytest.approx(expected)


def test_a_sum_of_no_terms_is_refused():
    with pytest.raises(ConfigError, match="one term or more, got none"):
        SummedLoss([])


@pytest.mark.parametrize("names", sorted(PIXEL_LOSSES))
def test_a_batch_that_is_unlabelled_gives_a_connected_zero(names):
    """So that every process of many takes part in every sum, whatever its images show."""
    logits = torch.randn(1, 2, 16, 16, requires_grad=True)
    loss = pixel_loss(names)(logits, Targets())
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


# --- recorded values ------------------------------------------------------------------------------


def parity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity", shared_path("parity/parity.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(name: str) -> list[dict]:
    text = shared_path("parity/goldens/losses.json").read_text()
    return json.loads(text)["cases"][name]


def made(entry: dict) -> tuple[Tensor, Tensor]:
    """Logits and class map of a case, by the recipe in the golden's `about`."""
    make_input, seed = parity().make_input, entry["seed"]
    batch, classes, height, width = (entry[key] for key in "NCHW")
    logits = 3 * make_input((batch, classes, height, width), seed)
    labels = ((make_input((batch, height, width), seed + 1) + 1) / 2 * classes).floor().long()
    if entry["labels"] == "with ignore 255":
        labels[make_input((batch, height, width), seed + 2) > 0.8] = VOID
    return logits.requires_grad_(), labels


def assert_as_recorded(loss: Tensor, logits: Tensor, entry: dict, rel: float = 1e-10) -> None:
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == pytest.approx(entry["value"], rel=rel)
    assert float(gradient.norm()) == pytest.approx(entry["grad_l2"], rel=rel)
    first = gradient.reshape(-1)[:8].tolist()
    assert first == pytest.approx(entry["grad_first"], rel=rel, abs=1e-15)


@pytest.mark.parametrize("number", range(6))
def test_dice_is_that_of_segmentation_models_pytorch(number):
    """Its multiclass mode has our conventions: over the batch, absent classes 0, mean over K.

    But it computes the Tversky form (TP + s) / (TP + (FP + FN) / 2 + s), and 2 TP + FP + FN is our
    |P| + |T|: its smooth s is our 2 s.
    """
    entry = recorded("smp_dice")[number]
    logits, class_map = made(entry)
    smooth = 2 * entry["args"].get("smooth", 0.0)
    found = dice(logits, Targets(class_map_BHW=class_map), smooth=smooth)
    assert_as_recorded(found, logits, entry)


@pytest.mark.parametrize("number", range(6))
def test_cross_entropy_under_recorded_hard_example_mining(number):
    """CoinCheung's OHEM is the mean of the cross entropies above -log(thresh), or, where fewer than
    a sixteenth of the labelled pixels are, of that many largest. Voiding the other pixels makes
    it our cross entropy, so that a recorded value holds ours too."""
    entry = recorded("ohem_ce")[number]
    logits, class_map = made(entry)
    with torch.no_grad():
        each = F.cross_entropy(logits, class_map, ignore_index=VOID, reduction="none")
    fewest = int((class_map != VOID).sum()) // 16
    limit = min(-math.log(entry["args"]["thresh"]), float(each.flatten().topk(fewest).values[-1]))
    hard = torch.where(each >= limit, class_map, VOID)
    assert_as_recorded(cross_entropy(logits, Targets(class_map_BHW=hard)), logits, entry)
