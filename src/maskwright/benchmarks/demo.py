"""The demo: the whole way from scenes to a bundle that is faster than PyTorch, in minutes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import maskwright.formats as formats
import maskwright.jobs as jobs
from maskwright.benchmarks.latency import compare_latency
from maskwright.benchmarks.tables import fastest, latency_record, latency_table, speeds
from maskwright.core import machine
from maskwright.core.errors import ConfigError
from maskwright.core.files import write_json
from maskwright.core.locking import alone
from maskwright.data import Augmentation
from maskwright.export import export_checkpoint
from maskwright.report import write_report
from maskwright.runtimes import load
from maskwright.synthesis import pitch_scene
from maskwright.training import Callback, Silent, TrainConfig, environment, train

_MARK = "maskwright-demo.json"


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo came to.

    Attributes:
        headline: of the bundle, without torch, on scenes that training never saw.
        test_images: how many of those.
        fps: images a second of the fastest runtime, the network alone.
        speed_up: over PyTorch eager with the same threads.
        runtime: that was the fastest.
        bundle: the file that ships.
        report: the page.
    """

    headline: jobs.Headline
    test_images: int
    fps: float
    speed_up: float
    runtime: str
    bundle: Path
    report: Path


@alone("out")
def run_demo(
    out: Path | str,
    *,
    scenes: int = 400,
    seconds: float = 150.0,
    size: tuple[int, int] = (240, 320),
    seed: int = 0,
    overwrite: bool = False,
    progress: Callback | None = None,
) -> DemoResult:
    """Make scenes, train on them, export, score the bundle, compare speeds, write a report.

    Args:
        out: new folder, or an earlier demo's with `overwrite`.
        scenes: how many to make, 30 or more.
        seconds: for training.
        size: (height, width) of the scenes and of the network's input.
        seed: of scenes and training.
        overwrite: replace an earlier demo.
        progress: told what happens.

    Raises:
        ConfigError: too few scenes, or `out` holds something that is no demo of ours.
        MaskwrightError: the folder can't be written, or the export's gate is not passed.
    """
    out, progress = Path(out), progress or Silent()
    if scenes < 30:
        raise ConfigError(f"expected 30 scenes or more to train and score on, got {scenes}.")
    _take_folder(out, overwrite)
    progress.note(f"1/5  making {scenes} labelled scenes of {size[0]}x{size[1]}")
    maker = partial(pitch_scene, size=size)
    jobs.synthesize(maker, scenes, out / "scenes", seed, workers=machine.usable_cores())
    dataset = formats.read(out / "scenes", "index_masks")
    progress.note("2/5  training a U-Net on EfficientNet-Lite0")
    config = demo_config(size, seconds, seed)
    run = train(config, dataset, out / "run", licence="Apache-2.0", progress=progress)
    if run.interrupted:
        raise KeyboardInterrupt
    test = dataset.split("test", "val")
    images = [sample.read_image() for sample in test[:16]]
    progress.note("3/5  exporting, and holding the bundle against PyTorch")
    bundle = out / "pitch.mask"
    export_checkpoint(run.folder / "best.safetensors", bundle, images)
    progress.note("4/5  scoring the bundle without PyTorch")
    predictor = load(bundle)
    find, tasks = jobs.answers_of(predictor), jobs.tasks_of(predictor.card.tasks)
    scores = jobs.score(test, find, dataset.classes, tasks=tasks, detail=False)
    progress.note("5/5  comparing speeds")
    rows = compare_latency(run.folder / "best.safetensors", bundle, images, seconds=20)
    write_json(out / "latency.json", latency_record(rows))
    around = jobs.Around(
        history=run.history,
        speeds=speeds(rows),
        environment=environment(),
        settings=run.config.to_dict(),
    )
    page = jobs.score_page("A football pitch, segmented", scores, test, find, around)
    page = replace(page, sections=[*page.sections, latency_table(rows)])
    write_report(out / "report.html", page)
    best = fastest(rows)
    return DemoResult(
        headline=scores.headline(),
        test_images=len(test),
        fps=best.fps,
        speed_up=best.speed_up,
        runtime=best.name,
        bundle=bundle,
        report=out / "report.html",
    )


def demo_config(size: tuple[int, int], seconds: float, seed: int) -> TrainConfig:
    """The demo's recipe: small, and done in minutes on two cores."""
    return TrainConfig(
        architecture="unet-lite0",
        options={"pretrained": True},
        size=size,
        batch=8,
        budget=seconds,
        lr=2e-3,
        encoder_lr=0.5,
        ema=0.98,
        loss="weighted-ce+dice",
        augmentation=Augmentation(scale=(0.8, 1.5)),
        evaluate_every=3,
        seed=seed,
    )


def _take_folder(out: Path, overwrite: bool) -> None:
    """Refuse what is not ours to replace; an earlier demo goes only when asked."""
    if out.exists() and any(out.iterdir()):
        ours = (out / _MARK).exists()
        if not (ours and overwrite):
            hint = "pass --overwrite to replace it" if ours else "choose another folder"
            what = "an earlier demo" if ours else "files that are no demo"
            raise ConfigError(f"{out} holds {what}; {hint}.")
        for one in out.iterdir():  # the folder itself is held
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    write_json(out / _MARK, {"made by": "maskwright demo"})
