"""How tensors print, letter by letter.

Random tensors of every dtype, many shapes and magnitudes, under random options, against PyTorch;
then cases with the expected text written out.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import cresset

from .ops.programs import same_program

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
SHAPES = (
    (), (1,), (3,), (7,), (30,), (0,), (2, 0), (0, 3), (1, 1), (2, 3), (5, 20), (2, 2, 2),
    (3, 1, 4), (1, 2, 1, 2), (1001,), (40, 30), (8, 9, 20), (1, 1200), (1200, 1), (2, 601),
)  # fmt: skip
OPTIONS = (
    {}, {}, {}, {"precision": 2}, {"precision": 8}, {"precision": 0}, {"linewidth": 40},
    {"linewidth": 200}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1}, {"edgeitems": 2},
    {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"}, {"profile": "full"},
    {"threshold": 20, "edgeitems": 5, "precision": 3}, {"linewidth": 10},
)  # fmt: skip


def _values(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Values of one of the kinds that PyTorch prints differently."""
    kind = rng.integers(9)
    x = rng.normal(size=shape)
    if kind == 0:
        x = np.round(x * 10)
    elif kind == 1:
        x = x * 10.0 ** rng.integers(-9, 9)
    elif kind == 2:
        x = x * 10.0 ** rng.integers(-6, 7, size=shape)
    elif kind == 3:
        x = np.where(rng.random(shape) < 0.3, rng.choice([np.nan, np.inf, -np.inf]), x)
    elif kind == 4:
        x = np.where(rng.random(shape) < 0.5, 0.0, np.round(x * 1000))
    elif kind == 5:
        x = np.round(x) * 10.0 ** rng.integers(0, 12)
    elif kind == 6:
        x = np.full(shape, rng.choice([0.0, -0.0, 1.0, np.nan, np.inf, 1e-5, 123456.0, 1e8, 0.5]))
    elif kind == 7:
        x = np.copysign(0.0, x)
    return np.asarray(x)


def _tensor(torch, values, dtype: str, seed: int):
    with np.errstate(all="ignore"):
        if "complex" in dtype:
            values = values + 1j * values[..., ::-1] if values.ndim else values * (1 + 2j)
        if dtype == "bool" or "int" in dtype:
            values = np.nan_to_num(values, posinf=9, neginf=-9).clip(-1e18, 1e18).astype(np.int64)
        x = torch.tensor(values).to(getattr(torch, dtype))
    if seed % 5 == 0 and (x.is_floating_point() or x.is_complex()):
        x = x.requires_grad_()
        if seed % 2:
            x = x * 1
    return x.t() if seed % 7 == 0 and x.ndim == 2 else x


