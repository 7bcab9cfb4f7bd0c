"""`maskwright.compare`: the command's names, and the comparison it keeps."""

from __future__ import annotations

import inspect
import json

import pytest
import small_sets

import maskwright
from maskwright.cli.compare import compare as command
from maskwright.core.errors import ConfigError

RENAMED = {"set_": "settings"}
QUICK = {"batch": 4, "workers": 0, "precision": "fp32"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare") / "set"
    return small_sets.mask_folder(root, {"train": 4, "val": 2}, ["grass", "line", "ball"])


def test_it_trains_and_goes_on(data, tmp_path):
    out, told = tmp_path / "compared", []
    compared = maskwright.compare(
        data, ["sliding-window"], budget=0.2, size=(32, 32), threads=1, rounds=0, settings=QUICK,
        out=out, note=told.append,
    )  # fmt: skip
    [row] = compared.rows.values()
    assert row.name == "sliding-window"
    assert 0 <= row.score <= 1
    assert json.loads((out / "comparison.json").read_text())["rows"][0]["score"] == row.score
    assert any("1/1  sliding-window: mIoU" in text for text in told)
    assert repr(compared) == (
        f"Comparison({str(out)!r}, 1 networks, best sliding-window with mIoU {row.score:.3f})"
    )
    assert json.loads(compared.to_json()) == json.loads((out / "comparison.json").read_text())
    table = compared.to_pandas()
    assert table.loc[0, ["name", "score"]].tolist() == ["sliding-window", row.score]
    shown = compared._repr_html_()
    assert "sliding-window" in shown
    assert f"{row.score:.3f}" in shown
    again = maskwright.compare(
        data, "sliding-window", budget="0.2s", size=(32, 32), threads=1, rounds=0, settings=QUICK,
        out=out,
    )  # fmt: skip
    assert again.rows == compared.rows
    with pytest.raises(ConfigError, match="another folder"):
        maskwright.compare(data, "sliding-window", budget=0.3, size=(32, 32), threads=1, out=out)


def test_names_and_defaults_are_the_commands():
    ours = inspect.signature(maskwright.compare).parameters
    for name, option in inspect.signature(command).parameters.items():
        one = ours[RENAMED.get(name, name)]
        if one.default is not inspect.Parameter.empty:
            assert (one.default or None) == (option.default or None), name
