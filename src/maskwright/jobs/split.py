"""Divide a set anew, by groups: what was taken together stays together.

Near-duplicates across splits make scores look better than they are. A group is a video, a part, a
place: told by a pattern in the names, a table, folders, or found as near-duplicate photos.
"""

from __future__ import annotations

import csv
import io
import os
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.files import write_text
from maskwright.core.sample import Dataset, Sample
from maskwright.formats import YoloOptions, yolo_files
from maskwright.formats.folders import require_empty, shortlist
from maskwright.formats.text_files import read_text
from maskwright.jobs.convert import Conversion, convert
from maskwright.jobs.duplicates import fingerprint, near_duplicates
from maskwright.jobs.inspect import Progress

DUPLICATES, FOLDER = "duplicates", "folder"
"""Rules that are words."""

GROUPS = "groups.csv"
"""The file that tells each image's group and split."""

_NAMES = {2: ("train", "val"), 3: ("train", "val", "test")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """What `split_set` did.

    Attributes:
        out: the folder written to.
        images: split -> number of images.
        groups: split -> number of groups.
        largest: the number of images in the largest group.
        conversion: of the set that was written; None for lists.
    """

    out: Path
    images: dict[str, int]
    groups: dict[str, int]
    largest: int
    conversion: Conversion | None


def split_set(
    dataset: Dataset,
    out: Path | str,
    by: str,
    ratios: str = "70/15/15",
    seed: int = 0,
    *,
    lists: bool = False,
    link: bool = False,
    workers: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Division:
    """Write a set with new splits, in its own format or as lists.

    Args:
        dataset: its old splits are joined; names that they share get the old split before them.
        out: a new or empty folder, or one that an earlier call with the same settings left.
        by: "folder" (the names' folders), "duplicates" (near-duplicate photos), a .csv file of
            lines NAME,GROUP, or a regular expression found in each name: its groups are the group.
        ratios: shares of images, as TRAIN/VAL/TEST or TRAIN/VAL.
        seed: of the order in which groups of one size are given away.
        lists: write train.txt and so on, paths of images relative to `out`, instead of a set.
        link: hard links to images, not copies.
        workers: processes.
        skip_bad: go on past samples that can't be used.
        progress: called after each image that is written.

    Raises:
        DataError: images without a group, fewer groups than splits, or as `convert`.
        ConfigError: ratios or a rule that make no sense.
    """
    shares = parse_ratios(ratios)
    out = Path(out)
    samples = _joined(dataset)
    group_of = find_groups(samples, by)
    split_of = divide(Counter(group_of.values()), shares, seed)
    splits: dict[str, list[Sample]] = {split: [] for split in shares}
    for one in samples:
        splits[split_of[group_of[one.name]]].append(one)
    conversion = None
    if lists:
        require_empty(out)
        for split, own in splits.items():
            write_text(out / f"{split}.txt", "".join(f"{_relative(one, out)}\n" for one in own))
    else:
        options = None
        if dataset.format == "yolo_seg" and (told := yolo_files.describe(dataset.root)):
            options = YoloOptions(vertices=yolo_files.vertices_of(told))
        divided = {split: tuple(own) for split, own in splits.items()}
        conversion = convert(
            replace(dataset, splits=divided),
            out,
            dataset.format,
            options=options,
            link=link,
            workers=workers,
            skip_bad=skip_bad,
            progress=progress,
        )
    _write_groups(out / GROUPS, samples, group_of, split_of)
    listed = {split: len(own) for split, own in splits.items()}
    return Division(
        out=out,
        images=conversion.images if conversion else listed,
        groups={split: list(split_of.values()).count(split) for split in shares},
        largest=max(Counter(group_of.values()).values()),
        conversion=conversion,
    )


def parse_ratios(text: str) -> dict[str, float]:
    """ "70/15/15" -> shares of train, val and test; "80/20" -> of train and val.

    Raises:
        ConfigError: anything else, or a share of 0.
    """
    parts = text.split("/")
    numbers = [float(part) for part in parts if re.fullmatch(r"\d+(\.\d+)?", part.strip())]
    if len(numbers) != len(parts) or len(parts) not in _NAMES or min(numbers) <= 0:
        raise ConfigError(f"expected ratios above 0 such as 70/15/15 or 80/20, got {text!r}.")
    return {name: number / sum(numbers) for name, number in zip(_NAMES[len(parts)], numbers)}


def find_groups(samples: Sequence[Sample], by: str) -> dict[str, str]:
    """Name -> group, of every sample, by a rule as of `split_set`.

    Raises:
        DataError: samples that the rule gives no group.
        ConfigError: no rule.
    """
    names = [sample.name for sample in samples]
    if by == DUPLICATES:
        return _by_duplicates(samples)
    if by == FOLDER:
        groups = {name: name.rpartition("/")[0] for name in names}
    elif by.lower().endswith(".csv"):
        table = _read_groups(Path(by))
        groups = {name: table.get(name, table.get(name.rpartition("/")[2], "")) for name in names}
    else:
        try:
            pattern = re.compile(by)
        except re.error as error:
            raise ConfigError(
                f"expected folder, duplicates, a .csv file or a regular expression, got {by!r} "
                f"({error})."
            ) from None
        groups = {name: _matched(pattern, name) for name in names}
    without = [name for name, group in groups.items() if not group]
    if without:
        raise DataError(
            f"the rule {by!r} gives {len(without)} of {len(names)} images no group: "
            f"{shortlist(without)}. Expected one for each; widen the rule, or move them away."
        )
    return groups


def divide(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Group -> split: the largest first, each to the split that lacks most of its share.

    Args:
        sizes: group -> number of images.
        shares: split -> share of the images; they sum to 1.
        seed: of the order of groups of one size.

    Raises:
        DataError: fewer groups than splits.
    """
    if len(sizes) < len(shares):
        raise DataError(
            f"{len(sizes)} groups ({shortlist(sorted(sizes))}) can't fill {len(shares)} splits; "
            "expected at least one each. Choose a finer rule, or fewer splits."
        )
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: -sizes[group])
    total = sum(sizes.values())
    lacks = {split: share * total for split, share in shares.items()}
    split_of: dict[str, str] = {}
    for place, group in enumerate(order):
        empty = [split for split in shares if split not in split_of.values()]
        open_to = empty if len(order) - place <= len(empty) else list(shares)
        split_of[group] = max(open_to, key=lambda split: lacks[split])
        lacks[split_of[group]] -= sizes[group]
    return split_of


def _joined(dataset: Dataset) -> list[Sample]:
    """All samples under names of their own, sorted."""
    counts = Counter(sample.name for own in dataset.splits.values() for sample in own)
    shared = any(count > 1 for count in counts.values())
    samples = [
        replace(sample, name=f"{split}/{sample.name}") if shared else sample
        for split, own in dataset.splits.items()
        for sample in own
    ]
    return sorted(samples, key=lambda sample: sample.name)


def _matched(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    if match is None:
        return ""
    return "/".join(part or "" for part in match.groups()) if match.groups() else match[0]


def _by_duplicates(samples: Sequence[Sample]) -> dict[str, str]:
    """The first name of each cluster of near-duplicates."""
    prints = [fingerprint(sample.read_image()) for sample in samples]
    first = list(range(len(samples)))

    def find(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    for one, other, _ in near_duplicates(prints, prints):
        low, high = sorted((find(one), find(other)))
        first[high] = low
    return {sample.name: samples[find(i)].name for i, sample in enumerate(samples)}


def _read_groups(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a .csv file of lines NAME,GROUP.")
    table: dict[str, str] = {}
    for number, row in enumerate(csv.reader(io.StringIO(read_text(path))), start=1):
        if not row:
            continue
        if len(row) < 2:
            raise DataError(f"{path}, line {number}: expected NAME,GROUP, got {','.join(row)!r}.")
        name, group = row[0].strip().replace("\\", "/"), row[1].strip()
        if table.setdefault(name, group) != group:
            raise DataError(
                f"{path}, line {number}: {name} is in group {group!r}, but before it was in "
                f"{table[name]!r}; keep one."
            )
    return table | {name.rsplit(".", 1)[0]: group for name, group in table.items() if "." in name}


def _relative(sample: Sample, out: Path) -> str:
    if not isinstance(sample.image, Path):
        raise DataError(f"{sample.name} is no file, so it can't be listed; write folders instead.")
    return Path(os.path.relpath(sample.image.resolve(), out.resolve())).as_posix()


def _write_groups(
    path: Path,
    samples: Sequence[Sample],
    group_of: Mapping[str, str],
    split_of: Mapping[str, str],
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "group", "split"])
    for one in samples:
        writer.writerow([one.name, group_of[one.name], split_of[group_of[one.name]]])
    write_text(path, text.getvalue())