@contextmanager
def printing(torch, options):
    torch.set_printoptions(**options)
    try:
        yield
    finally:
        torch.set_printoptions(profile="default", sci_mode=None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_tensors_print_as_in_pytorch(dtype):
    torch = pytest.importorskip("torch")
    wrong = []
    for seed in range(90):
        rng = np.random.default_rng([seed, DTYPES.index(dtype)])
        values = _values(rng, SHAPES[rng.integers(len(SHAPES))])
        options = OPTIONS[rng.integers(len(OPTIONS))]
        with printing(cresset, options), printing(torch, options):
            ours = repr(_tensor(cresset, values, dtype, seed))
            theirs = repr(_tensor(torch, values, dtype, seed))
        if ours != theirs:
            wrong.append(f"seed {seed} {values.shape} {options}\n{ours}\nPyTorch prints\n{theirs}")
    assert not wrong, f"{len(wrong)} differ\n\n" + "\n\n".join(wrong[:6])


PROGRAMS = [
    "str(t.ones(2))",
    "f'{t.ones(2)}'",
    "f'{t.tensor(2.5):.3f} {t.tensor(3)} {t.tensor(3):5d}|'",
    "f'{t.ones(2):.3f}'",
    "'%s %.2f %d' % (t.ones(1), t.tensor(1.5), t.tensor(2))",
    "'{}'.format(t.tensor(2.5))",
    "t.nn.Parameter(t.ones(2))",
    "t.nn.Parameter(t.ones(2, 2), requires_grad=False)",
    "[t.ones(1), t.zeros(1)]",
    "{'a': t.tensor(1)}",
    "t.set_printoptions(precision=2); r = repr(t.tensor([1.2345])); "
    "t.set_printoptions(profile='default'); r",
    "t.set_printoptions(profile='wide')",
    "t.set_printoptions(threshold=10, edgeitems=1); r = repr(t.arange(30).view(5, 6)); "
    "t.set_printoptions(profile='default'); r",
    "t.set_default_dtype(t.float64); r = repr((t.ones(1), t.ones(1, dtype=t.float32),"
    " t.ones(1, dtype=t.complex64), t.zeros(0), t.zeros(0, dtype=t.float32)));"
    " t.set_default_dtype(t.float32); r",
    "t.ones(2).to(t.complex64).conj()",
    "t.ones(3).expand(2, 3)",
    "t.ones(2, requires_grad=True).sum()",
    "(t.ones(2, 3, requires_grad=True) @ t.ones(3, 1))",
    "t.ones(3, requires_grad=True)[1:]",
    "t.ones(30, 3, requires_grad=True) * 1.5e-7",
    "t.ones(3, dtype=t.float16, requires_grad=True) + 1",
    "t.zeros(2, 0, 3, dtype=t.int32)",
    "t.zeros(0, requires_grad=True)",
    "t.tensor([1e10, 1.])",
    "t.tensor([1e-10, 1.])",
    "t.tensor(1e-10)",
    "t.tensor(123456789.)",
    "t.tensor([1000000.5])",
    "t.tensor([nan, 1])",
    "t.tensor([nan, inf, -inf])",
    "t.tensor([nan, 1.5, inf])",
    "t.tensor([-0.0, 0.0])",
    "t.tensor([0.1 + 0.2j, -1e-9j])",
    "t.tensor([complex(nan, inf), 1j])",
    "t.tensor([[True, False]])",
    "t.tensor([True] * 1200)",
    "t.arange(1001)",
    "t.arange(1000)",
    "t.tensor([2**62, -1])",
    "t.tensor([[1, -1], [100, -100]], dtype=t.int8)",
    "t.finfo(t.float16)",
    "t.iinfo(t.int32)",
    "t.Size([2, 3])",
    "t.Size([])",
    "t.ones(2).shape",
    "t.float32",
    "repr(t.strided), repr(t.channels_last)",
    "t.device('cpu'), t.device('cuda', 1), str(t.device('cuda:0'))",
    "t.max(t.tensor([[1., 2.]]), 1)",
    "t.ones(2).grad_fn",
    "t.ones(2).tolist()",
    "t.tensor([3.14159]).tolist()",
    "t.tensor([0.1], dtype=t.float64).tolist()",
    "t.tensor(0.1).item()",
    "t.tensor([0.1], dtype=t.bfloat16).tolist()",
    "t.tensor([0.1], dtype=t.float16).tolist()",
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_prints_as_in_pytorch(program):
    same_program(program)


LITERAL = [
    ("t.tensor([[1., 2.], [3., 4.]])", "tensor([[1., 2.],\n        [3., 4.]])"),
    ("t.tensor([1.5, 2.25])", "tensor([1.5000, 2.2500])"),
    ("t.tensor([1e-5, 1.])", "tensor([1.0000e-05, 1.0000e+00])"),
    ("t.tensor(3)", "tensor(3)"),
    ("t.tensor([])", "tensor([])"),
    ("t.zeros(2, 0)", "tensor([], size=(2, 0))"),
    ("t.tensor([True, False])", "tensor([ True, False])"),
    ("t.tensor([1, 2], dtype=t.int32)", "tensor([1, 2], dtype=torch.int32)"),
    ("t.tensor([1.], requires_grad=True)", "tensor([1.], requires_grad=True)"),
    ("t.tensor([1.], requires_grad=True) + 1", "tensor([2.], grad_fn=<AddBackward0>)"),
    ("t.tensor([1 + 2j])", "tensor([1.+2.j])"),
    ("t.arange(2000)", "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    ("t.tensor([float('nan'), -1])", "tensor([nan, -1.])"),
]


@pytest.mark.parametrize(("expression", "text"), LITERAL)
def test_prints(expression, text):
    assert repr(eval(expression, {"t": cresset})) == text


def test_printing_is_no_op_on_the_tape():
    x = cresset.ones(2, requires_grad=True)
    y = x * 2
    before = x._version
    repr(y)
    assert x._version == before
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 2]


def test_options_are_returned_and_restored():
    before = cresset.get_printoptions()
    with printing(cresset, {"precision": 7, "linewidth": 20}):
        assert cresset.get_printoptions()["precision"] == 7
    assert cresset.get_printoptions() == before
