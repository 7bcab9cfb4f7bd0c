"""Groups stay together, shares are met, and what has no group is told."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sets import ids, picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError
from maskwright.jobs import split_set
from maskwright.jobs.split import divide, find_groups, parse_ratios


@pytest.fixture
def videos(tmp_path) -> Path:
    """Five videos of four frames."""
    root = tmp_path / "set"
    for video in range(5):
        for frame in range(4):
            name = f"cam{video}/v{video}_{frame}"
            save(root / "images" / f"{name}.png", picture(video))
            save(root / "masks" / f"{name}.png", ids(video))
    return root


@given(
    sizes=st.dictionaries(st.text(min_size=1), st.integers(1, 30), min_size=3, max_size=20),
    seed=st.integers(0, 99),
)
def test_every_group_has_one_split_and_no_split_is_empty(sizes, seed):
    shares = parse_ratios("70/15/15")
    split_of = divide(sizes, shares, seed)
    assert split_of.keys() == sizes.keys()
    assert set(split_of.values()) == {"train", "val", "test"}
    assert split_of == divide(dict(reversed(sizes.items())), shares, seed)
    got = {split: sum(sizes[g] for g in sizes if split_of[g] == split) for split in shares}
    largest, total = max(sizes.values()), sum(sizes.values())
    assert got["val"] <= 0.15 * total + largest


@pytest.mark.parametrize("by", ["folder", r"v(\d)_", "groups.csv", "duplicates"])
def test_groups_stay_together(videos, tmp_path, monkeypatch, by):
    monkeypatch.chdir(tmp_path)
    lines = [f"cam{v}/v{v}_{f}.png,video {v}" for v in range(5) for f in range(4)]
    Path("groups.csv").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    done = split_set(formats.read(videos), "out", by, "60/20/20", workers=1)
    assert done.images == {"train": 12, "val": 4, "test": 4}
    assert done.groups == {"train": 3, "val": 1, "test": 1}
    after = formats.read("out")
    seen = {split: {s.name.split("/")[0] for s in own} for split, own in after.splits.items()}
    assert sum(len(own) for own in seen.values()) == 5
    rows = list(csv.DictReader(Path("out/groups.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 20
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_lists_lead_to_the_images(videos, tmp_path):
    done = split_set(formats.read(videos), tmp_path / "lists", "folder", "80/20", lists=True)
    assert done.conversion is None
    lines = (tmp_path / "lists/train.txt").read_text().splitlines()
    assert len(lines) == 16
    assert all((tmp_path / "lists" / line).is_file() for line in lines)


def test_near_duplicates_are_found_though_brighter_and_smaller(tmp_path):
    root = tmp_path / "set"
    for seed in range(4):
        photo = picture(seed, (64, 64))
        small = cv2.resize(photo, (48, 48), interpolation=cv2.INTER_AREA)
        save(root / "images" / f"{seed}.png", photo)
        save(root / "images" / f"{seed}_again.png", np.clip(small * 0.9 + 12, 0, 255).astype("u1"))
        save(root / "masks" / f"{seed}.png", ids(seed, (64, 64)))
        save(root / "masks" / f"{seed}_again.png", ids(seed, (48, 48)))
    groups = find_groups(formats.read(root).splits["all"], "duplicates")
    assert {name: group[0] for name, group in groups.items()} == {n: n[0] for n in groups}


def test_what_is_refused(videos, tmp_path):
    found = formats.read(videos)
    (tmp_path / "two.csv").write_text("a,1\na,2\n")
    (tmp_path / "one.csv").write_text("a\n")
    for by, error, wanted in (
        ("v9", DataError, "gives 20 of 20 images no group: cam0/v0_0"),
        ("(", ConfigError, "regular expression"),
        (str(tmp_path / "none.csv"), ConfigError, "does not exist"),
        (str(tmp_path / "two.csv"), DataError, "line 2: a is in group '2'"),
        (str(tmp_path / "one.csv"), DataError, "line 1: expected NAME,GROUP"),
        ("cam[01]", DataError, "12 of 20 images no group"),
        ("cam", DataError, "1 groups"),
    ):
        with pytest.raises(error, match=wanted):
            split_set(found, tmp_path / "out", by)
    for ratios in ("70", "70/30/0", "a/b", "1/2/3/4", "-1/2"):
        with pytest.raises(ConfigError, match="expected ratios"):
            split_set(found, tmp_path / "out", "folder", ratios)
    assert not (tmp_path / "out").exists()
