"""Errors that a user can cause, each saying what was expected, what came and what to do.

Everything that a user's input can trigger is a `MaskwrightError`: the command line prints its
message without a traceback and ends with exit code 2. Any other exception is a defect of ours.
"""

from __future__ import annotations

import errno
from pathlib import Path


class MaskwrightError(Exception):
    """Base of every error that is the input's fault, not the program's."""


class DataError(MaskwrightError):
    """Images, masks or annotation files that can't be used as they are."""


class ModelFileError(MaskwrightError):
    """A checkpoint or bundle that is damaged, unsafe, too new or of the wrong kind."""


class DownloadError(MaskwrightError):
    """An address whose file can't be had, or isn't what it should be."""


class ConfigError(MaskwrightError):
    """Settings that contradict each other, the data or the machine."""


_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EACCES: "choose a folder that may be read and written",
    errno.EPERM: "choose a folder that may be read and written",
    errno.EROFS: "choose a folder that may be read and written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a file lies where a folder is needed; choose another place",
    errno.EEXIST: "a file lies where a folder is needed; choose another place",
    errno.ENOTEMPTY: "another program wrote there meanwhile; choose another folder",
    errno.EISDIR: "a folder lies where a file is needed; choose another place",
}


def advice_on(error: OSError) -> str:
    """What a user can do about a file that can't be read or written."""
    return _ADVICE.get(error.errno or 0, "choose another place")


def could_not_write(path: Path | str, error: OSError, more: str = "") -> MaskwrightError:
    """The error where a path can't be written: why, what to do, and a sentence `more`."""
    why = error.strerror or error
    return MaskwrightError(f"could not write {path}: {why}; {advice_on(error)}.{more}")
