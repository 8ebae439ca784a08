from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")


def test_a_hundred_damaged_files_do_no_harm(tmp_path):
    """The first of ``python -m tests.serialization.fuzz``, always the same ones."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.serialization.fuzz", "0", "--child", str(tmp_path / "last"),
         "--examples", "100"],
        capture_output=True, timeout=200, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:].decode(errors="replace")


def test_the_fuzzer_finds_what_is_wrong(tmp_path):
    """With an error that is not among the clear ones, it must fail."""
    program = (
        "import sys; from pathlib import Path; from tests.serialization import fuzz\n"
        f"fuzz.CLEAR = (ValueError,)\nfuzz.run_child(0, 50, Path({str(tmp_path / 'last')!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=200,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode != 0 and b"Error" in done.stderr
