"""The root of the command line, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import io
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from maskwright.cli.benchmark import benchmark
from maskwright.cli.compare import compare
from maskwright.cli.convert import convert
from maskwright.cli.data import data
from maskwright.cli.demo import demo
from maskwright.cli.doctor import doctor
from maskwright.cli.evaluate import evaluate
from maskwright.cli.export import export
from maskwright.cli.models import models
from maskwright.cli.predict import predict
from maskwright.cli.synthesize import synthesize
from maskwright.cli.train import TrainCommand, train
from maskwright.core.errors import MaskwrightError, advice_on
from maskwright.core.interrupt import end_like_interrupt
from maskwright.core.machine import installed
from maskwright.core.telling import printable

USER_ERROR = 2
"""Exit code where the input is at fault, or Ctrl-C ended the work."""

UNKNOWN_VERSION = "0+unknown"
"""Of a source tree that was never installed, as `maskwright.__version__` tells it."""

_MACHINE_SAYS_NO = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT,
                    errno.ENAMETOOLONG, errno.ELOOP}  # fmt: skip


class _InterruptedError(Exception):
    """Ctrl-C, as an exception that typer doesn't turn into an exit code of its own."""


class _Commands(TyperGroup):
    """All commands, with Ctrl-C passed on to `main`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None


app = typer.Typer(
    name="maskwright",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From photos to a segmentation model that runs in real time on a CPU.",
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"maskwright {installed('maskwright') or UNKNOWN_VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Only its option is used; the help is the app's."""


app.command()(demo)
app.command()(models)
app.add_typer(data, name="data")
app.command()(convert)
app.command(cls=TrainCommand)(train)
app.command()(evaluate)
app.command()(predict)
app.command()(export)
app.command()(benchmark)
app.command()(compare)
app.command()(synthesize)
app.command()(doctor)


def main() -> None:
    """Run the command line: 0 for success, 2 where the input is at fault, with one clear message.

    A defect of the program still ends in a traceback: it is no user's mistake.
    """
    end_like_interrupt()
    for stream in (sys.stdout, sys.stderr):  # names of files may be no text at all
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="maskwright")
    except MaskwrightError as error:
        _fail(f"error: {error}")
    except (_InterruptedError, KeyboardInterrupt):
        _fail("interrupted; what was written so far is whole.")
    except OSError as error:
        if error.errno not in _MACHINE_SAYS_NO:
            raise
        _fail(f"error: could not use {error.filename or 'a file'}: {error.strerror}; "
              f"{advice_on(error)}.")  # fmt: skip
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "maskwright":
            raise
        _fail(f"error: this command needs {error.name}, which is not installed; run "
              "pip install 'maskwright[train]'.")  # fmt: skip


def _fail(message: str) -> NoReturn:
    print(printable(message), file=sys.stderr)
    sys.exit(USER_ERROR)
