"""Lookup in tables against PyTorch, row by row of the op table."""

from __future__ import annotations

import pytest

from .harness import cases
from .table_index import EMBEDDING


@pytest.mark.parametrize(("check", "row"), cases(EMBEDDING))
def test_agrees_with_pytorch(check, row):
    check(row)
