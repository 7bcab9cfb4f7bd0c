"""Runs commands in a fresh process that is watched from inside: packages loaded, networks opened.

    run_commands(folder, ["data", "stats", "set"], ...) -> what each came to

All of them share one process, as starting Python with torch takes seconds; what one command loads
is still there in the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Becomes sitecustomize.py, so that processes started by the watched one are watched, too.
_WATCH = """
import os, socket, sys

def watch(event, arguments):
    if not event.startswith("socket."):
        return
    named = event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
    opened = event in {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
    if named or (opened and arguments[0].family != socket.AF_UNIX):
        with open(os.environ["WATCHED_NETWORK"], "a") as log:
            log.write(f"{event} {arguments[-1] if opened else arguments}\\n")
        raise PermissionError(f"the test refuses {event}")

sys.addaudithook(watch)
"""

_DRIVER = """
import contextlib, io, json, os, sys, traceback

def run(args):
    if args[0] == "python":
        exec(args[1], {})
    else:
        from maskwright.cli import main
        sys.argv = ["maskwright", *args]
        main()

def outcome(args):
    open(os.environ["WATCHED_NETWORK"], "w").close()
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(args)
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    packages = sorted({name.split(".")[0] for name in sys.modules})
    with open(os.environ["WATCHED_NETWORK"]) as log:
        network = log.read().splitlines()
    return dict(args=args, code=code, out=out.getvalue(), err=err.getvalue(),
                network=network, packages=packages)

if __name__ == "__main__":
    commands, path = sys.argv[1:]
    found = [outcome(args) for args in json.loads(commands)]
    with open(path, "w") as file:
        json.dump(found, file)
"""


@dataclass(frozen=True)
class Outcome:
    """What a command came to.

    Attributes:
        args: of the command line.
        code: its exit code; 1 for a traceback.
        out: what it printed.
        err: what it told on the side.
        network: events by which it tried to open one.
        packages: that are loaded after it.
    """

    args: list[str]
    code: int
    out: str
    err: str
    network: list[str]
    packages: list[str]

    def __repr__(self) -> str:
        network = "\n".join(self.network)
        return f"{' '.join(self.args)} -> {self.code}\n{self.out}\n{self.err}\n{network}"


def run_commands(folder: Path, *commands: list[str]) -> list[Outcome]:
    """Run them in `folder`, one after the other, without a network.

    Args:
        folder: also takes the files of the watch, in ".watch".
        commands: arguments of maskwright; or "python" and code.
    """
    watch = folder / ".watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(_WATCH)
    (watch / "driver.py").write_text(_DRIVER)
    subprocess.run(
        [sys.executable, watch / "driver.py", json.dumps(commands), watch / "outcomes.json"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(watch), os.environ.get("PYTHONPATH", "")]),
            "WATCHED_NETWORK": str(watch / "network.txt"),
            "OMP_NUM_THREADS": "1",
        },
        check=True,
    )
    return [Outcome(**one) for one in json.loads((watch / "outcomes.json").read_text())]
