"""What measurements say about the machine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskwright.core import machine
from maskwright.core.errors import ConfigError
from maskwright.core.machine import available_memory, describe_machine


def test_describe_machine_is_plain_and_true():
    told = describe_machine()
    assert json.loads(json.dumps(told)) == told
    assert told["python"] == platform.python_version()
    assert told["packages"]["numpy"] == np.__version__
    assert told["processor"]
    assert told["cores"] >= 1


def test_describe_machine_imports_none_of_the_packages():
    code = (
        "import sys; from maskwright.core.machine import describe_machine; describe_machine();"
        "assert not {'torch', 'onnxruntime', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_share_of_the_memory_is_what_this_process_has_not_taken_of_it(monkeypatch):
    monkeypatch.delenv(machine.MEMORY, raising=False)
    whole = available_memory()
    held = resident()
    monkeypatch.setenv(machine.MEMORY, str(held + 2**24))
    assert abs(available_memory() - 2**24) < 2**23
    monkeypatch.setenv(machine.MEMORY, "1")
    assert available_memory() == 0
    monkeypatch.setenv(machine.MEMORY, str(2**60))
    assert abs(available_memory() - whole) < 2**32  # others take and give back meanwhile
    monkeypatch.setenv(machine.MEMORY, "much")
    with pytest.raises(ConfigError, match="expected bytes in MASKWRIGHT_MEMORY, got 'much'"):
        available_memory()


def resident() -> int:
    """Bytes of this process's memory, as the kernel's status file tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if "VmRSS" in line).split()[1])


def test_threads_are_at_most_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    assert [machine.thread_count(asked) for asked in (None, 1, 3, 4)] == [4, 1, 3, 4]
    for wrong in (5, 64, 0, -1):
        with pytest.raises(ConfigError, match=f"answer_threads of 1 to 4, .* got {wrong};"):
            machine.thread_count(wrong, "answer_threads")
