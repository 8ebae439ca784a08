"""``Parameter`` and ``Buffer``."""

from __future__ import annotations

import copy
import pickle

import pytest

import cresset
from cresset import nn
from cresset.nn import Buffer, Parameter


def test_a_parameter_shares_memory_with_its_data():
    data = cresset.zeros(2)
    p = Parameter(data)
    with cresset.no_grad():
        p.add_(1)
    assert data.tolist() == [1, 1]
    assert p.requires_grad and p.is_leaf and not data.requires_grad


def test_it_prints_as_pytorch_prints_it():
    assert repr(Parameter(cresset.ones(2))) == (
        "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    )
    assert repr(Parameter()) == "Parameter containing:\ntensor([], requires_grad=True)"
    assert f"{Parameter(cresset.ones(1), requires_grad=False)}" == (
        "Parameter containing:\ntensor([1.])"
    )


def test_integers_cannot_be_trained():
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype"):
        Parameter(cresset.ones(2, dtype=cresset.int64))
    assert not Parameter(cresset.ones(2, dtype=cresset.int64), requires_grad=False).requires_grad


def test_results_are_plain_tensors():
    p = Parameter(cresset.ones(2))
    for result in (p + 1, p.data, p.detach(), p.clone(), p.view(2), p.double()):
        assert type(result) is cresset.Tensor


def test_a_deep_copy_is_a_parameter_of_its_own():
    p = Parameter(cresset.ones(2), requires_grad=False)
    twin = copy.deepcopy(p)
    twin.zero_()
    assert type(twin) is Parameter and not twin.requires_grad and p.tolist() == [1, 1]
    both = copy.deepcopy([p, p])
    assert both[0] is both[1]


def test_pickling_keeps_values_flags_and_attributes():
    p = Parameter(cresset.arange(3.0), requires_grad=False)
    p.note = "mine"
    twin = pickle.loads(pickle.dumps(p))
    assert type(twin) is Parameter and twin.tolist() == [0, 1, 2]
    assert not twin.requires_grad and twin.note == "mine"


def test_a_subclass_stays_itself():
    class Special(Parameter):
        pass

    m = nn.Module()
    m.p = Special(cresset.ones(1))
    assert type(m.p) is Special and list(m._parameters) == ["p"]
    assert type(copy.deepcopy(m.p)) is Special


def test_a_buffer_is_a_tensor_that_a_module_files():
    b = Buffer(cresset.ones(2), persistent=False)
    m = nn.Module()
    m.b = b
    assert list(m._buffers) == ["b"] and not m.state_dict() and not b.requires_grad
