"""Models' speeds, measured side by side, as data and as a page."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from maskwright.architectures import Published
from maskwright.benchmarks.contenders import Extras, Skipped
from maskwright.benchmarks.latency import LatencyRow, check_settings, compare_subjects
from maskwright.benchmarks.memory import measure_memory
from maskwright.benchmarks.roofline import Roofline, measure_roofline
from maskwright.benchmarks.subjects import Subject, is_name, open_subject
from maskwright.benchmarks.tables import latency_record, study_report
from maskwright.core.errors import ConfigError
from maskwright.core.files import write_json
from maskwright.core.image import read_image
from maskwright.core.locking import alone
from maskwright.core.machine import load_average
from maskwright.jobs.predict import find_inputs
from maskwright.report import write_report
from maskwright.runtimes import ov
from maskwright.runtimes.session import thread_count
from maskwright.synthesis import pitch_scene

Device = Literal["auto", "cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")

_PHOTOS = 16
_SCENES = 4


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a comparison of speeds came to.

    Attributes:
        rows: a model's contenders together, its plain one first.
        skipped: what this machine could not run, and why.
        rooflines: the machine's ceilings, the better of those measured before and after, a row for
            each number of threads.
        published: model -> speeds on GPUs that others told; empty where a GPU was measured.
        page: the report's path.
    """

    rows: Sequence[LatencyRow]
    skipped: Sequence[Skipped]
    rooflines: Sequence[Roofline]
    published: Mapping[str, Sequence[Published]]
    page: Path


@alone("out")
def benchmark_models(
    models: Sequence[Path | str],
    out: Path | str,
    *,
    bundle: Path | str | None = None,
    images: Path | str | Sequence[np.ndarray] | None = None,
    size: tuple[int, int] | None = None,
    rounds: int = 30,
    threads: int | None = None,
    compiled: bool = True,
    device: Device = "auto",
    int8: bool = False,
    against_plain: bool = False,
) -> Study:
    """Time models in PyTorch and in the runtimes, all in turns; write latency.json, report.html.

    Args:
        models: run folders, checkpoints, ".mask" files (without the PyTorch side), or names of
            architectures (with random weights).
        out: folder for both files.
        bundle: what was exported from the one checkpoint given; else it is exported for the time
            of the measurement.
        images: a folder of photos (sixteen of them are taken), or uint8 RGB arrays; generated
            scenes unless given.
        size: (height, width) of the architectures' input; the catalogue's unless given.
        rounds: turns of each contender, of three timed answers.
        threads: of all contenders but the one-threaded; None takes every core.
        compiled: torch.compile, too, which compiles for up to minutes.
        device: "auto" measures a CUDA device where there is one, "cpu" never; "cuda" says why not.
        int8: the bundle in int8, too, calibrated on the images: for its speed.
        against_plain: OpenVINO's own conversion of the network, too, compiled as ours is and with
            OpenVINO's defaults.

    Raises:
        ConfigError: settings that contradict each other or a name that is not known.
        ModelFileError: a checkpoint or bundle can't be used.
        DataError: the photos can't be read.
        MaskwrightError: the folder can't be written.
    """
    if not models or (bundle is not None and len(models) > 1) or device not in DEVICES:
        raise ConfigError(
            "expected at least one model, one alone with --bundle, and --device auto, cpu or cuda; "
            f"got {len(models)} models, --bundle {bundle}, --device {device}."
        )
    load_before = load_average()
    gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        photos = _scenes() if images is None else _photos(images)
        check_settings(photos, rounds, threads)
        subjects = _open_all(models, Path(folder), size, bundle)
        rooflines = [measure_roofline(each) for each in sorted({1, thread_count(threads)})]
        rows, skipped = compare_subjects(
            subjects,
            photos,
            threads=threads,
            rounds=rounds,
            extras=Extras(compiled=compiled, gpu=gpu, int8=int8, plain=against_plain),
        )
        again = [measure_roofline(each.threads) for each in rooflines]
        rooflines = [one.or_better(other) for one, other in zip(rooflines, again)]
        rows = _complete(rows, subjects, rooflines)
    measured_gpu = gpu and torch.cuda.is_available()
    study = Study(
        rows=rows,
        skipped=skipped,
        rooflines=rooflines,
        published={} if measured_gpu else {one.name: one.published for one in subjects},
        page=Path(out) / "report.html",
    )
    record = _record(study, "generated scenes" if images is None else "photos", load_before)
    write_json(Path(out) / "latency.json", record)
    write_report(study.page, study_report(study.rows, study.skipped, record))
    return study


def _photos(images: Path | str | Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    if not isinstance(images, (str, Path)):
        return images
    photos = list(find_inputs(images).values())
    return [read_image(photo) for photo in photos[:: max(1, len(photos) // _PHOTOS)][:_PHOTOS]]


def _scenes() -> list[np.ndarray]:
    return [pitch_scene(seed).read_image() for seed in range(_SCENES)]


def _open_all(
    models: Sequence[Path | str],
    folder: Path,
    size: tuple[int, int] | None,
    bundle: Path | str | None,
) -> list[Subject]:
    """The models, each with a name of its own; the size is for those that have none."""
    if size is not None and not any(is_name(model) for model in models):
        raise ConfigError(
            f"expected --size with names of architectures, got {size[0]}x{size[1]} with "
            f"{', '.join(map(str, models))}, which have their own; leave it out."
        )
    found: dict[str, Subject] = {}
    for model in models:
        wanted = size if is_name(model) else None
        subject = open_subject(model, folder, size=wanted, bundle=bundle)
        if subject.name in found:
            subject = replace(subject, name=str(model))
        if subject.name in found:
            raise ConfigError(f"expected each model once, got {model} twice.")
        found[subject.name] = subject
    return list(found.values())


def _complete(
    rows: Sequence[LatencyRow], subjects: Sequence[Subject], rooflines: Sequence[Roofline]
) -> list[LatencyRow]:
    """With what is measured apart: each row's share of the ceilings, the memory of a process."""
    named = {subject.name: subject for subject in subjects}
    ceilings = {roofline.threads: roofline for roofline in rooflines}
    completed = []
    for row in rows:
        subject = named[row.model]
        shipped = row.runtime != "torch" and row.bytes_on_disk is not None
        completed.append(
            replace(
                row,
                roofline=_share(row, ceilings),
                peak_mib=_peak(row, subject) if shipped else None,
            )
        )
    return completed


def _share(row: LatencyRow, ceilings: Mapping[int, Roofline]) -> float | None:
    ceiling = ceilings.get(row.threads)
    if row.gflop is None or row.weights_mb is None:
        return None
    if ceiling is None or ceiling.processor != row.processor:
        return None
    least = ceiling.least_ms(row.gflop, row.weights_mb)
    return None if least is None else least / row.median_ms


def _peak(row: LatencyRow, subject: Subject) -> float:
    precision = row.precision if row.precision in ov.PRECISIONS else "f32"
    return measure_memory(
        subject.bundle.source, threads=row.threads, runtime=row.runtime, precision=precision
    ).peak_mib


def _record(study: Study, images: str, load_before: Sequence[float]) -> dict[str, Any]:
    return {
        **latency_record(study.rows),
        "skipped": [vars(one) for one in study.skipped],
        "rooflines": [one.to_dict() for one in study.rooflines],
        "published_gpu": {
            model: [{"what": one.what, "value": one.value, "source": one.source} for one in items]
            for model, items in study.published.items()
        },
        "images": images,
        "load_average": {"before": load_before, "after": load_average()},
    }
