"""What a run chooses for itself, tells and keeps; and what somebody set stays."""

from __future__ import annotations

import json

import pytest
from shapes import Listener, make_dataset, quick

from maskwright.core.errors import ConfigError
from maskwright.training import resume, train
from maskwright.training.choosing import lines_of
from maskwright.training.defaults import Choice

GIVEN = frozenset({"lr", "augmentation.flip_vertical", "width"})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("choosing") / "set")


def test_nothing_is_chosen_where_every_setting_was_made(dataset, tmp_path):
    settings = quick(steps=3)
    result = train(settings, dataset, tmp_path / "run")
    assert result.config.loss == settings.loss
    assert result.config.augmentation == settings.augmentation
    assert json.loads((tmp_path / "run/config.json").read_text())["chosen"] == []


def test_what_nobody_set_is_chosen_told_and_kept(dataset, tmp_path):
    listener = Listener()
    settings = quick(steps=8, lr=0.0123)

    def stop(step: int) -> None:
        if step == 6:
            raise EOFError

    listener.at = stop
    with pytest.raises(EOFError):
        train(settings, dataset, tmp_path / "run", given=GIVEN, progress=listener)
    kept = json.loads((tmp_path / "run/config.json").read_text())
    chosen = {choice["name"]: choice for choice in kept["chosen"]}
    assert not GIVEN & chosen.keys()
    assert kept["lr"] == 0.0123
    for name, choice in chosen.items():
        if name.startswith("augmentation."):
            assert kept["augmentation"][name.removeprefix("augmentation.")] == choice["value"]
        elif name != "crop":
            assert kept[name] == choice["value"], name
        assert any(choice["why"] in note for note in listener.notes)
    assert kept["crop"] is None  # of the whole input
    assert "dice" in kept["loss"]
    resume(dataset, tmp_path / "run")  # which finds the same settings, and writes the page
    page = (tmp_path / "run/report.html").read_text()
    assert "Settings that the run chose" in page
    assert chosen["loss"]["why"].split(":")[0] in page


def test_a_budget_in_seconds_chooses_a_crop_by_the_speed_of_trial_steps(dataset, tmp_path):
    listener = Listener()
    settings = quick(steps=None, budget=0.5, budget_of="steps", size=(256, 256), evaluate_every=1)
    result = train(settings, dataset, tmp_path / "run", given=frozenset(), progress=listener)
    assert result.config.crop == (128, 128)  # the smallest there is
    assert any(note.startswith("  crop 128x128: parts of the input") for note in listener.notes)


def test_a_setting_that_contradicts_the_choices_is_refused(dataset, tmp_path):
    with pytest.raises(ConfigError, match="no loss 'dise'"):
        train(quick(steps=3, loss="dise"), dataset, tmp_path / "run", given={"loss"})


def test_choices_of_one_reason_share_a_line():
    choices = (
        Choice(name="loss", value="ce", why="so"),
        Choice(name="augmentation.hue", value=0.0, why="short"),
        Choice(name="augmentation.scale", value=(0.5, 2.0), why="short"),
    )
    assert lines_of(choices) == ["loss ce: so", "hue 0, scale 0.5 to 2: short"]
