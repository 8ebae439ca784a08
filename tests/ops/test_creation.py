"""``torch.tensor`` reads numbers as PyTorch does, and refuses what is none in the same words."""

from __future__ import annotations

from typing import Any

import pytest

import cresset

INF, NAN = float("inf"), float("nan")
DATA = [
    3, True, 2.5, 1j, [1, 2.5], [True, 2], [1, 2j], [], [[]], [[1], [2]], (1, (2, 3)[0]), range(3),
    [2**63 - 1, -(2**63)], [1.0, 2**63], [1.5, 2**70], [1j, 2**70], [1e300, 1], [NAN, 1],
    [INF, -INF], 2**63, -(2**63) - 1, [2**63], [1, 2**63], [True, 2**63], [[1], [2**64]],
    "abc", ["a"], ["a", 1], [1, "a"], [1.0, "a"], [[1], ["a"]], [1, 2j, "a"], b"ab",
    None, [None], [1, None], [1, "a", None], [True, None], [[1.0], [None]], {}, [1, {}], {1},
    object, [[1, 2], [3]], [[1], [2, 3]],
]  # fmt: skip


def outcome(lib: Any, data: Any) -> tuple[str, str]:
    try:
        return "gave", repr(lib.tensor(data))
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]


@pytest.mark.parametrize("data", DATA, ids=repr)
def test_data_become_pytorchs_tensor_or_its_refusal(data: Any) -> None:
    torch = pytest.importorskip("torch")
    assert outcome(cresset, data) == outcome(torch, data)


def test_an_int_beyond_64_bits_never_wraps_around() -> None:
    for data in (2**63, [2**63], [1, 2**63], [[0], [-(2**63) - 1]]):
        with pytest.raises(ValueError, match="^Overflow when unpacking long long$"):
            cresset.tensor(data)
    assert cresset.tensor([1.5, 2**70], dtype=cresset.float64).tolist() == [1.5, 2.0**70]
