"""What all tests share: quiet machines, repeatable examples, and no state from test to test."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

# Before anything imports NumPy or torch. Parallel test workers that each start a thread per core
# slow one another down several times over.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Compiled code is shared by a run's processes, and with no other run.
if "CRESSET_CACHE_DIR" not in os.environ:
    os.environ["CRESSET_CACHE_DIR"] = tempfile.mkdtemp(prefix="cresset-tests-")
    atexit.register(shutil.rmtree, os.environ["CRESSET_CACHE_DIR"], ignore_errors=True)

import hypothesis
import pytest

# A slow machine is no failure, and a red run must be red again.
hypothesis.settings.register_profile("cresset", deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "cresset"))


@pytest.fixture(autouse=True)
def _global_state_is_put_back() -> Iterator[None]:
    """A test may change process-wide settings; the next one finds PyTorch's defaults.

    Random numbers are the same at every run, whichever tests ran before.
    """
    if "cresset" in sys.modules:
        from cresset.ops.random import manual_seed

        manual_seed(0)
    yield
    if "cresset" not in sys.modules:
        return
    import cresset.runtime
    from cresset.core.modes import THREAD
    from cresset.device import set_default_device
    from cresset.dtypes import float32, set_default_dtype_unchecked
    from cresset.printing import set_printoptions

    set_default_dtype_unchecked(float32)
    set_default_device(None)
    THREAD.grad, THREAD.inference = True, False
    set_printoptions(profile="default")
    for where in [where for where in cresset.runtime._backends if where.type == "cuda"]:
        del cresset.runtime._backends[where]  # simulated devices go with the test
