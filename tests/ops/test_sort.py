"""Sorting, searching, counting and quantiles against PyTorch."""

from __future__ import annotations

import pytest

import cresset

from .harness import cases
from .table_sort import ROWS


@pytest.mark.parametrize(("check", "row"), cases(ROWS))
def test_agrees_with_pytorch(check, row):
    check(row)


def test_sorting_keeps_equal_values_in_their_order_both_ways():
    x = cresset.tensor([2, 1, 2, 1])
    assert x.sort().indices.tolist() == [1, 3, 0, 2]
    assert x.sort(descending=True).indices.tolist() == [0, 2, 1, 3]


def test_nan_sorts_last_and_counts_as_the_largest():
    x = cresset.tensor([1.0, float("nan"), 0.0])
    assert x.sort().indices.tolist() == [2, 0, 1]
    assert x.topk(1).indices.tolist() == [1]
    assert len(cresset.tensor([float("nan")] * 3).unique()) == 3


def test_the_kth_smallest_gets_the_gradient():
    x = cresset.tensor([3.0, 1.0, 2.0], requires_grad=True)
    value, index = x.kthvalue(2)
    value.backward()
    assert (value.item(), index.item()) == (2, 2)
    assert x.grad.tolist() == [0, 0, 1]


def test_unique_of_bfloat16_is_in_the_order_of_the_numbers():
    x = cresset.tensor([1.0, -2.0, 1.0], dtype=cresset.bfloat16)
    assert x.unique().tolist() == [-2, 1]


def test_a_value_on_the_last_edge_of_a_histogram_counts():
    hist, edges = cresset.histogram(cresset.tensor([0.0, 1.0, 2.0]), 2)
    assert hist.tolist() == [1, 2]
    assert edges.tolist() == [0, 1, 2]


def test_a_quantile_lies_between_two_values():
    x = cresset.tensor([1.0, 2.0, 4.0])
    assert cresset.quantile(x, 0.75).item() == 3
    assert cresset.quantile(x, 0.75, interpolation="lower").item() == 2
    assert cresset.nanquantile(cresset.tensor([1.0, float("nan"), 3.0]), 0.5).item() == 2
