from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from maskwright.core.errors import ConfigError
from maskwright.core.settings import config_values, nearest


@dataclass(frozen=True, kw_only=True)
class _Config:
    classes: int = 2
    mode: Literal["fast", "slow"] = "fast"
    scale: float | None = None
    pair: tuple[int, float] = (1, 2.0)


def test_other_annotations():
    values = {"mode": "slow", "scale": None, "pair": [3, 4]}
    checked = config_values(_Config, values, "x")
    assert checked == {"mode": "slow", "scale": None, "pair": (3, 4.0)}
    assert config_values(_Config, {"scale": 2}, "x") == {"scale": 2.0}


@pytest.mark.parametrize("values", [{"mode": "no"}, {"scale": "2"}, {"pair": [1, 2, 3]}])
def test_other_annotations_refuse(values):
    with pytest.raises(ConfigError, match=r"x: expected \w+ to be"):
        config_values(_Config, values, "x")


def test_what_was_meant_is_told():
    assert nearest("pear", ["pair", "scale"]) == "did you mean pair?"
    assert nearest("xyz", ["pair", "scale"]) == "choose one of pair, scale."
    with pytest.raises(
        ConfigError, match=r"x has no setting 'pear' \(got 1\); did you mean pair\?"
    ):
        config_values(_Config, {"pear": 1}, "x")
