"""The measurement of conversion brings every contender's objects back; no timing is asserted."""

from __future__ import annotations

import json

from benchmarks import conversion


def test_objects_come_back_by_all_ways():
    rows = conversion.measure_conversion(images=4, objects=9, rounds=1)
    assert [row["contender"] for row in rows] == list(conversion.CONTENDERS)
    assert rows[0]["objects"] == 9
    assert rows[0]["mean_iou"] > 0.98
    assert all(row["objects"] > 0 and 0 < row["mean_iou"] <= 1 for row in rows)
    json.dumps(rows)
