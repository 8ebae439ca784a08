"""The demo, run as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]


def test_the_demo_learns_the_digits_and_leaves_a_checkpoint_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "examples" / "digits.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"accuracy on 359 held-out digits: ([0-9.]+)%", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97.0
    assert len(re.findall(r"digit \d: +\d+ of \d+ right", done.stdout)) == 10
    assert "same predictions" in done.stdout
    assert "epoch" in done.stderr  # the progress bar
    picture = Image.open(tmp_path / "out" / "digits.png")
    assert len(np.unique(np.asarray(picture.convert("L")))) > 50  # not a blank sheet
    assert (tmp_path / "out" / "digits.pt").stat().st_size > 10_000


def test_the_demo_is_short_enough_to_read_aloud() -> None:
    text = (REPOSITORY / "examples" / "digits.py").read_text()
    assert len(text.splitlines()) <= 120
    assert "import cresset as torch" in text
