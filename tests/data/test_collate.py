"""Samples become batches: PyTorch's structure, dtypes, refusals, and a table users may extend."""

from __future__ import annotations

from collections import OrderedDict, UserList, defaultdict, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import cresset
from cresset.utils.data import default_collate, default_convert
from cresset.utils.data._utils.collate import collate, default_collate_fn_map

Point = namedtuple("Point", "x y")


class Words(list):
    """A list with an attribute of its own."""

    language = "en"


#: Functions of the library, as samples may hold its tensors.
BATCHES = {
    "tensors": lambda t: [t.ones(2), t.zeros(2)],
    "0-dim tensors": lambda t: [t.tensor(1), t.tensor(2)],
    "arrays": lambda t: [np.ones((2, 2), "f4"), np.zeros((2, 2), "f4")],
    "arrays of two dtypes": lambda t: [np.ones(2, "f4"), np.zeros(2, "f8")],
    "0-dim arrays": lambda t: [np.array(1.5), np.array(2.5)],
    "NumPy numbers": lambda t: [np.int16(1), np.int16(2)],
    "floats": lambda t: [1.0, 2.0],
    "ints": lambda t: [1, 2],
    "bools": lambda t: [True, False],
    "strings": lambda t: ["a", "b"],
    "bytes": lambda t: [b"a", b"b"],
    "tuples": lambda t: [(1, "a", t.ones(1)), (2, "b", t.zeros(1))],
    "lists": lambda t: [[1, [2.0]], [3, [4.0]]],
    "dicts": lambda t: [{"a": 1, "b": {"c": "x"}}, {"a": 2, "b": {"c": "y"}}],
    "ordered dicts": lambda t: [OrderedDict(z=1, a=2), OrderedDict(z=3, a=4)],
    "default dicts": lambda t: [defaultdict(list, a=1), defaultdict(list, a=2)],
    "read-only mappings": lambda t: [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
    "named tuples": lambda t: [Point(1, "a"), Point(2, "b")],
    "ranges": lambda t: [range(2), range(2)],
    "user lists": lambda t: [UserList([1, 2]), UserList([3, 4])],
    "list subclasses": lambda t: [Words([1]), Words([2])],
    "one sample": lambda t: [t.ones(3)],
    "shapes that differ": lambda t: [t.ones(2), t.ones(3)],
    "array shapes that differ": lambda t: [np.ones(2), np.ones(3)],
    "lengths that differ": lambda t: [[1, 2], [3]],
    "tuple lengths that differ": lambda t: [(1, 2), (3,)],
    "keys that differ": lambda t: [{"a": 1}, {"b": 1}],
    "None": lambda t: [None, None],
    "objects": lambda t: [object, object],
    "arrays of strings": lambda t: [np.array(["a"]), np.array(["b"])],
    "arrays of objects": lambda t: [np.array([None]), np.array([None])],
    "kinds that differ": lambda t: [1, "a"],
    "nothing": lambda t: [],
    "sets": lambda t: [{1}, {2}],
}


def outcome(function: Any, batch: Any) -> tuple[str, str, str]:
    """Result with its type, or the error."""
    try:
        result = function(batch)
    except Exception as error:
        # Addresses and the names of classes in error texts differ between the libraries.
        return "failed", type(error).__name__, str(error).splitlines()[0]
    return "gave", type(result).__name__, repr(result)


@pytest.mark.parametrize("name", BATCHES)
def test_batches_and_refusals_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    make = BATCHES[name]
    for ours, theirs in (
        (default_collate, torch.utils.data.default_collate),
        (default_convert, torch.utils.data.default_convert),
    ):
        assert outcome(ours, make(cresset)) == outcome(theirs, make(torch))


def test_a_batch_has_the_structure_of_its_samples() -> None:
    x, label, more = default_collate(
        [(cresset.ones(2), 3, {"name": "a"}), (cresset.zeros(2), 4, {"name": "b"})]
    )
    assert x.tolist() == [[1, 1], [0, 0]]
    assert (label.tolist(), label.dtype) == ([3, 4], cresset.int64)
    assert more == {"name": ["a", "b"]}
    assert default_collate([1.5]).dtype is cresset.float64


def test_a_batch_does_not_share_memory_with_its_samples() -> None:
    array, sample = np.ones(2), cresset.ones(2)
    for first in (array, sample):
        batch = default_collate([first, first])
        batch.add_(1)
        assert first.tolist() == [1, 1]


def test_converted_arrays_share_memory_and_gradients_stay() -> None:
    array = np.zeros(2)
    default_convert([array])[0].add_(1)
    assert array.tolist() == [1, 1]
    x = cresset.ones(2, requires_grad=True)
    default_collate([x, x]).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_the_table_can_be_extended_and_replaced() -> None:
    class Thing:
        def __init__(self, value: int) -> None:
            self.value = value

    class SpecialThing(Thing):
        pass

    def things(batch: Any, *, collate_fn_map: Any = None) -> Any:
        return collate([x.value for x in batch], collate_fn_map=collate_fn_map)

    batch = [{"a": SpecialThing(1)}, {"a": SpecialThing(2)}]
    with pytest.raises(TypeError, match="found <class .*SpecialThing'>"):
        default_collate(batch)
    default_collate_fn_map[Thing] = things  # also for what inherits from it
    try:
        assert default_collate(batch)["a"].tolist() == [1, 2]
    finally:
        del default_collate_fn_map[Thing]
    assert collate([(1, 2)], collate_fn_map={int: lambda b, *, collate_fn_map: sum(b)}) == [1, 2]
    with pytest.raises(TypeError, match="found <class 'int'>"):
        collate([1])
