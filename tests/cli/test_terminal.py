"""Names of strangers don't steer the terminal."""

from __future__ import annotations

import json
import re

import pytest
import small_sets
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.telling import printable

STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def hostile_set(root):
    """A YOLO set: a class and an image that bear escapes, one row that can't be read."""
    name = f"a{STEERING}b"
    for stem in ("plain", name):
        small_sets.save(root / "images" / "train" / f"{stem}.png", small_sets.picture(1, (32, 32)))
        labels = root / "labels" / "train" / f"{stem}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("0 0.5 0.5 0.25 0.25\n" + ("0 0.5\n" if stem == name else ""))
    (root / "data.yaml").write_text(
        "path: .\ntrain: images/train\nnames: " + json.dumps([f"ball{STEERING}", "other"]) + "\n"
    )
    return root


@pytest.mark.parametrize("arguments", [
    ("data", "check", "SET"), ("data", "stats", "SET"), ("convert", "SET", "OUT", "--to", "coco"),
    ("convert", "SET", "OUT", "--to", "coco", "--skip-bad"), ("data", "check", f"no{STEERING}"),
    ("evaluate", "SET/labels/train", "SET"), ("data", "split", "SET", "OUT"),
    ("train", "SET", "--steps", "1", "--out", "OUT"), ("data", "stats", "SET", "--json"),
])  # fmt: skip
def test_escapes_are_shown_not_sent(run, tmp_path, arguments):
    places = {"SET": hostile_set(tmp_path / "set"), "OUT": tmp_path / "out"}
    paths = [str(places.get(one, one)).replace("SET/", f"{places['SET']}/") for one in arguments]
    result = run(*paths)
    told = result.out + result.err
    assert result.code in (0, 2)
    assert told.strip()
    assert not set(told) & (set(STEERING) - set("]0;owned[2J31m"))


@given(st.text())
def test_whatever_the_text_nothing_in_it_steers(text):
    shown = printable(text)
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown
    )
    if text.isprintable():
        assert shown == text
    shown.encode()


def test_names_that_are_no_text_are_shown():
    assert printable("a\udcff\x1b[0m\n") == "a\\udcff\\x1b[0m\n"
