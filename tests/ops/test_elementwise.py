"""What the op table cannot say: operators with strangers, identity, in-place writes."""

from __future__ import annotations

import numpy as np
import pytest

import cresset
import cresset.nn.functional as F

from .harness import attempt, same, same_failure


def _pair(torch, function):
    """Run the same function on both libraries and compare results or errors."""
    ours, mine = attempt(lambda: function(cresset))
    theirs, error = attempt(lambda: function(torch))
    if not same_failure(mine, error, "", words=True):
        same(ours, theirs, "")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_tensors_hash_by_identity_although_they_compare_elementwise():
    x, y = cresset.ones(2), cresset.ones(2)
    assert hash(x) != hash(y) and len({x, y, x}) == 2
    assert {x: "x"}[x] == "x"


@pytest.mark.parametrize("operator", [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b,
    lambda a, b: a // b, lambda a, b: a % b, lambda a, b: a ** b, lambda a, b: a < b,
    lambda a, b: a >= b,
])  # fmt: skip
@pytest.mark.parametrize("stranger", ["a", None, [1.0], object])
def test_operators_refuse_strangers_as_python_does(operator, stranger):
    with pytest.raises(TypeError):
        operator(cresset.ones(1), stranger)
    if stranger != "a":  # "a" % x is the string's own operator
        with pytest.raises(TypeError):
            operator(stranger, cresset.ones(1))


def test_operators_leave_unknown_types_the_chance_to_answer():
    class Unit:
        def __radd__(self, other):
            return "added"

        def __rmul__(self, other):
            return "multiplied"

        def __eq__(self, other):
            return "equal"

    x = cresset.ones(1)
    assert (x + Unit(), x * Unit(), x == Unit()) == ("added", "multiplied", "equal")


def test_numpy_arrays_and_scalars_are_operands(torch):
    a = np.array([1.0, 2.0])
    _pair(torch, lambda t: (t.ones(2) + a, t.ones(2) * a))
    _pair(torch, lambda t: t.ones(2) * np.float64(2.5))
    _pair(torch, lambda t: t.arange(2) + np.int64(3))


@pytest.mark.parametrize("call", [
    lambda t: t.exp(3.0),
    lambda t: t.maximum(t.ones(1), 2.0),
    lambda t: t.atan2(t.ones(1), 2.0),
    lambda t: t.mul("a", t.ones(2)),
    lambda t: t.sub(t.ones(2), "a"),
    lambda t: t.mul(t.ones(2), t.ones(3)),
    lambda t: t.ones(2).pow_(t.ones(3, 2)),
    lambda t: t.ones(3, requires_grad=True).exp_(),
    lambda t: t.ones(2).int().div_(2),
    lambda t: t.ones(2).bool().add_(1.5),
    lambda t: t.heaviside(t.ones(2), t.ones(2).double()),
    lambda t: t.sign(t.ones(1, dtype=t.complex64)),
    lambda t: t.ones(2).float_power_(2),
])  # fmt: skip
def test_bad_operands_raise_pytorchs_words(torch, call):
    _pair(torch, call)


def test_integer_arithmetic_wraps_around_as_in_c(torch):
    for name in ("int8", "uint8", "int16", "int32"):
        _pair(torch, lambda t, n=name: (
            t.tensor([127, 100, 3], dtype=getattr(t, n)) * 3,
            t.tensor([127, 100, 3], dtype=getattr(t, n)) + 100,
            -t.tensor([5, 0, 1], dtype=getattr(t, n)),
            t.tensor([7, 2, 3], dtype=getattr(t, n)) ** 5,
        ))  # fmt: skip


def test_float_overflow_and_division_by_zero_follow_ieee(torch):
    _pair(torch, lambda t: (
        t.tensor([1e38]) * 10, t.tensor([60000.0]).half() * 2, t.tensor([1.0, -1.0, 0.0]) / 0,
        t.tensor([1.0, -1.0, 0.0]) // 0, t.tensor([1.0, -0.0]) % float("inf"),
        t.tensor([5.0, -5.0]).remainder(float("-inf")),
    ))  # fmt: skip


@pytest.mark.parametrize("call", [
    lambda t: t.tensor([1]) // 0, lambda t: t.tensor([1]) % 0, lambda t: t.fmod(t.tensor([1]), 0),
    lambda t: t.div(t.tensor([1]), t.tensor([0]), rounding_mode="trunc"),
])  # fmt: skip
def test_integer_division_by_zero_raises(torch, call):
    _pair(torch, call)


