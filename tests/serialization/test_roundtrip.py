"""Random containers of random views, through files of both libraries and both forms."""

from __future__ import annotations

import io
import struct
from collections import Counter, OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cresset

from .checkpoints import loaded, saved

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64", "complex64", "complex128")  # fmt: skip
LENGTH = 24


@st.composite
def views(draw: Any) -> tuple:
    """A view of one of three storages: (which, sizes, strides, offset, kind)."""
    rank = draw(st.integers(0, 3))
    sizes = tuple(draw(st.integers(0, 3)) for _ in range(rank))
    strides = tuple(draw(st.sampled_from([0, 1, 2, 3, 6])) for _ in range(rank))
    reach = sum(max(n - 1, 0) * s for n, s in zip(sizes, strides, strict=True))
    offset = draw(st.integers(0, LENGTH - 1 - reach))
    return draw(st.integers(0, 2)), sizes, strides, offset, draw(st.sampled_from("tpg"))


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False),
    st.text(max_size=5), st.binary(max_size=5), st.complex_numbers(allow_nan=False),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=3), st.integers(-9, 9), st.tuples(st.integers(0, 9), st.none()))
THINGS = st.recursive(
    st.one_of(PLAIN, views().map(lambda view: ("view", view))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict),
        st.sets(KEYS, max_size=3),
        st.lists(st.text(max_size=2)).map(Counter),
    ),
    max_leaves=12,
)


def build(thing: Any, torch: Any, pool: list) -> Any:
    """The description with its views made into tensors of a library."""
    if isinstance(thing, tuple) and len(thing) == 2 and thing[0] == "view":
        which, sizes, strides, offset, kind = thing[1]
        tensor = torch.as_strided(pool[which], sizes, strides, offset)
        if kind == "p" and tensor.is_floating_point():
            return torch.nn.Parameter(tensor)
        return tensor.requires_grad_() if kind == "g" and tensor.is_floating_point() else tensor
    if isinstance(thing, dict) and not isinstance(thing, Counter):
        return type(thing)((k, build(v, torch, pool)) for k, v in thing.items())
    if isinstance(thing, (list, tuple)):
        return type(thing)(build(v, torch, pool) for v in thing)
    return thing


def describe(thing: Any, storages: dict) -> Any:
    """What must be equal on both sides: types, values, geometry, and which storages are one."""
    if hasattr(thing, "untyped_storage"):
        key = thing.untyped_storage().data_ptr() if thing.numel() else None
        number = None if key is None else storages.setdefault(key, len(storages))
        return (
            type(thing).__name__, str(thing.dtype), tuple(thing.shape), thing.stride(),
            thing.storage_offset(), thing.requires_grad, thing.tolist(), number,
        )  # fmt: skip
    if isinstance(thing, dict):
        return type(thing).__name__, [(k, describe(v, storages)) for k, v in thing.items()]
    if isinstance(thing, (list, tuple)):
        return type(thing).__name__, [describe(v, storages) for v in thing]
    if isinstance(thing, float):
        return "float", struct.pack("<d", thing)
    return type(thing).__name__, thing


def pool_of(torch: Any, kinds: tuple[str, ...]) -> list:
    return [torch.arange(LENGTH).to(getattr(torch, kind)) for kind in kinds]


@settings(max_examples=100)
@given(THINGS, st.tuples(*[st.sampled_from(DTYPES)] * 3), st.booleans())
def test_what_is_saved_is_what_is_loaded(thing, kinds, zipped):
    ours = build(thing, cresset, pool_of(cresset, kinds))
    data = saved(ours, _use_new_zipfile_serialization=zipped)
    assert describe(loaded(data), {}) == describe(ours, {})


@settings(max_examples=100)
@given(THINGS, st.tuples(*[st.sampled_from(DTYPES)] * 3), st.booleans())
def test_both_libraries_load_the_same_from_both_files(thing, kinds, zipped):
    torch = pytest.importorskip("torch")
    theirs = build(thing, torch, pool_of(torch, kinds))
    expected = describe(theirs, {})
    f = io.BytesIO()
    torch.save(theirs, f, _use_new_zipfile_serialization=zipped)
    assert describe(loaded(f.getvalue()), {}) == expected
    ours = build(thing, cresset, pool_of(cresset, kinds))
    data = saved(ours, _use_new_zipfile_serialization=zipped)
    assert describe(torch.load(io.BytesIO(data)), {}) == expected
