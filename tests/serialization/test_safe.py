from __future__ import annotations

import builtins
import collections
import io
import os
import pickle
import sys
import zipfile
from pickle import UnpicklingError

import numpy as np
import pytest

import cresset
from cresset.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)

from .checkpoints import loaded, saved, with_pickle


@pytest.fixture(autouse=True)
def _nothing_allowed():
    yield
    clear_safe_globals()


class Config:
    def __init__(self, depth: int = 0) -> None:
        self.depth = depth


class Slotted:
    __slots__ = ("width",)


class Marker:
    """Pickles as a call of ``func(*args)``."""

    def __init__(self, func, *args):
        self.call = func, args

    def __reduce__(self):
        return self.call


def test_a_class_is_refused_with_the_way_out_in_the_text():
    with pytest.raises(UnpicklingError) as caught:
        loaded(saved({"config": Config(3)}))
    name = f"{Config.__module__}.Config"
    text = str(caught.value)
    assert text.startswith("Weights only load failed. This file can still be loaded")
    assert f"Unsupported global: GLOBAL {name} was not an allowed global by default." in text
    assert f"Please use `torch.serialization.add_safe_globals([{name}])`" in text


def test_an_allowed_class_loads():
    slotted = Slotted()
    slotted.width = 7
    data = saved([Config(3), slotted])
    with safe_globals([Config, Slotted]):
        config, again = loaded(data)
    assert type(config) is Config and config.depth == 3 and again.width == 7
    assert get_safe_globals() == []
    with pytest.raises(UnpicklingError):
        loaded(data)


def test_a_class_can_be_allowed_under_another_name():
    add_safe_globals([(Config, "old.place.Config")])
    pickled = b"\x80\x02cold.place\nConfig\n)\x81}X\x05\0\0\0depthK\x05sb."
    assert loaded(with_pickle(pickled)).depth == 5


def test_wrong_entries_are_refused_in_pytorchs_words():
    add_safe_globals([(Config, "a", "b")])
    with pytest.raises(ValueError, match="Expected tuple of length 2"):
        loaded(saved(1))
    clear_safe_globals()
    add_safe_globals([(Config, 3)])
    with pytest.raises(TypeError, match="Expected second item in tuple to be str"):
        loaded(saved(1))


@pytest.mark.parametrize(
    "func, args",
    [
        (os.system, ("exit 1",)),
        (eval, ("1",)),
        (exec, ("1",)),
        (getattr, (1, "real")),
        (open, ("x",)),
        (builtins.__import__, ("os",)),
        (pickle.loads, (b"N.",)),
        (np.load, ("x",)),
        (range, (3,)),
    ],
)
def test_calls_are_refused(func, args):
    with pytest.raises(UnpicklingError, match="Weights only load failed"):
        loaded(saved(Marker(func, *args)))


def test_the_modules_of_the_system_stay_blocked():
    add_safe_globals([os.system])
    with pytest.raises(UnpicklingError, match=r"GLOBAL \w+\.system whose module \w+ is blocked"):
        loaded(saved(Marker(os.system, "exit 1")))


def test_nothing_is_imported():
    assert "this" not in sys.modules
    with pytest.raises(UnpicklingError, match="GLOBAL this.d was not an allowed global"):
        loaded(with_pickle(b"\x80\x02cthis\nd\n."))
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "pickled, words",
    [
        (b"\x80\x02X\x01\0\0\0aQ.", "persistent_load id must be tuple or int, but got <class 'str"),
        (b"\x80\x02X\x01\0\0\0a\x85Q.", "Only persistent_load of storage is allowed, but got <cl"),
        (b"\x80\x02K\x01)R.", "Trying to call reduce for unrecognized function 1"),
        (b"\x80\x02K\x01)\x81.", "Can only create new object for nn.Parameter or classes allow"),
        (b"\x80\x02]}b.", "Can only build Tensor, Parameter, OrderedDict or types allowlisted"),
        (b"\x80\x02}K\x01a.", "Can only append to lists, but got <class 'dict'>"),
        (b"\x80\x02}(K\x01e.", "Can only extend lists, but got <class 'dict'>"),
        (b"\x80\x02]K\x01K\x01s.", "Can only SETITEM for dict, collections.OrderedDict, colle"),
        (b"\x80\x02](K\x01K\x01u.", "Can only SETITEMS for dict"),
        (b"\x80\x02(ios\nsystem\n.", "Unsupported operand 105"),
        (b"\x80\x02\x8c\x02os\x93.", "Unsupported operand 140"),
        (b"\x80\x02h\x09.", "invalid pickle: KeyError"),
        (b"\x80\x02.", "invalid pickle: IndexError"),
        (b"\x80\x02}]K\x01s.", "invalid pickle: TypeError"),
        (b"\x80\x02}(K\x01u.", "invalid pickle: IndexError"),
        (b"\x80\x02ctorch\nfloat32\n)R.", "Trying to call reduce for unrecognized function tor"),
        (b"\x80\x02ctorch\nTensor\nK\x05\x85R.", "Trying to call reduce for unrecognized func"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "invalid pickle: TypeError"),
        (b"\x80\x02(X\x07\0\0\0storageK\x01K\x01K\x01K\x01tQ.", "expected a storage type, but g"),
    ],
)
def test_a_malformed_pickle_is_an_unpickling_error(pickled, words):
    with pytest.raises(UnpicklingError) as caught:
        loaded(with_pickle(pickled))
    assert words in str(caught.value)


