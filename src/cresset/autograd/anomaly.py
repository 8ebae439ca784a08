"""Anomaly mode: backward errors and NaNs name the forward call that caused them."""

from __future__ import annotations

from typing import Any

from cresset.core.modes import PROCESS
from cresset.core.tape import ANOMALY


class detect_anomaly:
    """Within this context every node remembers its stack, and backward checks for NaN."""

    def __init__(self, check_nan: bool = True) -> None:
        import warnings

        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )
        self.check_nan = check_nan

    def __enter__(self) -> None:
        PROCESS.unusual = True
        self.previous = (ANOMALY.enabled, ANOMALY.check_nan)
        ANOMALY.enabled, ANOMALY.check_nan = True, self.check_nan

    def __exit__(self, *exc: Any) -> None:
        ANOMALY.enabled, ANOMALY.check_nan = self.previous


class set_detect_anomaly:
    """Anomaly mode on or off, as a function or a context manager."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        PROCESS.unusual = True
        self.previous = (ANOMALY.enabled, ANOMALY.check_nan)
        ANOMALY.enabled, ANOMALY.check_nan = mode, check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        ANOMALY.enabled, ANOMALY.check_nan = self.previous


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return ANOMALY.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN."""
    return ANOMALY.check_nan
