"""Tracking beside a peer: a small run through the command."""

from __future__ import annotations

import json

from benchmarks.run import main


def test_trackers_are_scored(tmp_path):
    out = tmp_path / "tracking.json"
    words = ["--scenes", "1", "--frames", "4", "--size", "48", "64", "--missed", "0.1"]
    assert main(["tracking", *words, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert rows[0]["tracker"] == "maskwright"
    assert all(0 <= row["idf1"] <= 1 and row["truths"] > 0 for row in rows)
    assert rows[0]["idf1"] > 0.5
