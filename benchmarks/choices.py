"""What `train` chooses beside a plain script, same start and time: `python -m benchmarks choices`.

    python -m benchmarks choices --data ../shared/data/cracks_crackforest --minutes 3 --seeds 0 1 2

Each run is a process of its own; every row is written as soon as it is there, and a measurement
that was ended goes on where it stands: a row that the record has already is not made again.
Remove the record to begin anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import maskwright.formats as formats
import maskwright.jobs as jobs
from maskwright.core.errors import MaskwrightError
from maskwright.core.files import write_json
from maskwright.core.machine import usable_cores

CONTENDERS = ("train", "script")
PARTIAL = ".rows.json"
"""Ends the name of the file that keeps the rows of a measurement under way, beside its record."""


def row_of(
    contender: str, data: Path, minutes: float, seed: int, ignore: Iterable[str]
) -> dict[str, Any]:
    """Train one contender in a process of its own, and score it on val and test.

    Raises:
        MaskwrightError: it failed.
    """
    dataset = formats.read(data, ignore=tuple(ignore))
    with tempfile.TemporaryDirectory() as place:
        out, started = Path(place) / "out", time.perf_counter()
        if contender == "train":
            words = ["-m", "maskwright", "train", str(data), "--out", str(out),
                     "--budget", f"{round(60 * minutes)}s", "--set", f"seed={seed}"]  # fmt: skip
        else:
            crop = _crop(dataset.split("train", "all")[0].read_image().shape[:2])
            words = ["-m", "benchmarks.plain_script", str(data), "--out", str(out),
                     "--seconds", str(60 * minutes), "--crop", *map(str, crop),
                     "--seed", str(seed)]  # fmt: skip
        for name in ignore:
            words += ["--ignore", name]
        _run(words)
        seconds = time.perf_counter() - started
        scores, steps = {}, 0
        for split in ("val", "test"):
            samples = dataset.splits.get(split, ())
            if samples:
                find, steps = _answers(contender, out, split, dataset, samples)
                found = jobs.score(samples, find, dataset.classes, tasks=frozenset({"semantic"}))
                plain = found.to_dict()["maps"]["areas"]
                scores[split] = {
                    "numbers": found.numbers(),
                    "iou": {row["name"]: row["iou"] for row in plain["classes"]},
                }
    return {"contender": contender, "data": data.name, "minutes": minutes, "seed": seed,
            "steps": steps, "seconds": round(seconds, 1), "scores": scores}  # fmt: skip


def _crop(size: tuple[int, ...]) -> tuple[int, int]:
    """Half of each side, in multiples of 32, of at most 480 pixels."""
    height, width = (max(64, 32 * round(min(side, 480) / 2 / 32)) for side in size)
    return height, width


def _answers(
    contender: str, out: Path, split: str, dataset: Any, samples: Any
) -> tuple[jobs.Find, int]:
    if contender == "train":
        from maskwright.training import checkpoint_predictor

        steps = json.loads((out / "config.json").read_text())["steps"]
        return jobs.answers_of(checkpoint_predictor(out / "best.safetensors")), steps
    steps = json.loads((out / "steps.json").read_text())["steps"]
    return formats.read_predictions(out / split, dataset, samples).read, steps


def _run(words: list[str]) -> None:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if done.returncode:
        raise MaskwrightError(f"{' '.join(words)} failed: {done.stderr.strip()[-600:]}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Sets, budgets, seeds."""
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--ignore", nargs="*", default=[], help="classes, where the sets have them")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every row, the contenders in turns, so that a drifting machine treats them alike."""
    partial = options.out.with_suffix(PARTIAL)
    earlier = next((path for path in (partial, options.out) if path.exists()), None)
    rows = json.loads(earlier.read_text())["rows"] if earlier else []
    done = {(row["contender"], row["data"], row["minutes"], row["seed"]) for row in rows}
    for minutes in options.minutes:
        for seed in options.seeds:
            for data in options.data:
                for contender in options.contenders:
                    if (contender, data.name, minutes, seed) in done:
                        continue
                    known = formats.read(data).classes.names
                    ignore = [name for name in options.ignore if name in known]
                    load = os.getloadavg()[0]
                    row = row_of(contender, data, minutes, seed, ignore) | {"load_before": load}
                    rows.append(row)
                    write_json(partial, {"rows": rows})
                    told = {s: round(own["numbers"]["mIoU"], 4) for s, own in row["scores"].items()}
                    print(contender, data.name, row["steps"], row["seconds"], told, flush=True)
    partial.unlink(missing_ok=True)
    return {"rows": rows, "threads": usable_cores()}
