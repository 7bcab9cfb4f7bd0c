"""`maskwright.train`, `read` and `write`: the commands' names and defaults, from Python."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
from shapes import Listener, make_dataset, tensors

import maskwright
from maskwright.cli.train import train as command
from maskwright.core.errors import ConfigError
from maskwright.training import TrainConfig
from maskwright.training.by_name import DEFAULT_MODEL, DEFAULT_OUT

SMALL = {"width": 2, "levels": 1, "size": (32, 32), "batch": 4, "workers": 0, "threads": 1,
         "precision": "fp32", "evaluate_every": 2}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("by_name") / "set").root


def test_a_run_by_name_is_the_run_of_its_settings(data, tmp_path):
    listener = Listener()
    result = maskwright.train(
        data, "unet", out=tmp_path / "one", steps=4, augmentation={"flip": 0.0}, lr=0.02,
        callbacks=[listener], **SMALL,
    )  # fmt: skip
    settings = json.loads((tmp_path / "one" / "config.json").read_text())
    assert (settings["steps"], settings["lr"], settings["augmentation"]["flip"]) == (4, 0.02, 0.0)
    assert settings["options"] == {"width": 2, "levels": 1}
    assert listener.steps == [1, 2, 3, 4]
    again = maskwright.train(
        maskwright.read(data), recipe=tmp_path / "one" / "recipe.yaml", out=tmp_path / "two",
        workers=0, threads=1,
    )  # fmt: skip
    one, two = (tensors(run.folder / "last.safetensors") for run in (result, again))
    assert all((one[name] == two[name]).all() for name in one)


def test_unknown_settings_and_lengths_are_told(data, tmp_path):
    with pytest.raises(ConfigError, match="did you mean patience"):
        maskwright.train(data, "unet", out=tmp_path / "run", pacience=3)
    with pytest.raises(ConfigError, match="30m"):
        maskwright.train(data, "unet", out=tmp_path / "run", budget="soon")
    with pytest.raises(ConfigError, match="exactly one"):
        maskwright.train(data, "unet", out=tmp_path / "run", budget="1m", steps=3)
    assert not (tmp_path / "run").exists()


def test_the_command_has_the_same_defaults():
    shown = {name: one.default for name, one in inspect.signature(command).parameters.items()}
    assert (shown["model"], shown["out"]) == (DEFAULT_MODEL, DEFAULT_OUT)
    fields = TrainConfig.__dataclass_fields__
    for name in ("resize", "batch", "device"):
        assert shown[name] == fields[name].default


def test_reading_and_writing_load_no_torch(data, tmp_path):
    code = (
        "import sys, maskwright\n"
        f"found = maskwright.read({str(data)!r})\n"
        f"maskwright.write(found, {str(tmp_path / 'copy')!r}, 'index_masks')\n"
        f"print(maskwright.read({str(tmp_path / 'copy')!r}), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
    assert "train 6, val 2" in done.stdout


def test_a_run_shows_itself(data, tmp_path):
    result = maskwright.train(data, "unet", out=tmp_path / "run", steps=4, **SMALL)
    head = result.scores.headline()
    told = repr(result)
    assert f"{head.name} {head.value:.3f} on validation" in told
    assert "4 steps" in told
    assert len(told) < 200
    assert json.loads(result.to_json())["scores"]["headline"]["value"] == head.value
    shown = result._repr_html_()
    assert f"{head.value:.3f}" in shown
    assert "95 % interval" in shown
    assert "<svg" in shown
    chosen = json.loads((tmp_path / "run" / "config.json").read_text())["chosen"]
    assert chosen
    assert result.choices == chosen
    for one in chosen:
        assert f">{one['name']}<" in shown
    table = result.to_pandas()
    assert len(table) == len(result.history)
    assert table["step"].tolist() == [row["step"] for row in result.history]
    (tmp_path / "run").rename(tmp_path / "moved")
    assert f"{head.value:.3f}" in result._repr_html_()
