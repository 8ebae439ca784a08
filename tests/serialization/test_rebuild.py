from __future__ import annotations

import pickle

import numpy as np
import pytest

import cresset
from cresset.nn.parameter import Parameter
from cresset.serialization.rebuild import (
    deepcopy_tensor,
    layout_of,
    rebuild_tensor,
    reduce_tensor,
    set_user_state,
)


def through_pickle(tensor):
    func, args = pickle.loads(pickle.dumps(reduce_tensor(tensor)))
    return func(*args)


@pytest.mark.parametrize("name", ["bool", "int64", "bfloat16", "float16", "float32", "complex64"])
def test_values_and_types_survive(name):
    tensor = cresset.tensor([[0, 1, 2], [3, 4, 5]], dtype=getattr(cresset, name))
    again = through_pickle(tensor)
    assert again.dtype is tensor.dtype and again.tolist() == tensor.tolist()


def test_strides_survive_and_unused_memory_is_left_behind():
    base = cresset.tensor(np.arange(100.0).tolist()).view(10, 10)
    part = base.narrow(0, 2, 3).t()
    again = through_pickle(part)
    assert again.tolist() == part.tolist() and again.stride() == (1, 10)
    assert again.storage_offset() == 0 and again._storage.size == 30


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_shapes_at_the_edge_survive(shape):
    tensor = rebuild_tensor(np.ones(int(np.prod(shape))), "float32", shape)
    again = through_pickle(tensor)
    assert again.shape == shape and again.tolist() == tensor.tolist()


def test_requires_grad_class_and_attributes_survive():
    parameter = Parameter(cresset.tensor([1.0]))
    parameter.note = "mine"
    again = through_pickle(parameter)
    assert type(again) is Parameter and again.requires_grad and again.note == "mine"
    frozen = through_pickle(Parameter(cresset.tensor([1]), requires_grad=False))
    assert type(frozen) is Parameter and not frozen.requires_grad


def test_fields_of_ours_are_not_state():
    tensor = cresset.tensor([1.0])
    set_user_state(tensor, ({"_spec": None, "note": 1}, {"other": 2}))
    assert tensor.tolist() == [1] and (tensor.note, tensor.other) == (1, 2)


def test_a_deep_copy_has_its_own_memory_and_keeps_sharing():
    memo: dict = {}
    whole = cresset.tensor([[1.0, 2.0], [3.0, 4.0]])
    copy = deepcopy_tensor(whole, memo)
    view = deepcopy_tensor(whole.t(), memo)
    assert copy._storage is view._storage and copy._storage is not whole._storage
    assert view.tolist() == [[1, 3], [2, 4]] and deepcopy_tensor(whole, memo) is copy


def test_a_deep_copy_takes_the_gradient_along():
    leaf = cresset.tensor([1.0, 2.0], requires_grad=True)
    leaf.grad = cresset.tensor([3.0, 4.0])
    copy = deepcopy_tensor(leaf, {})
    assert copy.requires_grad and copy.grad.tolist() == [3, 4]
    assert copy.grad._storage is not leaf.grad._storage


def test_only_leaves_can_be_deep_copied():
    result = cresset.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(RuntimeError, match=r"Only Tensors created explicitly by the user \(graph"):
        deepcopy_tensor(result, {})


def test_other_layouts_are_refused():
    with pytest.raises(RuntimeError, match="layout torch.sparse_coo is not supported"):
        layout_of("torch.sparse_coo")
