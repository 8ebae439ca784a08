"""Joining, reordering, padding against PyTorch, row by row of the op table."""

from __future__ import annotations

import warnings

import pytest

import cresset

from .harness import cases
from .table_join import JOIN, ORDER, PAD, STORAGE


@pytest.mark.parametrize(("check", "row"), cases(JOIN + ORDER + PAD + STORAGE))
def test_agrees_with_pytorch(check, row):
    check(row)


def test_meshgrid_without_indexing_warns():
    with pytest.warns(UserWarning, match="it will be required to pass the indexing"):
        cresset.meshgrid(cresset.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cresset.meshgrid(cresset.ones(2), indexing="ij")


def test_a_view_keeps_seeing_the_memory_after_its_base_is_resized_smaller():
    base = cresset.arange(6.0)
    view = base[4:]
    base.resize_(2)
    view.fill_(9)
    assert base.tolist() == [0, 1]
    assert base.resize_(6).tolist() == [0, 1, 2, 3, 9, 9]
