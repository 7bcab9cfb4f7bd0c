"""The default settings follow from data and budget; what the user sets stays the user's."""

from __future__ import annotations

import dataclasses

import pytest

from maskwright.data import Augmentation
from maskwright.training import TrainConfig
from maskwright.training.defaults import (
    CHOSEN,
    ENOUGH_STEPS,
    SMALLEST_CROP,
    choose_defaults,
    expected_steps,
    training_crop,
)
from maskwright.training.facts import DataFacts

CRACKS = DataFacts(
    images=72, input_size=(320, 480), shares_K=(0.984, 0.016), shown_K=(1.0, 1.0),
    up_down=0.005,
)  # fmt: skip
STREETS = DataFacts(
    images=367, input_size=(360, 480), shares_K=(0.6, 0.397, 0.003), shown_K=(1.0, 1.0, 0.2),
    up_down=0.86,
)  # fmt: skip
MINUTE = 7e7
"""Pixels that a minute of two cores trains a small U-Net on."""


def chosen(facts, **situation):
    return {choice.name: choice.value for choice in choose_defaults(facts, **situation)}


@pytest.mark.parametrize("minutes", [0.1, 1, 3, 10, 30, 300])
@pytest.mark.parametrize("size", [(320, 480), (480, 320), (96, 96), (1024, 2048), (100, 640)])
def test_a_crop_fits_the_input_and_buys_steps(minutes, size):
    pixels = minutes * MINUTE
    crop = training_crop(size, pixels, 8)
    assert all(0 < side <= most for side, most in zip(crop, size))
    if crop != size:
        assert min(crop) >= min(SMALLEST_CROP, *size)
        assert crop[0] * crop[1] < 0.9 * size[0] * size[1]
        assert all(side % 16 == 0 or side == most for side, most in zip(crop, size))
        assert crop[0] / crop[1] == pytest.approx(size[0] / size[1], rel=0.2)
    else:  # never larger than what pays for the steps, but for what can't be smaller
        pays = expected_steps(pixels, 8, size) >= 0.7 * ENOUGH_STEPS
        assert pays or min(size) <= SMALLEST_CROP / 0.9


def test_more_budget_never_makes_crops_smaller():
    areas = [
        height * width
        for minutes in range(1, 60)
        for height, width in [training_crop((360, 480), minutes * MINUTE)]
    ]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1] == 360 * 480


def test_a_larger_batch_makes_crops_smaller():
    few, many = (training_crop((360, 480), 5 * MINUTE, batch) for batch in (4, 16))
    assert few[0] * few[1] > many[0] * many[1]


def test_a_length_in_steps_leaves_the_input_whole():
    assert chosen(CRACKS, steps=100)["crop"] == (320, 480)


def test_what_the_user_set_is_not_chosen_and_the_rest_follows_from_it():
    free = chosen(CRACKS, pixels=3 * MINUTE)
    bound = chosen(CRACKS, pixels=3 * MINUTE, given={"crop": (320, 480), "lr": 5e-4})
    assert {"crop", "lr"} <= set(free)
    assert set(bound) == set(free) - {"crop", "lr"}
    assert bound["ema"] < free["ema"]  # whole inputs are fewer steps, a shorter window


def test_settings_are_those_of_a_run():
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    names |= {f"augmentation.{field.name}" for field in dataclasses.fields(Augmentation)}
    for facts in (CRACKS, STREETS):
        for minutes in (3, 60):
            assert set(chosen(facts, pixels=minutes * MINUTE)) <= names & CHOSEN
    every = [chosen(facts, pixels=p * MINUTE) for facts in (CRACKS, STREETS) for p in (3, 60)]
    assert set().union(*every) == CHOSEN


def test_averages_look_back_over_a_small_part_of_the_run():
    for steps in (2, 30, 300, 3000, 300_000):
        ema = chosen(CRACKS, steps=steps)["ema"]
        assert 0 <= ema <= 0.999
        if ema:
            assert 1 / (1 - ema) <= 0.11 * steps
    assert chosen(CRACKS, steps=15)["ema"] == 0


def test_only_photos_without_up_and_down_are_turned_over():
    assert chosen(CRACKS, steps=100)["augmentation.flip_vertical"] == 0.5
    assert chosen(STREETS, steps=100)["augmentation.flip_vertical"] == 0


def test_short_and_long_runs_have_rates_and_changes_of_their_own():
    short, long = (chosen(STREETS, pixels=minutes * MINUTE) for minutes in (3, 60))
    assert short["lr"] > long["lr"]
    assert short["augmentation.scale"] == (1, 1) != long["augmentation.scale"]
    assert chosen(STREETS, steps=5000)["encoder_lr"] < 1
    assert chosen(STREETS, steps=5000, pretrained=False)["encoder_lr"] == 1


def test_weights_are_for_sets_without_a_background():
    assert chosen(CRACKS, steps=100)["loss"] == "ce+dice"
    assert chosen(STREETS, steps=100)["loss"] == "weighted-ce+dice"


def test_rare_crops_are_for_classes_seldom_shown_on_a_background():
    defects = dataclasses.replace(CRACKS, shown_K=(1.0, 0.1))
    assert chosen(defects, steps=100)["augmentation.rare_crops"] > 0
    for facts in (CRACKS, STREETS):
        assert chosen(facts, steps=100)["augmentation.rare_crops"] == 0


def test_crops_are_not_drawn_again_where_nearly_all_is_one_class():
    assert chosen(CRACKS, steps=5000)["augmentation.largest_share"] == 1
    assert chosen(STREETS, steps=5000)["augmentation.largest_share"] < 1


def test_every_choice_gives_its_reason_with_its_numbers():
    choices = choose_defaults(CRACKS, pixels=3 * MINUTE)
    assert all(choice.why and "\n" not in choice.why for choice in choices)
    crop = next(choice for choice in choices if choice.name == "crop")
    height, width = crop.value
    assert str(crop).startswith(f"crop {height}x{width}: parts of the input of 320x480")
    assert str(expected_steps(3 * MINUTE, 8, crop.value)) in str(crop)


def test_a_set_without_labels_still_gets_settings():
    empty = DataFacts(
        images=0, input_size=(64, 64), shares_K=(0.0, 0.0), shown_K=(0.0, 0.0),
        up_down=0.0,
    )  # fmt: skip
    assert chosen(empty, pixels=1.0)["crop"] == (64, 64)
