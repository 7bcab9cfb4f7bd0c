"""Convert a labelled set to another format: image by image, in parallel, resumable, losses told.

Each image is read, written and, once its files have reached the disk, noted in a small file of its
own that marks it as done; the set's own files are joined from these notes. A call that was ended
goes on where it stopped and ends in the same bytes, whatever the number of workers.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.files import atomic_path, flush, flushes_held, write_json, write_text
from maskwright.core.locking import alone
from maskwright.core.machine import usable_cores
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import FORMATS, options_for, require_writable
from maskwright.formats.folders import read_json, require_empty
from maskwright.formats.recast import renumbered, with_class_map, with_objects
from maskwright.formats.text_files import compact_json
from maskwright.formats.writing import WHOLE_SET, Entry, Loss, Target, sentences
from maskwright.jobs.inspect import Progress
from maskwright.jobs.workers import run_in_order

SUMMARY, LOSSES = "conversion.json", "losses.csv"
"""Files beside the result: what was done (written last), and a row a loss."""

_Item = tuple[int, str, Sample]
"""An image's number, split and sample."""

VOID = "void"
"""As a background's name: pixels that no object covers stay unlabelled."""

_PARTS = ".parts"
_FEW = 64  # images, below which starting processes costs more than it brings
_TOGETHER = 8  # images, whose files reach the disk in one go
_HELD_BYTES = 1 << 24  # of parts, whose entries are kept in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What `convert` did.

    Attributes:
        out: the folder written to.
        format: its format.
        images: split -> number of images that stand there now.
        made: how many of them this call wrote; the others were there already.
        skipped: (split/name, why) of those that could not be used.
        losses: a sentence for each kind of thing that the format can't hold; a row for each image
            concerned is in losses.csv.
        remarks: the same for what is held, but read otherwise by some readers.
    """

    out: Path
    format: str
    images: dict[str, int]
    made: int
    skipped: tuple[tuple[str, str], ...]
    losses: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What a worker needs beside the sample."""

    format: str
    target: Target
    uncovered: int
    skip_bad: bool


class _Told(NamedTuple):
    """What an image's part tells of it: its name as split/name, and losses as plain data."""

    name: str
    losses: tuple[Entry, ...]
    remarks: tuple[Entry, ...]


