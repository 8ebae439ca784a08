"""Indexing against PyTorch, row by row of the op table."""

from __future__ import annotations

import pytest

from .harness import cases
from .table_index import GETITEM, SETITEM


@pytest.mark.parametrize(("check", "row"), cases(GETITEM + SETITEM))
def test_agrees_with_pytorch(check, row):
    check(row)
