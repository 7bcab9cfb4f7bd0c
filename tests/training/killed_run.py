"""A run that kills itself: python killed_run.py SETTINGS.json, in a process of its own.

SETTINGS.json holds "data", "folder" and "config" of the run, "save_every" (seconds), and where it
dies: "where" and "count". "step": when so many steps are made; "backward": within that step;
"NAME.safetensors": when that file is half written for so many times.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import maskwright.formats as formats
from maskwright.training import Silent, TrainConfig, loop, preflight, rehearsal, train


def main(path: str) -> None:
    settings = json.loads(Path(path).read_text())
    where, left = settings["where"], [settings["count"]]

    def die_at_last() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    class Dying(Silent):
        def step(self, step: int, steps: int, loss: float, rate: float) -> None:
            if where == "step":
                die_at_last()

    write, backward = Path.write_bytes, loop.backward

    def dying_write(file: Path, data: bytes) -> int:
        if file.name.startswith(f".{where}."):
            write(file, data[: len(data) // 2])
            die_at_last()
        return write(file, data)

    def dying_backward(*args: object) -> float:
        loss = backward(*args)
        if where == "backward":
            die_at_last()
        return loss

    Path.write_bytes, loop.backward = dying_write, dying_backward
    loop.SAVE_EVERY = settings["save_every"]
    loop.SAVE_SHARE = 1.0e9
    rehearsal.time_steps = lambda step, kind, **_: preflight.time_steps(step, kind, 2)
    config = TrainConfig.from_dict(settings["config"])
    train(config, formats.read(settings["data"]), settings["folder"], progress=Dying())


if __name__ == "__main__":
    main(sys.argv[1])
