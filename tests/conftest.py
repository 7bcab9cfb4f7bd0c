"""Its place puts this folder on the path, so that tests can import `shared` and `standin`."""

from __future__ import annotations

import signal

# A shell has what it starts in the background ignore Ctrl-C, and so would every process that a test
# starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
