"""Programs run as a user runs them: each in an interpreter of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("script.py", "arg")`` in tmp_path; the environment knows where Cresset is."""
    spec = importlib.util.find_spec("cresset")
    assert spec is not None and spec.origin is not None
    packages = str(Path(spec.origin).parent.parent)

    def run(*arguments: str, cwd: Path = tmp_path, **extra: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": packages, **extra}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def cresset(run: Run) -> Run:
    """``cresset("script.py", "arg")``: the same through ``python -m cresset``."""
    return lambda *arguments, **keywords: run("-m", "cresset", *arguments, **keywords)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a program into tmp_path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write
