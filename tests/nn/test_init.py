"""Initial values: the same seed gives PyTorch's numbers."""

from __future__ import annotations

import warnings

import pytest

import cresset
from cresset import nn

#: name -> (shape, call). Values drawn must agree, and so must the next draw of the generator.
FILLS = {
    "uniform": ((7,), lambda i, t, g: i.uniform_(t, -2, 3, generator=g)),
    "normal": ((17,), lambda i, t, g: i.normal_(t, 1, 0.5, generator=g)),
    "constant": ((3,), lambda i, t, g: i.constant_(t, 0.25)),
    "ones": ((3,), lambda i, t, g: i.ones_(t)),
    "zeros": ((3,), lambda i, t, g: i.zeros_(t)),
    "eye": ((3, 5), lambda i, t, g: i.eye_(t)),
    "dirac": ((6, 2, 3), lambda i, t, g: i.dirac_(t)),
    "dirac in groups": ((6, 2, 3, 4), lambda i, t, g: i.dirac_(t, 3)),
    "xavier_uniform": ((4, 5), lambda i, t, g: i.xavier_uniform_(t, 2.0, generator=g)),
    "xavier_normal": ((4, 3, 2), lambda i, t, g: i.xavier_normal_(t, generator=g)),
    "kaiming_uniform": ((4, 5), lambda i, t, g: i.kaiming_uniform_(t, 5**0.5, generator=g)),
    "kaiming_normal": (
        (4, 3, 2, 2),
        lambda i, t, g: i.kaiming_normal_(t, mode="fan_out", nonlinearity="relu", generator=g),
    ),
    "sparse": ((8, 3), lambda i, t, g: i.sparse_(t, 0.4, generator=g)),
    "trunc_normal": ((50,), lambda i, t, g: i.trunc_normal_(t, generator=g)),
    "trunc_normal wide": ((20,), lambda i, t, g: i.trunc_normal_(t, 0, 1, -9, 9, generator=g)),
    "trunc_normal narrow": ((20,), lambda i, t, g: i.trunc_normal_(t, 1, 2, -1, 0.5, generator=g)),
    "trunc_normal tail": ((20,), lambda i, t, g: i.trunc_normal_(t, 0, 1, 1.5, 4, generator=g)),
}


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("name", FILLS)
def test_draws_pytorchs_numbers(name, own_generator):
    torch = pytest.importorskip("torch")
    shape, fill = FILLS[name]
    values, following = [], []
    for library in (cresset, torch):
        library.manual_seed(7)
        generator = library.Generator().manual_seed(3) if own_generator else None
        tensor = library.empty(shape)
        assert fill(library.nn.init, tensor, generator) is tensor
        values.append(tensor.tolist())
        following.append((library.rand(1).item(), library.rand(1, generator=generator).item()))
    torch.testing.assert_close(
        torch.tensor(values[0]), torch.tensor(values[1]), rtol=1e-6, atol=1e-7
    )
    assert following[0] == following[1]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3)])
def test_orthogonal_matrices_are_pytorchs(shape):
    torch = pytest.importorskip("torch")
    results = []
    for library in (cresset, torch):
        library.manual_seed(1)
        results.append(torch.tensor(library.nn.init.orthogonal_(library.empty(shape), 2).tolist()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)
    flat = results[0].reshape(shape[0], -1)
    small = flat @ flat.T if flat.shape[0] < flat.shape[1] else flat.T @ flat
    torch.testing.assert_close(small, 4 * torch.eye(len(small)), rtol=0, atol=1e-5)


MISTAKES = {
    "gain of nothing": lambda t, i: i.calculate_gain("x"),
    "slope no number": lambda t, i: i.calculate_gain("leaky_relu", True),
    "fans of a vector": lambda t, i: i.xavier_normal_(t.zeros(2)),
    "mode": lambda t, i: i.kaiming_normal_(t.zeros(2, 2), mode="x"),
    "eye": lambda t, i: i.eye_(t.zeros(2, 2, 2)),
    "dirac": lambda t, i: i.dirac_(t.zeros(2)),
    "dirac groups": lambda t, i: i.dirac_(t.zeros(3, 2, 2), 2),
    "orthogonal": lambda t, i: i.orthogonal_(t.zeros(2)),
    "sparse": lambda t, i: i.sparse_(t.zeros(2), 0.5),
    "empty": lambda t, i: i.kaiming_uniform_(t.zeros(0, 2)),
    "mean outside": lambda t, i: i.trunc_normal_(t.zeros(2), 9.0).shape,
    "old name": lambda t, i: i.constant(t.zeros(2), 1),
    "gains": lambda t, i: [
        i.calculate_gain(n) for n in ("linear", "tanh", "relu", "leaky_relu", "selu", "sigmoid")
    ],
}


@pytest.mark.parametrize("name", MISTAKES)
def test_says_what_pytorch_says(name):
    torch = pytest.importorskip("torch")
    seen = []
    for library in (cresset, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = repr(MISTAKES[name](library, library.nn.init))
            except Exception as error:
                result = type(error).__name__, str(error)
        seen.append((result, [(w.category.__name__, str(w.message)) for w in caught]))
    assert seen[0] == seen[1]


def test_parameters_are_filled_off_the_tape():
    p = nn.Parameter(cresset.empty(3, 3))
    for fill in (nn.init.uniform_, nn.init.trunc_normal_, nn.init.orthogonal_, nn.init.eye_):
        assert fill(p) is p and p.is_leaf and p.requires_grad
