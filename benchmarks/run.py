"""The one runner of all measurements: `python -m benchmarks NAME [options]`.

A measurement is a module with two functions: `arguments(parser)` adds its options, and
`measure(options)` gives what was found, as plain data with at least "threads". Everything else that
a figure must name is told here, the same way for all: command, date, machine, load.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from maskwright.core.errors import MaskwrightError
from maskwright.core.files import write_json
from maskwright.core.machine import describe_machine, load_average

RESULTS = Path(__file__).parent / "results"

MEASUREMENTS = {
    "choices": "training without options, beside a plain script with the same start and time",
    "conversion": "COCO to YOLO and back, beside supervision and the loops that people write",
    "devices": "training on a card, beside a plain PyTorch loop and beside the processor",
    "evaluation-speed": "an evaluation from its files on, beside the whole script of pycocotools",
    "intervals": "how often intervals over images hold the truth, and call equal models different",
    "peers": "forward passes and training steps beside the same networks elsewhere",
    "refinement": "what refining class maps gains and costs",
    "robot": "how late a bad frame is: the tail of the times of thousands of frames",
    "scoring": "counting class maps, beside torchmetrics",
    "scoring-ap": "average precision, beside pycocotools, faster-coco-eval and hotcoco",
    "sizes": "what installing downloads and takes on disk",
    "startup": "how long a command takes before it does anything",
    "synthesis": "generated images a second",
    "tiling": "what tiles cost on a large image, in time and memory",
    "tracking": "identities over the frames of our own scenes, beside supervision's ByteTrack",
    "ultralytics-scores": "AP by its two protocols, beside the tools' own answers",
}
"""Name -> what is measured; the module's name is the same with "_" for "-"."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Measurement(Protocol):
    """What a measurement's module offers."""

    __doc__: str | None

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def measure(self, options: argparse.Namespace) -> dict[str, Any]:
        """Plain data for JSON, with "threads": of what was measured."""


def main(words: Sequence[str]) -> int:
    """Measure and write the record; 0 for success, 2 where the input is at fault.

    Args:
        words: the measurement's name and its options, as in a shell.
    """
    if not words or words[0] not in MEASUREMENTS:
        return _overview(words)
    name, *rest = words
    measurement = load(name)
    options = parser_of(name, measurement).parse_args(rest)
    try:
        found = record(measurement, options, command_line(words))
        _write(options.out, options.section, found)
    except MaskwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}")
    return 0


def load(name: str) -> Measurement:
    """The module of a measurement, imported late: most need no torch, and memory is measured."""
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    return cast(Measurement, module)


def parser_of(name: str, measurement: Measurement) -> argparse.ArgumentParser:
    """The options of a measurement: its own, where to write, and under which name."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=measurement.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    measurement.arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help="the JSON file to write"
    )
    parser.add_argument("--section", default="", help="of the file; its other sections stay")
    return parser


def record(measurement: Measurement, options: argparse.Namespace, command: str) -> dict[str, Any]:
    """Measure, and name what a figure must name.

    Returns:
        "command", "date" (UTC, ISO 8601, of the start), "machine" (as `describe_machine` tells it),
        "load_average" "before" and "after" (of the last 1, 5 and 15 minutes), and what was found.
    """
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine, before = describe_machine(), load_average()  # before a measurement keeps to one core
    found = measurement.measure(options)
    return {
        "command": command,
        "date": date,
        "machine": machine,
        "load_average": {"before": before, "after": load_average()},
        **found,
    }


def command_line(words: Sequence[str]) -> str:
    """The command with the variables that set threads, and without this machine's folders."""
    variables = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    told = shlex.join(_without_folders(word) for word in words)
    return " ".join([*variables, "python -m benchmarks", told])


def _without_folders(word: str) -> str:
    option, sign, value = word.rpartition("=")
    return option + sign + Path(value).name if Path(value).is_absolute() else word


def _write(path: Path, section: str, found: dict[str, Any]) -> None:
    if section:
        others = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        found = {**others, section: found}
    write_json(path, found)


def _overview(words: Sequence[str]) -> int:
    asked = not words or words[0] in ("-h", "--help")
    lines = [f"error: expected a measurement's name, got {words[0]!r}."] if not asked else []
    lines.append("python -m benchmarks NAME [options]; NAME -h lists the options.")
    lines += [f"  {name:<11} {what}" for name, what in MEASUREMENTS.items()]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
