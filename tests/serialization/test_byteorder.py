"""Files of big-endian machines are refused, unless they are asked for."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import cresset
from cresset import serialization
from cresset.serialization import LoadEndianness, load

from .checkpoints import loaded, repacked, saved

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="written for the usual byte order")


@pytest.fixture(autouse=True)
def default_order() -> Iterator[None]:
    yield
    serialization.set_default_load_endianness(None)


def zipped(order: bytes | None, values: object = (1.0, -2.0, 3.0), dtype: str = "f4") -> bytes:
    """A file whose numbers are big-endian and whose record says ``order``."""

    def swap(records: dict) -> None:
        numbers = np.frombuffer(records["archive/data/0"], "<" + dtype)
        records["archive/data/0"] = numbers.astype(">" + dtype).tobytes()
        if order is None:
            del records["archive/byteorder"]
        else:
            records["archive/byteorder"] = order

    return repacked(saved(cresset.tensor(values)), swap)


def legacy() -> bytes:
    """A file of the old form from a big-endian machine: the numbers are little-endian even so."""
    data = saved(cresset.tensor([1.0, -2.0]), _use_new_zipfile_serialization=False)
    changed = data.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    assert changed != data
    return changed


FILES = {"zip": (zipped(b"big"), [1, -2, 3]), "legacy": (legacy(), [1, -2])}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("default", [None, LoadEndianness.LITTLE, LoadEndianness.NATIVE])
def test_a_big_endian_file_is_refused_and_the_error_tells_the_way(name, weights_only, default):
    serialization.set_default_load_endianness(default)
    with pytest.raises(RuntimeError, match="big-endian machine.*LoadEndianness.BIG"):
        loaded(FILES[name][0], weights_only=weights_only)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("weights_only", [True, False])
def test_a_big_endian_file_loads_when_it_is_asked_for(name, weights_only):
    data, values = FILES[name]
    serialization.set_default_load_endianness(LoadEndianness.BIG)
    assert loaded(data, weights_only=weights_only).tolist() == values


@pytest.mark.parametrize("dtype", ["f8", "i2", "i8", "c8", "c16"])
def test_numbers_of_every_width_are_swapped(dtype):
    values = np.array([1, 2, 258], dtype)
    serialization.set_default_load_endianness(LoadEndianness.BIG)
    assert loaded(zipped(b"big", values, dtype)).tolist() == values.tolist()


def test_a_big_endian_file_is_refused_and_loaded_with_mmap_too(tmp_path):
    (tmp_path / "big.pt").write_bytes(zipped(b"big"))
    with pytest.raises(RuntimeError, match="big-endian machine"):
        load(tmp_path / "big.pt", mmap=True)
    serialization.set_default_load_endianness(LoadEndianness.BIG)
    assert load(tmp_path / "big.pt", mmap=True).tolist() == [1, -2, 3]


@pytest.mark.parametrize("default", LoadEndianness)
def test_a_file_that_says_little_is_read_so_whatever_the_default(default):
    serialization.set_default_load_endianness(default)
    assert loaded(saved(cresset.tensor([1.5]))).tolist() == [1.5]


@pytest.mark.parametrize(
    "default, swapped",
    [
        (None, False),
        (LoadEndianness.LITTLE, False),
        (LoadEndianness.NATIVE, False),
        (LoadEndianness.BIG, True),
    ],
)
def test_a_file_that_says_nothing_is_read_in_the_default_order(default, swapped):
    serialization.set_default_load_endianness(default)
    values = loaded(zipped(None))
    assert (values.tolist() == [1, -2, 3]) is swapped


def test_a_file_of_neither_order_is_refused():
    serialization.set_default_load_endianness(LoadEndianness.BIG)
    with pytest.raises(ValueError, match="Unknown endianness type: middle"):
        loaded(zipped(b"middle"))


def test_the_old_form_counts_in_the_machines_order_where_the_numbers_are_little_endian():
    """PyTorch swapped the numbers from the first, the count only later."""
    data = legacy()
    counted = data.replace((2).to_bytes(8, "little"), (2).to_bytes(8, "big"))
    assert counted != data
    serialization.set_default_load_endianness(LoadEndianness.BIG)
    assert loaded(counted).tolist() == [1, -2]


def test_the_old_forms_facts_may_lack_the_byte_order():
    data = saved(cresset.tensor([1.0]), _use_new_zipfile_serialization=False)
    assert pickle.dumps("little_endian", 2)[2:15] in data
    assert loaded(data.replace(b"little_endian", b"another_facts")).tolist() == [1]


def test_the_default_is_an_endianness_or_none():
    assert serialization.get_default_load_endianness() is None
    with pytest.raises(TypeError, match="Invalid argument type in function set_default_load_end"):
        serialization.set_default_load_endianness("big")
    assert [order.value for order in LoadEndianness] == [1, 2, 3]


def test_the_functions_are_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.serialization
    assert {o.name: o.value for o in theirs.LoadEndianness} == {
        o.name: o.value for o in LoadEndianness
    }
    for name in ("set_default_load_endianness", "get_default_load_endianness"):
        assert hasattr(theirs, name) and hasattr(serialization, name)