@alone("out")
def convert(
    dataset: Dataset,
    out: Path | str,
    to: str,
    *,
    options: object = None,
    background: str = "background",
    link: bool = False,
    workers: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Write a set in another format (or the same).

    A form of truth that the format doesn't know is made from one that is there: objects from the
    8-connected regions of a class map or from panoptic segments, a class map from objects laid
    above each other, the smaller above the larger.

    Args:
        dataset: as `formats.read` gave it; with `strict=False` if bad samples are to be skipped.
        out: a new or empty folder, or one that an earlier call with the same settings left.
        to: one of `formats.WRITABLE`.
        options: of the format, such as `CocoOptions(polygons=True)` or
            `YoloOptions(vertices="edge")`, or a mapping of them.
        background: class of the pixels that no object covers, in index masks made of objects; it
            becomes class 0 unless the set has it. "void" leaves them unlabelled.
        link: hard links to the images where the file system can, else copies.
        workers: processes; None takes the machine's cores for larger sets. A script that asks for
            several needs `if __name__ == "__main__"`.
        skip_bad: go on past samples that can't be used; they are listed.
        progress: called after each image.

    Raises:
        DataError: a sample that can't be read or written (without `skip_bad`), none that can, or
            `out` holds something else.
        ConfigError: no such format, one that is only read, or options that make no sense.
    """
    chosen = options_for(to, options)
    require_writable(to)
    if workers is not None and workers < 1:
        raise ConfigError(f"expected workers >= 1, got {workers}.")
    out = Path(out)
    root = dataset.root.resolve()
    if root.is_dir() and out.resolve().is_relative_to(root):
        raise DataError(
            f"{out} lies inside the set {dataset.root}; expected a folder outside, so that the two "
            "don't mix."
        )
    dataset, classes, uncovered = _with_background(dataset, to, background)
    target = Target.of(dataset, out, chosen, link)
    items = [(i, split, one) for i, (split, one) in enumerate(_samples(dataset))]
    plan = {
        "source": str(root),
        "from": dataset.format,
        "to": to,
        "options": asdict(chosen),
        "background": background,
        "link": link,
        "skip_bad": skip_bad,
        "classes": classes.to_dict(),
        "samples": _digest(items),
    }
    finished = _open_plan(out, plan)
    if finished is not None:
        return finished
    todo = [item for item in items if not _is_done(out, item[0])]
    job = _Job(format=to, target=target, uncovered=uncovered, skip_bad=skip_bad)
    if workers is None:
        workers = min(8, usable_cores()) if len(todo) >= _FEW else 1
    some = [todo[start : start + _TOGETHER] for start in range(0, len(todo), _TOGETHER)]
    done = len(items) - len(todo)
    for count in _convert_all(job, some, workers):
        for _ in range(count):
            done += 1
            if progress is not None:
                progress(done, len(items))
    return _join(job, plan, dataset.left_out, (len(items), len(todo)))


def _with_background(dataset: Dataset, to: str, name: str) -> tuple[Dataset, Classes, int]:
    """The set with the classes to write, and the class id of what no object covers."""
    classes = dataset.classes
    if FORMATS[to].tasks != {"semantic"} or name == VOID:
        return dataset, classes, classes.void
    drawn = all(one.tasks & {"semantic", "panoptic"} for _, one in _samples(dataset))
    if not drawn and name not in classes.names:
        own = Classes.of([name])
        classes = Classes.of(
            (name, *classes.names),
            (own.colours[0], *classes.colours),
            (thing + 1 for thing in classes.things),
        )
        dataset = replace(dataset, classes=classes)
    return dataset, classes, classes.void if drawn else classes.index(name)


def _samples(dataset: Dataset) -> Iterator[tuple[str, Sample]]:
    for split, samples in dataset.splits.items():
        for sample in samples:
            yield split, sample


def _digest(items: Sequence[_Item]) -> dict[str, Any]:
    names = "\n".join(f"{split}/{sample.name}" for _, split, sample in items)
    return {"count": len(items), "sha256": hashlib.sha256(names.encode()).hexdigest()}


def _open_plan(out: Path, plan: dict[str, Any]) -> Conversion | None:
    """Start the folder or go on in it; what was done, if it is finished.

    Raises:
        DataError: the folder holds something else.
    """
    summary = out / SUMMARY
    started = out / _PARTS / "plan.json"
    known = next((file for file in (summary, started) if file.is_file()), None)
    if known is None:
        if not _only_leftovers(out):
            require_empty(out)
        write_json(started, plan)
    else:
        before = read_json(known)
        before = before.get("plan") if known == summary and isinstance(before, dict) else before
        if before != plan:
            changed = list(_changed(before or {}, plan))
            raise DataError(
                f"{out} holds a conversion with other settings ({', '.join(changed)} differ); "
                "expected the same, to go on. Choose another folder, or remove it."
            )
    for leftover in [path for path in out.rglob(".*.part") if path.is_file()]:
        leftover.unlink(missing_ok=True)
    if known != summary:
        return None
    shutil.rmtree(out / _PARTS, ignore_errors=True)
    return _finished(out, made=0)


def _changed(before: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[str]:
    """The settings that differ; of options, which."""
    for key, value in plan.items():
        other = before.get(key)
        if other != value and isinstance(other, dict) and key == "options":
            yield from (name for name in value if other.get(name) != value[name])
        elif other != value:
            yield key


def _only_leftovers(out: Path) -> bool:
    """Whether an earlier call was ended before it had written a whole file."""
    if not out.is_dir():
        return False
    files = [path for path in out.rglob("*") if path.is_file()]
    inside = {path.name for path in out.iterdir()}
    return inside <= {_PARTS} and all(path.name.endswith(".part") for path in files)


@dataclass(slots=True)
class _Batch:
    """Images that are written: what their parts are to hold, by number, and their files."""

    notes: dict[int, Entry] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def _convert_all(job: _Job, batches: Sequence[Sequence[_Item]], workers: int) -> Iterator[int]:
    """Convert all; after each batch, how many images it has.

    In one process the disk works on a batch while the next one is converted.
    """
    if workers > 1 and len(batches) > 1:
        yield from run_in_order(partial(_convert_some, job), batches, workers, at_once=1)
        return
    with ThreadPoolExecutor(1) as disk:
        finishing: Future[None] | None = None
        for number, items in enumerate(batches):
            batch = _Batch()
            try:
                _write_some(job, items, batch)
            finally:
                if finishing is not None:
                    finishing.result()
                finishing = disk.submit(_finish_some, job, batch)
            if number:
                yield len(batches[number - 1])
        if finishing is not None:
            finishing.result()
            yield len(batches[-1])


def _convert_some(job: _Job, items: Sequence[_Item]) -> int:
    """Convert some images; how many they are."""
    batch = _Batch()
    try:
        _write_some(job, items, batch)
    finally:
        _finish_some(job, batch)
    return len(items)


def _write_some(job: _Job, items: Sequence[_Item], batch: _Batch) -> None:
    """Write some images; `batch` takes those that are done."""
    with flushes_held(batch.files):
        for item in items:
            batch.notes[item[0]] = _convert_one(job, item)


def _finish_some(job: _Job, batch: _Batch) -> None:
    """Write the parts of some images when their files have reached the disk.

    A part itself need not: it costs the work of one image, where a crash has left it damaged.
    """
    flush(batch.files)
    for index, note in batch.notes.items():
        write_text(_part(job.target.root, index), compact_json(note), flushed=False)


def _convert_one(job: _Job, item: _Item) -> Entry:
    """Write one image; what its part holds."""
    _, split, sample = item
    note: Entry = {"split": split, "name": sample.name}
    try:
        truth = renumbered(sample.read_truth(), job.target.classes)
        truth, losses = _fitted(truth, job, f"{split}/{sample.name}")
        written = FORMATS[job.format].write_one(job.target, split, sample, truth)
        note["entry"] = written.entry
        note["losses"] = [asdict(loss) for loss in losses + written.losses]
        note["remarks"] = [asdict(loss) for loss in written.remarks]
    except DataError as error:
        if not job.skip_bad:
            raise
        note["bad"] = str(error)
    return note


def _fitted(truth: Segmentation, job: _Job, name: str) -> tuple[Segmentation, tuple[Loss, ...]]:
    """The truth with the form that the format holds."""
    tasks = FORMATS[job.format].tasks
    only_labels = truth.semantic is truth.instances is truth.panoptic is None
    if "labels" in tasks and only_labels:
        return truth, ()
    if "boxes" in tasks and "semantic" not in tasks:
        return with_objects(truth, name)
    if tasks == {"semantic"}:
        return with_class_map(truth, name, job.uncovered)
    return truth, ()


class _Parts(Sequence[Entry]):
    """The entries of a split: a first few in memory, the others read from disk one by one."""

    def __init__(self, out: Path, indices: Sequence[int], held: Mapping[int, Entry]) -> None:
        self._out, self._indices, self._held = out, indices, held

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return _Parts(self._out, self._indices[place], self._held)
        index = self._indices[place]
        entry: Entry = (
            self._held[index] if index in self._held else _note(self._out, index)["entry"]
        )
        return entry


def _join(
    job: _Job, plan: dict[str, Any], left_out: Mapping[str, int], counts: tuple[int, int]
) -> Conversion:
    """Write the set's own files from the parts; the summary last.

    Args:
        job: with where to write.
        plan: of the conversion.
        left_out: what reading left out already: see `Dataset.left_out`.
        counts: of all images, and of those that this call made.
    """
    (count, made), out = counts, job.target.root
    indices: dict[str, list[int]] = {split: [] for split in job.target.splits}
    skipped: list[list[str]] = []
    held: dict[int, Entry] = {}
    told: dict[int, _Told] = {}
    size = 0
    for index in range(count):
        note = _note(out, index)
        name = f"{note['split']}/{note['name']}"
        if "bad" in note:
            skipped.append([name, note["bad"]])
            continue
        indices[note["split"]].append(index)
        told[index] = _Told(name, tuple(note["losses"]), tuple(note["remarks"]))
        size += _part(out, index).stat().st_size
        if size <= _HELD_BYTES:
            held[index] = note["entry"]
    if skipped and len(skipped) == count:
        raise DataError(f"none of {count} images could be used; the first: {skipped[0][1]}")
    of_set = FORMATS[job.format].finish_set(
        job.target, {split: _Parts(out, own, held) for split, own in indices.items()}
    )
    kept = [told[index] for own in indices.values() for index in own]
    beyond = [(WHOLE_SET, loss) for loss in of_set]
    read = [(WHOLE_SET, Loss(what=what, count=many)) for what, many in left_out.items()]
    _write_losses(out, kept, [*beyond, *read])
    summary = {
        "plan": plan,
        "images": {split: len(own) for split, own in indices.items()},
        "skipped": skipped,
        "losses": list(
            sentences(f"{job.format} can't hold ", chain(_losses(kept, "losses"), beyond))
        ),
        "remarks": list(sentences("", _losses(kept, "remarks"))),
    }
    write_json(out / SUMMARY, summary)
    shutil.rmtree(out / _PARTS, ignore_errors=True)
    return _finished(out, made)


def _finished(out: Path, made: int) -> Conversion:
    summary = read_json(out / SUMMARY)
    return Conversion(
        out=out,
        format=summary["plan"]["to"],
        images=summary["images"],
        made=made,
        skipped=tuple((name, why) for name, why in summary["skipped"]),
        losses=tuple(summary["losses"]),
        remarks=tuple(summary["remarks"]),
    )


def _losses(kept: Sequence[_Told], *keys: str) -> Iterator[tuple[str, Loss]]:
    for one in kept:
        for loss in (loss for key in keys for loss in getattr(one, key)):
            yield (
                one.name,
                Loss(what=loss["what"], count=loss["count"], ious=tuple(loss["ious"])),
            )


def _write_losses(out: Path, kept: Sequence[_Told], of_set: Sequence[tuple[str, Loss]]) -> None:
    """A row for each thing that an image lost: its mean and lowest IoU where pixels changed."""
    with atomic_path(out / LOSSES) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("image,lost,count,mean_iou,lowest_iou\n")
        for name, loss in chain(_losses(kept, "losses", "remarks"), of_set):
            ious = loss.ious
            mean, lowest = (
                (f"{sum(ious) / len(ious):.6f}", f"{min(ious):.6f}") if ious else ("", "")
            )
            row = io.StringIO()
            what = loss.what.replace("{} ", "").replace("{{", "{").replace("}}", "}")
            csv.writer(row, lineterminator="\n").writerow([name, what, loss.count, mean, lowest])
            file.write(row.getvalue())


def _is_done(out: Path, index: int) -> bool:
    """Whether an image's part is there and whole: a crash of the machine may leave it empty."""
    try:
        return isinstance(_note(out, index), dict)
    except DataError:
        return False


def _note(out: Path, index: int) -> dict[str, Any]:
    note: dict[str, Any] = read_json(_part(out, index))
    return note


def _part(out: Path, index: int) -> Path:
    return out / _PARTS / f"{index // 1000:04d}" / f"{index % 1000:03d}.json"
