"""What a measurement must name: the processor, how many of its cores we may use, the platform."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from maskwright.core.errors import ConfigError
from maskwright.core.processors import describe

PACKAGES = (
    "maskwright",
    "numpy",
    "opencv-python-headless",
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxruntime",
    "openvino",
)
"""The distributions whose versions can change a figure."""

MEMORY = "MASKWRIGHT_MEMORY"
"""Environment variable: bytes that a process may take at most, where several share a machine."""


@cache
def processor() -> str:
    """The processor's name, generation, family and model as far as the system tells them.

    Such as "AMD EPYC (Zen 4, family 25 model 17)": a virtual machine's name alone may hide which
    generation it is.
    """
    return describe(cpu_facts()) or platform.processor() or platform.machine()


def cpu_facts() -> dict[str, str]:
    """What Linux tells of the first processor in /proc/cpuinfo, key -> value; {} elsewhere.

    Lines that stand for the whole machine at the end of the file, as on Arm boards, are included
    where the first processor has none of that key.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            facts.setdefault(key.strip(), value.strip())
    return facts


def load_average() -> list[float]:
    """Programs that ran in the last 1, 5 and 15 minutes, on average; [] where it isn't told.

    More than the cores, and what is measured meanwhile is a crowded machine's.
    """
    return [round(each, 2) for each in os.getloadavg()] if hasattr(os, "getloadavg") else []


def usable_cores() -> int:
    """How many cores this process may run on (its affinity where the system knows one)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(threads: int | None, what: str = "threads") -> int:
    """The number of threads to use: as asked, or one for each core that we may run on.

    More threads than cores only take turns, and a figure measured so is none of this machine.

    Args:
        threads: None for all cores.
        what: the setting's name, for the message.

    Raises:
        ConfigError: fewer than one, or more than this process may use cores.
    """
    cores = usable_cores()
    if threads is None:
        return cores
    if not 1 <= threads <= cores:
        raise ConfigError(
            f"expected {what} of 1 to {cores}, the cores that this process may use, got {threads}; "
            "leave it out for all of them."
        )
    return threads


def system() -> str:
    """Operating system and instruction set, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def available_memory() -> int:
    """Bytes that this process may still take.

    The least of what the system has free, its control group, and the share of several processes
    that the environment variable MASKWRIGHT_MEMORY grants each.

    Raises:
        ConfigError: that variable doesn't hold a number.
    """
    free = [_kernel_tells("/proc/meminfo", "MemAvailable")]
    if share := os.environ.get(MEMORY):
        if not share.isdecimal():
            raise ConfigError(f"expected bytes in {MEMORY}, got {share!r}; give a whole number.")
        free.append(int(share) - (process_memory("VmRSS") or 0))
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            free.append(int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no control group, or one of the older kind
    known = [bytes_free for bytes_free in free if bytes_free is not None]
    return max(0, min(known)) if known else 2**62


def process_memory(entry: str) -> int | None:
    """Bytes that this process holds, as Linux tells them; None elsewhere.

    Args:
        entry: "VmRSS": resident now; "VmHWM": resident at most so far.
    """
    return _kernel_tells("/proc/self/status", entry)


def describe_machine() -> dict[str, Any]:
    """What a measurement must name, as plain data for JSON.

    Returns:
        "processor", "cores" (that this process may use), "memory_gib" (of the machine), "virtual"
        (whether a hypervisor runs it), "governor" (the rule by which Linux sets the first core's
        frequency), "system", "platform", "python", and "packages": name -> version of those
        installed among `PACKAGES`. None of them is imported. What the system doesn't tell is None.
    """
    memory = _kernel_tells("/proc/meminfo", "MemTotal")
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": None if memory is None else round(memory / 2**30, 1),
        "virtual": _virtual(),
        "governor": _governor(),
        "system": system(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
    }


def installed(package: str) -> str | None:
    """The version of an installed distribution; None where it isn't installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _virtual() -> bool | None:
    flags = cpu_facts().get("flags")
    return None if flags is None else "hypervisor" in flags.split()


def _governor() -> str | None:
    try:
        told = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text()
    except OSError:
        return None
    return told.strip() or None


def _kernel_tells(record: str, key: str) -> int | None:
    """Bytes that a line "KEY: N kB" of one of Linux's records tells; None without such a line."""
    try:
        for line in Path(record).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
