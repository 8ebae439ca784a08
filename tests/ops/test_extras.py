"""Small methods of tensors do what PyTorch's do, errors included."""

from __future__ import annotations

from typing import Any

import pytest

import cresset

CASES: dict[str, Any] = {
    "fill_diagonal_": lambda T: T.zeros(2, 3).fill_diagonal_(5),
    "of a tall matrix": lambda T: T.zeros(7, 2).fill_diagonal_(5),
    "of a tall matrix, wrapped": lambda T: T.zeros(7, 2).fill_diagonal_(5, wrap=True),
    "of a cube": lambda T: T.zeros(3, 3, 3).fill_diagonal_(1),
    "of a box": lambda T: T.zeros(3, 2, 3).fill_diagonal_(1),
    "of a vector": lambda T: T.zeros(3).fill_diagonal_(1),
    "of a view": lambda T: T.zeros(3, 4).t().fill_diagonal_(2),
    "sum_to_size": lambda T: T.arange(12.0).reshape(2, 2, 3).sum_to_size(2, 1),
    "sum_to_size of itself": lambda T: T.ones(2, 3).sum_to_size((2, 3)),
    "sum_to_size that does not fit": lambda T: T.ones(2, 3).sum_to_size(2, 2),
    "apply_": lambda T: T.arange(4).reshape(2, 2).apply_(lambda v: v * v),
    "map_": lambda T: T.ones(2, 2).map_(T.arange(2.0), lambda a, b: a + 2 * b),
    "narrow_copy": lambda T: T.narrow_copy(T.arange(6).reshape(2, 3), 1, 1, 2),
    "split_with_sizes": lambda T: T.split_with_sizes(T.arange(6), [1, 5])[1],
    "is_same_size": lambda T: T.tensor(T.ones(2).is_same_size(T.zeros(2))),
    "is_signed": lambda T: T.tensor([T.is_signed(T.ones(1)), T.is_signed(T.ones(1).byte())]),
    "get_device": lambda T: T.tensor(T.get_device(T.ones(1))),
}


@pytest.mark.parametrize("name", CASES)
def test_results_and_errors_are_pytorchs(name: str) -> None:
    oracle = pytest.importorskip("torch")
    found = []
    for T in (cresset, oracle):
        try:
            result = CASES[name](T)
            found.append((result.tolist(), str(result.dtype)))
        except RuntimeError as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_a_filled_diagonal_is_seen_through_a_view_of_the_same_memory() -> None:
    x = cresset.zeros(2, 2)
    row = x[1]
    x.fill_diagonal_(3)
    assert row.tolist() == [0.0, 3.0]
