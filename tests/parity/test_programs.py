"""Whole programs give PyTorch's weights, batches, losses and printed text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cresset

from .programs import PROGRAMS

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())["programs"]


@pytest.fixture(scope="module")
def ours() -> dict:
    return {}


def _run(name: str, ours: dict) -> dict:
    if name not in ours:
        ours[name] = PROGRAMS[name](cresset)
    return ours[name]


def _expected(name: str) -> dict:
    try:
        import torch
        import torch.utils.data  # noqa: F401
    except ImportError:
        return GOLDEN[name]
    # One thread: two programs at once on a busy machine wait for each other's threads for seconds.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return PROGRAMS[name](torch)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_trains_as_in_pytorch(name: str, ours: dict) -> None:
    result, expected = _run(name, ours), _expected(name)
    assert result.get("weights") == expected.get("weights"), "initial weights"
    assert result.get("labels") == expected.get("labels"), "batches"
    assert result.get("shown") == expected.get("shown"), "repr"
    np.testing.assert_allclose(result["losses"], expected["losses"], rtol=1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_trains_as_recorded_in_the_golden_file(name: str, ours: dict) -> None:
    result, expected = _run(name, ours), GOLDEN[name]
    assert result.get("weights") == expected.get("weights"), "initial weights"
    assert result.get("labels") == expected.get("labels"), "batches"
    assert result.get("shown") == expected.get("shown"), "repr"
    np.testing.assert_allclose(result["losses"], expected["losses"], rtol=2e-4)
