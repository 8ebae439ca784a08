"""Activation functions against PyTorch, row by row of the op table."""

from __future__ import annotations

import pytest

from .harness import cases
from .table_activation import ROWS


@pytest.mark.parametrize(("check", "row"), cases(ROWS))
def test_agrees_with_pytorch(check, row):
    check(row)
