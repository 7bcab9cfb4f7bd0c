"""Errors that a user can cause, each saying what was expected, what came and what to do.

Everything that a user's input can trigger is a `MaskwrightError`: the command line prints its
message without a traceback and ends with exit code 2. Any other exception is a defect of ours.
"""

from __future__ import annotations


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
