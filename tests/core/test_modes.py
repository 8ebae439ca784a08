"""The switches of a process, read from its environment, and of a thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import cresset as torch
from cresset.core import modes


def settings(**environment: str) -> str:
    """What a fresh process makes of the environment."""
    program = (
        "from cresset.core.modes import PROCESS as p;"
        "print(p.eager, p.compile, p.check, p.debug, p.threads())"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CRESSET_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean | environment
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_the_environment_decides_and_empty_means_the_default():
    plain = settings(CRESSET_NUM_THREADS="3")
    assert plain == "False True False 0 3"
    assert settings(
        CRESSET_NUM_THREADS="3", CRESSET_MODE="lazy", CRESSET_DEBUG="", CRESSET_CHECK="",
    ) == plain  # fmt: skip


def test_eager_mode_never_compiles():
    found = settings(
        CRESSET_MODE="eager", CRESSET_CHECK="1", CRESSET_DEBUG="2", OMP_NUM_THREADS="5"
    )
    assert found == "True False True 2 5"


def test_a_mode_that_does_not_exist_is_refused_by_name():
    assert settings(CRESSET_MODE="lasy") == (
        "ValueError: CRESSET_MODE must be 'lazy' or 'eager', got 'lasy'"
    )


def test_threads_follow_the_affinity_mask():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CRESSET_NUM_THREADS", "OMP_NUM_THREADS"):
            patch.delenv(name, raising=False)
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        assert modes._processors() == 1
        patch.setenv("OMP_NUM_THREADS", "none")  # not a number: as if it were not there
        assert modes._processors() == 1


def test_each_thread_starts_with_gradients_on():
    found = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: found.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
        assert not torch.is_grad_enabled()
    assert found == [True]
