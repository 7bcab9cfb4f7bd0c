"""How much memory a process takes that only loads a bundle and predicts, as on a robot.

It is measured in a process of its own: `python -m maskwright.benchmarks.memory BUNDLE`, which
imports no torch.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.core.errors import ModelFileError
from maskwright.core.machine import process_memory
from maskwright.runtimes import load

ANSWERS = 3


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a process that only predicts came to.

    Attributes:
        peak_mib: 2^20 bytes that were resident at most, the interpreter included.
        torch: whether torch was loaded; it must not be.
    """

    peak_mib: float
    torch: bool


def measure_memory(
    bundle: Path | str, *, threads: int, runtime: str, precision: str = "f32"
) -> Memory:
    """Start a process that loads the bundle, answers a few images of its own size, and ends.

    Raises:
        ModelFileError: the process failed; the text tells its last words.
    """
    command = [sys.executable, "-m", "maskwright.benchmarks.memory", str(bundle)]
    command += ["--threads", str(threads), "--runtime", runtime, "--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ModelFileError(
            f"{bundle}: expected a process to predict with {runtime} in {precision}, but it ended "
            f"with {done.returncode}: {words}"
        )
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def peak_mib() -> float:
    """2^20 bytes that this process had resident at most.

    Linux's getrusage hands the peak of the parent on to a child, so its own record comes first.
    """
    told = process_memory("VmHWM")
    if told is not None:
        return told / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def resident_mib() -> float:
    """2^20 bytes that this process has resident now; the peak where the system doesn't tell."""
    told = process_memory("VmRSS")
    return peak_mib() if told is None else told / 2**20


def main() -> None:
    """Load, predict, and print the peak as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="a .mask file")
    parser.add_argument("--threads", type=int, default=None, help="all cores unless given")
    parser.add_argument("--runtime", default="auto", help="auto, onnxruntime or openvino")
    parser.add_argument("--precision", default="f32", help="f32, bf16 or f16")
    options = parser.parse_args()
    model = load(
        options.bundle,
        threads=options.threads,
        runtime=options.runtime,
        precision=options.precision,
    )
    image_HW3 = np.zeros((*model.card.resize.size, 3), np.uint8)
    for _ in range(ANSWERS):
        model.predict(image_HW3)
    print(json.dumps({"peak_mib": peak_mib(), "torch": "torch" in sys.modules}))


if __name__ == "__main__":
    main()
