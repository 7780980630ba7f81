"""What a timing belongs to, and when not to take one."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import sys
from typing import Any

import jax

_PACKAGES = ("jax", "jaxlib", "flax", "jaxwt", "PyWavelets", "numpy")


def describe_machine() -> dict[str, Any]:
    """Versions and hardware that the numbers belong to."""
    cpu = platform.processor()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        models = [s for s in info.read_text().splitlines() if "model name" in s]
        cpu = models[0].split(":")[1].strip() if models else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "device": str(jax.devices()[0]),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "date": datetime.date.today().isoformat(),
    }


def refuse_unoptimised() -> bool:
    """Whether compiler optimisation is switched off, with a word about it."""
    flags = os.environ.get("XLA_FLAGS", "")
    level = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "")
    off = "optimization_level" in flags or level not in ("", "0")
    if off:
        print("Compiler optimisation is off: unset XLA_FLAGS.", file=sys.stderr)
    return off