@pytest.mark.parametrize("name", [
    "add", "sub", "mul", "div", "eq", "lt", "maximum", "pow", "atan2", "remainder", "fmod",
])  # fmt: skip
def test_every_pair_of_dtypes_promotes_alike(torch, name):
    names = ("uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64",
             "complex64", "bool")  # fmt: skip
    for first in names:
        for second in names:

            def call(t, first=first, second=second, shapes=((2,), (2,))):
                x = t.ones(shapes[0]).to(getattr(t, first))
                y = t.ones(shapes[1]).to(getattr(t, second))
                return getattr(t, name)(x, y)

            for shapes in (((2,), (2,)), ((2,), ())):
                ours, mine = attempt(lambda: call(cresset, shapes=shapes))
                theirs, error = attempt(lambda: call(torch, shapes=shapes))
                if "ComplexHalf" in str(error) or getattr(theirs, "dtype", 0) is torch.complex32:
                    continue  # a dtype that Cresset does not have
                where = f"{name} {first} {second} {shapes}"
                if not same_failure(mine, error, where):
                    assert str(ours.dtype) == str(theirs.dtype), where


@pytest.mark.parametrize("function", [
    lambda t, x: x.add_(2), lambda t, x: x.mul_(3),
    lambda t, x: x.zero_(), lambda t, x: x.relu_(), lambda t, x: x.masked_fill_(x > 0, 2),
    lambda t, x: x.sigmoid_(), lambda t, x: x.t().exp_(), lambda t, x: x[0].mul_(2),
    lambda t, x: x.lerp_(x.new_ones(()), 0.5), lambda t, x: x.addcmul_(x.detach(), x.detach()),
])  # fmt: skip
def test_gradients_flow_through_in_place_writes(torch, function):
    def gradient(t):
        x = t.tensor([[0.5, -1.5], [2.0, 0.1]], dtype=t.float64, requires_grad=True)
        y = x * 2
        function(t, y)
        (y * t.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=t.float64)).sum().backward()
        return y, x.grad

    _pair(torch, gradient)


def test_a_saved_operand_changed_in_place_is_noticed(torch):
    def stale(t):
        x = t.ones(2, requires_grad=True)
        y = x * 2
        z = y.exp()
        z.add_(1)
        z.sum().backward()

    _, mine = attempt(lambda: stale(cresset))
    _, theirs = attempt(lambda: stale(torch))
    assert type(mine) is type(theirs) is RuntimeError
    assert "has been modified by an inplace operation" in str(mine)


def test_fused_formulas_save_only_what_their_gradients_read():
    x, w = cresset.ones(2, requires_grad=True), cresset.ones(2)
    y = x.addcmul(w, w, value=2)
    w.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_functional_in_place_writes_over_its_input():
    for function in (F.relu, F.elu, F.silu, F.hardtanh, F.leaky_relu):
        x = cresset.tensor([-2.0, 2.0])
        expected = function(x).tolist()
        assert function(x, inplace=True) is x and x.tolist() == expected


def test_threshold_and_relu_pass_the_gradient_at_nan(torch):
    def gradient(t):
        x = t.tensor([float("nan"), 1.0, -1.0], requires_grad=True)
        x.relu().sum().backward()
        return x.grad

    _pair(torch, gradient)


def test_rrelu_draws_slopes_between_its_bounds():
    x = cresset.full((200,), -1.0, requires_grad=True)
    y = F.rrelu(x, 0.2, 0.4, training=True)
    assert y.grad_fn.name() == "RreluWithNoiseBackward0"
    slopes = -y.detach()
    assert bool(((slopes >= 0.2) & (slopes <= 0.4)).all()) and float(slopes.std()) > 0.03
    y.sum().backward()
    assert cresset.allclose(x.grad, slopes)


def test_augmented_operators_write_in_place(torch):
    def run(t):
        x = t.tensor([7, 5])
        y = x
        x += 3
        x -= 1
        x *= 2
        x //= 3
        x %= 5
        x **= 2
        x &= 7
        x |= 8
        x ^= 1
        x <<= 2
        x >>= 1
        return x, x is y, x._version

    _pair(torch, run)
