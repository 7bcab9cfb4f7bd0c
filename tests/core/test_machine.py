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
from maskwright.core.machine import available_memory, describe_machine, processor
from maskwright.core.processors import describe


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


# What /proc/cpuinfo tells on machines whose names are known from elsewhere: cloud providers' own
# descriptions of their instances, and the processors' data sheets.
CPUS = [
    ("AuthenticAMD", 25, 17, 1, "AMD EPYC", "AMD EPYC (Zen 4, family 25 model 17)"),
    ("AuthenticAMD", 26, 2, 1, "AMD EPYC", "AMD EPYC (Zen 5, family 26 model 2)"),
    ("AuthenticAMD", 25, 1, 1, "AMD EPYC 7763", "AMD EPYC 7763 (Zen 3, family 25 model 1)"),
    ("AuthenticAMD", 23, 49, 0, "AMD EPYC 7742", "AMD EPYC 7742 (Zen 2, family 23 model 49)"),
    ("AuthenticAMD", 23, 1, 2, "AMD EPYC 7601", "AMD EPYC 7601 (Zen, family 23 model 1)"),
    ("AuthenticAMD", 25, 97, 2, "Ryzen 9 7950X", "Ryzen 9 7950X (Zen 4, family 25 model 97)"),
    ("AuthenticAMD", 25, 80, 0, "Ryzen 7 5800H", "Ryzen 7 5800H (Zen 3, family 25 model 80)"),
    ("AuthenticAMD", 99, 1, 0, "Later", "Later (family 99 model 1)"),
    ("GenuineIntel", 6, 143, 8, "Xeon", "Xeon (Sapphire Rapids, family 6 model 143)"),
    ("GenuineIntel", 6, 85, 4, "Xeon", "Xeon (Skylake, family 6 model 85)"),
    ("GenuineIntel", 6, 85, 7, "Xeon", "Xeon (Cascade Lake, family 6 model 85)"),
    ("GenuineIntel", 6, 85, 11, "Xeon", "Xeon (Cooper Lake, family 6 model 85)"),
    ("GenuineIntel", 15, 143, 8, "Old", "Old (family 15 model 143)"),
]


@pytest.mark.parametrize(("vendor", "family", "model", "stepping", "name", "told"), CPUS)
def test_a_processor_is_told_by_family_and_model(vendor, family, model, stepping, name, told):
    numbers = {"cpu family": str(family), "model": str(model), "stepping": str(stepping)}
    assert describe({"vendor_id": vendor, "model name": name, **numbers}) == told


def test_a_processor_without_family_or_name_is_told_as_far_as_it_goes():
    assert describe({"Model": "Raspberry Pi 5 Model B Rev 1.0"}) == "Raspberry Pi 5 Model B Rev 1.0"
    assert describe({}) == ""
    assert processor()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells it in /proc/cpuinfo")
def test_the_processor_is_the_first_of_the_systems_own(monkeypatch):
    text = (
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
        "model name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel\t: 1\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda path, **_: text)
    assert machine.cpu_facts()["model"] == "17"
    assert machine.processor.__wrapped__() == "AMD EPYC (Zen 4, family 25 model 17)"
    assert machine._virtual() is True


def test_the_load_is_that_of_three_spans_of_time(monkeypatch):
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (0.123, 4.0, 15.5), raising=False)
    assert machine.load_average() == [0.12, 4.0, 15.5]
    monkeypatch.delattr(machine.os, "getloadavg")
    assert machine.load_average() == []


def test_threads_are_at_most_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    assert [machine.thread_count(asked) for asked in (None, 1, 3, 4)] == [4, 1, 3, 4]
    for wrong in (5, 64, 0, -1):
        with pytest.raises(ConfigError, match=f"answer_threads of 1 to 4, .* got {wrong};"):
            machine.thread_count(wrong, "answer_threads")
