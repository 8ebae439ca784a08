"""Parameters as one vector, and modules made without initial values."""

from __future__ import annotations

import pytest

import cresset
from cresset import nn
from cresset.nn.utils import parameters_to_vector, skip_init, vector_to_parameters


def test_there_and_back():
    layer = nn.Linear(2, 3)
    vector = parameters_to_vector(layer.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    assert cresset.equal(vector[:6].view(3, 2), layer.weight)
    weight = layer.weight
    vector_to_parameters(cresset.arange(9.0), layer.parameters())
    assert layer.weight is weight and layer.bias.tolist() == [6, 7, 8]
    assert weight.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_the_vector_must_be_a_tensor():
    with pytest.raises(TypeError, match="expected torch.Tensor, but got: int"):
        vector_to_parameters(3, [])


def test_skip_init_keeps_shapes_and_draws_nothing_later():
    layer = skip_init(nn.Linear, 2, 3)
    assert layer.weight.shape == (3, 2) and isinstance(layer.weight, nn.Parameter)
    with pytest.raises(RuntimeError, match="Module must support a 'device' arg"):
        skip_init(nn.Flatten)