@pytest.mark.parametrize("pickled", [b"\x80\x02]", b"\x80\x02X\xff\xff\xff\x7fabc", b"\x80\x02cos"])
def test_a_pickle_that_ends_early_is_end_of_file(pickled):
    with pytest.raises(EOFError, match="Ran out of input"):
        loaded(with_pickle(pickled))


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.",
        b"\x80\x02ctorch\nSize\nX\x01\0\0\0a\x85R.",
    ],
)
def test_allowed_calls_check_their_arguments(pickled):
    with pytest.raises(UnpicklingError):
        loaded(with_pickle(pickled))


def test_fields_of_tensors_cannot_be_replaced():
    tensor = cresset.tensor([1.0])
    tensor.note = "x"
    data = saved(tensor)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = archive.read("archive/data.pkl")
    forged = pickled.replace(b"X\x04\0\0\0note", b"X\x05\0\0\0_spec")
    again = loaded(with_pickle(forged.replace(b"K\x01tq", b"K\x03tq", 1)))
    assert again.tolist() == [1] and not hasattr(again, "note")


def test_errors_of_map_location_are_passed_on():
    def explode(storage, location):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        loaded(saved(cresset.tensor([1.0])), map_location=explode)


def test_deep_nesting_is_no_recursion():
    pickled = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    depth, item = 0, loaded(with_pickle(pickled))
    while item:
        item, depth = item[0], depth + 1
    assert depth == 99_999


def test_numpy_scalars_load_once_allowed():
    data = saved({"best": np.float64(0.5)})
    with pytest.raises(UnpicklingError, match="multiarray.scalar was not an allowed global"):
        loaded(data)
    scalar = np.float64(0.5).__reduce__()[0]
    module = "numpy._core" if hasattr(np, "_core") else "numpy.core"
    with safe_globals([(scalar, f"{module}.multiarray.scalar"), np.dtype, type(np.dtype("f8"))]):
        assert loaded(data) == {"best": 0.5}


def test_counters_and_ordered_dicts_load():
    obj = [collections.Counter("aab"), collections.OrderedDict(a=1)]
    again = loaded(saved(obj))
    assert again == obj and [type(o) for o in again] == [type(o) for o in obj]


def test_a_tensor_subclass_loads_once_allowed():
    class Plain(cresset.Tensor):
        pass

    Plain.__qualname__ = "Plain"
    globals()["Plain"] = Plain
    tensor = cresset.tensor([1.0, 2.0])
    special = object.__new__(Plain)
    special.__dict__.update(tensor.__dict__)
    with pytest.raises(UnpicklingError, match="Plain was not an allowed global"):
        loaded(saved(special))
    with safe_globals([Plain]):
        again = loaded(saved(special))
    assert type(again) is Plain and again.tolist() == [1, 2]


def test_the_names_that_would_be_refused_are_listed():
    data = saved({"w": cresset.tensor([1.0]), "c": Config(), "r": range(3), "o": {1}})
    name = f"{Config.__module__}.Config"
    assert get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == ["builtins.range", name]
    with safe_globals([Config, range]):
        assert get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []


def test_a_protocol_other_than_2_warns():
    with pytest.warns(UserWarning, match="Detected pickle protocol 4 in the checkpoint"):
        with pytest.raises(UnpicklingError, match="Unsupported operand 149"):
            loaded(saved({"a": 1}, pickle_protocol=4))
