"""``python -m cresset info``: what a bug report needs to say about the machine and the settings."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys

# The package around this file: it is above this layer, and there before any part of it.
_PACKAGE = sys.modules["cresset"]
OPTIONAL = ("Pillow", "matplotlib", "tqdm", "safetensors", "tensorboard", "cupy", "mpi4py")


def own_version() -> str:
    """Cresset's version, from its installed metadata or, in a bare checkout, from the package."""
    try:
        return importlib.metadata.version("cresset")
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(_PACKAGE, "__version__", "unknown (not installed)"))


def report() -> str:
    """The whole report, one ``name: value`` a line.

    >>> print(report().splitlines()[0].split(':')[0])
    cresset
    """
    rows = _versions() + _processor() + _settings()
    width = max(len(name) for name, _ in rows) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in rows)


def _versions() -> list[tuple[str, str]]:
    rows = [
        ("cresset", f"{own_version()} ({_PACKAGE.__path__[0]})"),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
    ]
    rows += [(name, _version(name)) for name in ("numpy", "scipy", "llvmlite")]
    optional = [f"{name} {_version(name)}" for name in OPTIONAL if _version(name) != "absent"]
    return [*rows, ("optional", ", ".join(optional) or "none")]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> list[tuple[str, str]]:
    import llvmlite.binding as llvm

    features = [name for name, there in llvm.get_host_cpu_features().items() if there]
    return [
        ("cpu", f"{_model_name()} (LLVM: {llvm.get_host_cpu_name()})"),
        ("cpu features", " ".join(sorted(features))),
        ("cores", f"{os.cpu_count()} in the machine, {_allowed_cores()} allowed{_quota()}"),
    ]


def _model_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _allowed_cores() -> str:
    if not hasattr(os, "sched_getaffinity"):
        return "all"
    return ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))


def _quota() -> str:
    """The share of the cores that the container grants, where it limits them."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as line:
            quota, period = line.read().split()
    except (OSError, ValueError):
        return ""
    return "" if quota == "max" else f", quota of {int(quota) / int(period):g} cores"


def _settings() -> list[tuple[str, str]]:
    from cresset.compiler import cache
    from cresset.core.modes import PROCESS
    from cresset.runtime.simulated import simulated_count

    threads = getattr(_PACKAGE, "get_num_threads", None)
    simulated = simulated_count()
    devices = ["cpu"] + [f"cuda:{index} (simulated)" for index in range(simulated)]
    tiers = ["reference (NumPy, SciPy)"]
    compiler = importlib.util.find_spec("cresset.compiler")
    if compiler is not None and compiler.origin is not None:
        tiers.append("compiled (LLVM)")
    chosen = {name: value for name, value in os.environ.items() if name.startswith("CRESSET_")}
    return [
        ("threads", "1" if threads is None else str(threads())),
        ("devices", ", ".join(devices)),
        ("mode", "eager" if PROCESS.eager else "lazy"),
        ("tiers", ", ".join(tiers)),
        ("cache", cache.describe()),
        ("environment", " ".join(f"{name}={chosen[name]}" for name in sorted(chosen)) or "unset"),
    ]
