"""The measurement of the start tells what it must; no timing is asserted."""

from __future__ import annotations

import json

import pytest

from benchmarks.startup import measure_startup
from maskwright.core.errors import ConfigError


def test_measurement_names_its_commands():
    found = measure_startup(runs=1)
    assert [row["command"] for row in found["rows"]][1:] == [
        "python -c 'import maskwright'",
        "maskwright --help",
    ]
    for row in found["rows"]:
        assert 0 < row["min_s"] == row["median_s"] == row["max_s"]
    json.dumps(found)


def test_no_runs():
    with pytest.raises(ConfigError, match="got 0"):
        measure_startup(0)
