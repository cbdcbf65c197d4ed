"""The machine that a benchmark ran on, by its processor: never by a host name."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "torch", "lava-nc")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory, versions."""
    said = _cpu_facts()
    flags = said.get("flags", said.get("Features", "")).split()
    return {
        "processor": said.get("model name") or platform.processor() or platform.machine(),
        "instruction_sets": [flag for flag in FLAGS if flag in flags],
        "cores": len(usable_cpus()),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def file_name(facts: dict[str, Any], threads: int) -> str:
    """What names the machine in a file's name: letters, digits and dashes."""
    words = re.sub(r"\((?:R|TM|r|tm)\)|\bCPU\b|@.*", " ", str(facts["processor"]))
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "unknown"
    return f"{plain}-{facts['cores']}-cores-{threads}-threads"


def usable_cpus() -> tuple[int, ...]:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def chosen_cpus(threads: int) -> tuple[int, ...]:
    """So many of them, on as many cores as possible: two threads of one core share what it computes with."""
    seen: dict[str, int] = {}
    ranked = []
    for cpu in usable_cpus():
        core = _siblings(cpu)
        seen[core] = seen.get(core, 0) + 1
        ranked.append((seen[core], cpu))
    return tuple(sorted(cpu for _, cpu in sorted(ranked)[:threads]))


def _siblings(cpu: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _cpu_facts() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; nothing where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
