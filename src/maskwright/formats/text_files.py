"""Text files as users save them: any line ends, with or without a byte-order mark."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from maskwright.core.errors import DataError

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_text(path: Path) -> str:
    """A text file, possibly empty, with any line ends, with or without a byte-order mark.

    Raises:
        DataError: it can't be read, or isn't UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"could not read {path}: {error.strerror}; check the path.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no UTF-8 text (byte {error.start} is {error.object[error.start]:#x}); save "
            "it as UTF-8."
        ) from None


def compact_json(value: Any) -> str:
    """JSON on one line: UTF-8 that people can read, or escapes where a text is no valid Unicode."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if _SURROGATE.search(text):
        text = json.dumps(value, separators=(",", ":"))
    return text + "\n"
