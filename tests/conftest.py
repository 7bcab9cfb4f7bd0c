"""Its place puts this folder on the path, so that tests can import `shared` and `standin`."""

from __future__ import annotations

import os
import signal

# A shell has what it starts in the background ignore Ctrl-C, and so would every process that a test
# starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers of pytest share the cores. Threads that wait for each other there spin, and took three
# times the processor's time; a test that is about threads asks for them. Read as torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
