"""Which generation a processor is: its name hides that where a hypervisor makes one up.

A virtual machine's "AMD EPYC" may be a Zen 4 or a Zen 5, between which the same program's times
differ by more than a factor of two; the family and model that the CPUID instruction tells don't.
Facts: Linux's arch/x86/include/asm/intel-family.h and AMD's Processor Programming References.
"""

from __future__ import annotations

from collections.abc import Mapping

_Range = tuple[int, int, str]

_AMD: dict[int, tuple[_Range, ...]] = {
    0x17: (
        (0x00, 0x2F, "Zen"),
        (0x30, 0x4F, "Zen 2"),
        (0x50, 0x5F, "Zen"),
        (0x60, 0x7F, "Zen 2"),
        (0x90, 0xAF, "Zen 2"),
    ),
    0x19: (
        (0x00, 0x0F, "Zen 3"),
        (0x10, 0x1F, "Zen 4"),
        (0x20, 0x5F, "Zen 3"),
        (0x60, 0xAF, "Zen 4"),
    ),
    0x1A: ((0x00, 0x2F, "Zen 5"), (0x40, 0x4F, "Zen 5"), (0x60, 0x7F, "Zen 5")),
}
"""Family -> first and last model of a generation."""

_INTEL: dict[str, tuple[int, ...]] = {
    "Haswell": (60, 63, 69, 70),
    "Broadwell": (61, 71, 79, 86),
    "Skylake": (78, 94),
    "Kaby Lake": (142, 158),
    "Ice Lake": (106, 108, 125, 126),
    "Tiger Lake": (140, 141),
    "Alder Lake": (151, 154),
    "Raptor Lake": (183, 186, 191),
    "Sapphire Rapids": (143,),
    "Emerald Rapids": (207,),
    "Granite Rapids": (173, 174),
    "Sierra Forest": (175,),
    "Meteor Lake": (170, 172),
    "Arrow Lake": (197, 198),
    "Lunar Lake": (189,),
}
"""Generation -> models of family 6."""

_SHARED_MODEL = 85
"""Skylake, Cascade Lake and Cooper Lake servers: told apart by the stepping."""


def describe(facts: Mapping[str, str]) -> str:
    """The processor's name with its generation, family and model, as far as they are told.

    Args:
        facts: the first processor's lines of /proc/cpuinfo: key -> value.

    Returns:
        Such as "AMD EPYC (Zen 4, family 25 model 17)"; the bare name where the system tells no
        family and model, as Arm's; "" where it tells no name either.
    """
    name = next((facts[key] for key in ("model name", "Model", "Hardware") if facts.get(key)), "")
    family, model = facts.get("cpu family", ""), facts.get("model", "")
    if not (family.isdecimal() and model.isdecimal()):
        return name
    stepping = facts.get("stepping", "")
    known = microarchitecture(
        facts.get("vendor_id", ""),
        int(family),
        int(model),
        int(stepping) if stepping.isdecimal() else 0,
    )
    return f"{name} ({f'{known}, ' if known else ''}family {family} model {model})".strip()


def microarchitecture(vendor: str, family: int, model: int, stepping: int = 0) -> str:
    """The generation's name, such as "Zen 4"; "" where it is not known here.

    Args:
        vendor: as CPUID tells it, "AuthenticAMD" or "GenuineIntel".
        family, model, stepping: as CPUID tells them, the extended parts included.
    """
    if vendor == "AuthenticAMD":
        ranges = _AMD.get(family, ())
        return next((name for first, last, name in ranges if first <= model <= last), "")
    if vendor != "GenuineIntel" or family != 6:
        return ""
    if model == _SHARED_MODEL:
        return "Skylake" if stepping < 5 else "Cascade Lake" if stepping < 10 else "Cooper Lake"
    return next((name for name, models in _INTEL.items() if model in models), "")
