"""PyTorch's streams, bit for bit: every row draws the same bits and leaves the same state."""

from __future__ import annotations

import pytest

import cresset

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
IN_PLACE = {
    "uniform_": (-1, 2), "normal_": (0.5, 2), "exponential_": (1.5,), "cauchy_": (0.1, 2),
    "log_normal_": (0.2, 0.5), "geometric_": (0.3,), "bernoulli_": (0.3,), "random_": (),
}  # fmt: skip
ROWS = {
    "randint": lambda T: T.randint(-5, 9, (7, 3)),
    "randint_wide": lambda T: T.randint(0, 2**40, (7, 3)),
    "randint_float": lambda T: T.randint(0, 9, (7,), dtype=T.float32),
    "randperm": lambda T: T.randperm(101),
    "randperm_int32": lambda T: T.randperm(11, dtype=T.int32),
    "bernoulli": lambda T: T.bernoulli(T.linspace(0, 1, 30)),
    "bernoulli_float64": lambda T: T.bernoulli(T.linspace(0, 1, 30, dtype=T.float64)),
    "bernoulli_by_tensor": lambda T: T.empty(30).bernoulli_(T.linspace(0, 1, 30)),
    "normal_each": lambda T: T.normal(T.arange(20.0), T.linspace(1, 2, 20)),
    "normal_number_each": lambda T: T.normal(0.0, T.linspace(1, 2, 20)),
    "normal_size": lambda T: T.normal(1.0, 2.0, (3, 7)),
    "multinomial": lambda T: T.multinomial(T.linspace(1, 2, 20), 10),
    "multinomial_again": lambda T: T.multinomial(T.linspace(1, 2, 20), 10, True),
    "multinomial_rows": lambda T: T.multinomial(T.rand(4, 9), 3),
    "poisson": lambda T: T.poisson(T.linspace(0, 30, 40)),
    "poisson_float64": lambda T: T.poisson(T.linspace(0, 30, 40, dtype=T.float64)),
    "dropout": lambda T: T.nn.functional.dropout(T.ones(7, 9), 0.3),
    "dropout1d": lambda T: T.nn.functional.dropout1d(T.ones(2, 7, 9), 0.3),
    "dropout2d": lambda T: T.nn.functional.dropout2d(T.ones(2, 7, 9, 2), 0.3),
    "dropout3d": lambda T: T.nn.functional.dropout3d(T.ones(2, 7, 2, 2, 2), 0.3),
    "alpha_dropout": lambda T: T.nn.functional.alpha_dropout(T.ones(7, 9), 0.3, True),
    "feature_alpha": lambda T: T.nn.functional.feature_alpha_dropout(T.ones(2, 7, 9), 0.3, True),
    "rrelu": lambda T: T.nn.functional.rrelu(T.linspace(-1, 0.5, 60), training=True),
    "rrelu_float64": lambda T: T.nn.functional.rrelu(-T.ones(60, dtype=T.float64), training=True),
    "normal_transposed": lambda T: T.empty(6, 7).t().normal_(),
    "normal_strided": lambda T: T.empty(6, 20)[:, ::2].normal_(),
    "uniform_transposed": lambda T: T.empty(6, 7).t().uniform_(),
    "bernoulli_transposed": lambda T: T.empty(6, 7).t().bernoulli_(0.5),
    "exponential_transposed": lambda T: T.empty(6, 7).t().exponential_(),
    "rand_like": lambda T: T.rand_like(T.ones(3, 4).t()),
    "randn_like": lambda T: T.randn_like(T.ones(5, 4).t()),
    "randint_like": lambda T: T.randint_like(T.ones(5, 4), 9),
    "generator": lambda T: T.rand(3, generator=T.Generator().manual_seed(3)),
    "one_after_another": lambda T: T.cat([T.randn(3), T.rand(2), T.randn(17), T.randn(2)]),
}
for _d in (*FLOATS, "complex64", "complex128"):
    for _n in (5, 40):
        for _f in ("rand", "randn"):
            ROWS[f"{_f}_{_d}_{_n}"] = lambda T, f=_f, n=_n, d=_d: getattr(T, f)(
                n, dtype=getattr(T, d)
            )
        if _d in FLOATS:
            for _f, _args in IN_PLACE.items():
                ROWS[f"{_f}{_d}_{_n}"] = lambda T, f=_f, n=_n, d=_d, args=_args: getattr(
                    T.empty(n, dtype=getattr(T, d)), f
                )(*args)
for _d in INTEGERS:
    ROWS[f"random_{_d}"] = lambda T, d=_d: T.empty(40, dtype=getattr(T, d)).random_()
    ROWS[f"random_in_{_d}"] = lambda T, d=_d: T.empty(40, dtype=getattr(T, d)).random_(3, 90)
    ROWS[f"bernoulli_{_d}"] = lambda T, d=_d: T.empty(40, dtype=getattr(T, d)).bernoulli_(0.4)


def _bits(T, draw):
    T.manual_seed(5)
    x = draw(T)
    if x.is_complex():
        x = T.view_as_real(x)
    return tuple(x.shape), x.stride(), x.to(T.float64).tolist(), T.rand(1).item()


@pytest.mark.parametrize("name", ROWS)
def test_the_stream_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    assert repr(_bits(cresset, ROWS[name])) == repr(_bits(torch, ROWS[name]))


def test_known_values():
    cresset.manual_seed(0)
    assert cresset.rand(2).tolist() == [0.49625658988952637, 0.7682217955589294]
    cresset.manual_seed(0)
    assert cresset.randn(2).tolist() == [1.5409960746765137, -0.293428897857666]
    cresset.manual_seed(0)
    assert cresset.randn(17)[[0, 16]].tolist() == [-1.1258398294448853, 0.9318265914916992]
    cresset.manual_seed(0)
    assert cresset.randperm(5).tolist() == [4, 0, 1, 3, 2]
    cresset.manual_seed(0)
    expected = [3.508326292037964, 1.2303847074508667, 0.615044116973877]
    assert cresset.empty(3).exponential_().tolist() == expected


def test_a_draw_keeps_its_place_although_nothing_is_looked_at():
    cresset.manual_seed(3)
    a, b = cresset.rand(4), cresset.rand(4)
    cresset.manual_seed(3)
    both = cresset.rand(8)
    assert b.tolist() == both[4:].tolist()
    assert a.tolist() == both[:4].tolist()


def test_every_pass_of_a_loop_draws_anew():
    cresset.manual_seed(0)
    seen = {tuple(cresset.nn.functional.dropout(cresset.ones(64)).tolist()) for _ in range(10)}
    assert len(seen) == 10
