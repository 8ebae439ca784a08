"""Specs: one object per geometry, and what follows from it."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import cresset
from cresset import dtypes
from cresset.core import spec as specs
from cresset.core.spec import NUMBERS, NumberStandIn, contiguous_stride, dense, like, number_spec
from cresset.device import CPU

#: A tensor of each kind of geometry.
GEOMETRIES = {
    "row-major": lambda t: t.zeros(2, 3),
    "scalar": lambda t: t.zeros(()),
    "empty": lambda t: t.zeros(2, 0, 3),
    "transposed": lambda t: t.zeros(2, 3).t(),
    "permuted": lambda t: t.zeros(2, 3, 4).permute(2, 0, 1),
    "sliced": lambda t: t.zeros(4, 6)[1:3, ::2],
    "a row": lambda t: t.zeros(4, 6)[2],
    "a column": lambda t: t.zeros(4, 6)[:, 2],
    "expanded": lambda t: t.zeros(3, 1).expand(3, 4),
    "channels last": lambda t: t.zeros(2, 3, 4, 5).to(memory_format=t.channels_last),
    "size 1": lambda t: t.zeros(2, 1, 3).transpose(0, 1),
    "overlapping": lambda t: t.zeros(6).unfold(0, 3, 1),
    "empty transposed": lambda t: t.zeros(0, 3).t(),
}


def test_equal_geometries_are_one_object():
    a, b = cresset.zeros(2, 3), cresset.ones(4, 3)[:2]
    assert a._spec is b._spec
    assert a.t()._spec is cresset.empty(2, 3).t()._spec
    assert a._spec is not a.double()._spec
    assert a._spec is not cresset.zeros(3, 2)._spec


def test_specs_that_nobody_uses_are_forgotten():
    dense(dtypes.float32, (12347, 3))
    gc.collect()
    assert all(key[1] != (12347, 3) for key in specs._interned)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_contiguity_and_strides_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = GEOMETRIES[name](cresset), GEOMETRIES[name](torch)
    for ask in (
        lambda x: tuple(x.shape), lambda x: x.stride(), lambda x: x.storage_offset(),
        lambda x: x.is_contiguous(), lambda x: x.numel(),
    ):  # fmt: skip
        assert ask(ours) == ask(theirs)


@pytest.mark.parametrize(
    ("name", "extent", "order"),
    [
        ("row-major", 6, (0, 1)), ("scalar", 1, None), ("empty", 0, (0, 1, 2)),
        ("transposed", 6, (1, 0)), ("permuted", 24, (1, 2, 0)), ("sliced", 11, None),
        ("a column", 19, None), ("expanded", 3, None), ("channels last", 120, (0, 2, 3, 1)),
        ("overlapping", 6, None),
    ],
)  # fmt: skip
def test_the_extent_covers_all_elements_and_dense_memory_has_an_order(name, extent, order):
    spec = GEOMETRIES[name](cresset)._spec
    assert spec.extent == extent
    if name != "empty":
        assert spec.memory_order() == order


def test_a_dimension_of_size_0_counts_as_1_in_strides():
    assert contiguous_stride((2, 0, 3)) == (3, 3, 1)
    assert contiguous_stride(()) == ()


def test_a_result_keeps_the_memory_order_of_a_dense_operand_only():
    permuted = GEOMETRIES["permuted"](cresset)._spec
    assert like(permuted).stride == permuted.stride
    assert like(permuted, dtypes.float64).stride == permuted.stride
    assert like(GEOMETRIES["sliced"](cresset)._spec).compact
    assert like(GEOMETRIES["a row"](cresset)._spec) is dense(dtypes.float32, (6,))


def test_a_spec_at_zero_has_the_same_geometry_without_the_offset():
    spec = GEOMETRIES["a row"](cresset)._spec
    assert (spec.offset, spec.contiguous, spec.compact) == (12, True, False)
    assert spec.at_zero() is dense(dtypes.float32, (6,))
    assert spec.at_zero().at_zero() is spec.at_zero()


@pytest.mark.parametrize(
    ("value", "category"),
    [
        (True, 0), (3, 1), (2.5, 2), (1j, 3), (np.bool_(True), 0), (np.int8(3), 1),
        (np.uint64(3), 1), (np.float16(1), 2), (np.complex64(1), 3),
    ],
)  # fmt: skip
def test_a_number_is_known_by_its_kind_alone(value, category):
    assert number_spec(value) is NUMBERS[category]


def test_what_behaves_as_a_number_is_one_and_a_string_is_none():
    class Index:
        def __index__(self):
            return 3

    class Float:
        def __float__(self):
            return 3.0

    class MyInt(int):
        pass

    assert number_spec(Index()) is number_spec(MyInt(2)) is NUMBERS[1]
    assert number_spec(Float()) is NUMBERS[2]
    with pytest.raises(TypeError, match="expected a number or a tensor, but got str"):
        number_spec("3")


def test_the_value_of_a_number_cannot_be_baked_into_a_traced_body():
    stand_in = NumberStandIn(NUMBERS[2], 0)
    for use in (bool, lambda x: x == 1.0, lambda x: x + 1, hash, float, lambda x: x < 2):
        with pytest.raises(TypeError):
            use(stand_in)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (dense(dtypes.float32, (2, 3)), "<float32[2x3]>"),
        (dense(dtypes.int64, ()), "<int64[]>"),
        (specs.spec(dtypes.float32, (3, 2), (1, 3), 4, CPU),
         "<float32[3x2] stride=(1, 3) offset=4>"),
        (NUMBERS[2], "<number float>"),
    ],
)  # fmt: skip
def test_a_spec_reads_well_in_an_error(spec, text):
    assert repr(spec) == text
