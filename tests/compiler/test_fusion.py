"""Which steps become one kernel, and that nothing is lost when they do."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import native, specials
from cresset.compiler.formulas import FORMULAS
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


def groups(program):
    """What the program's kernels are made of, and whether both tiers agree."""
    held = []

    def run():
        held[:] = program()

    seen = run_both(run)
    assert_close(seen)
    plans = [plan for plan, _ in seen if isinstance(plan, native.NativePlan)]
    return [
        [m.call.op.name for m in step.call.members] if step.call.op.name == "fused"
        else step.call.op.name
        for step in plans[-1].built.steps
    ]  # fmt: skip


def test_a_chain_is_one_kernel():
    x = torch.randn(10, 70)
    assert groups(lambda: [((x * 2 + 1).tanh() - x).relu()]) == [
        ["mul", "add", "tanh", "sub", "relu"]
    ]


def test_layer_norm_and_the_activation_behind_it_are_one_kernel():
    x, w, b = torch.randn(33, 130), torch.randn(130), torch.randn(130)
    (only,) = groups(lambda: [F.gelu(F.layer_norm(x, (130,), w, b))])
    assert only.count("mean") == 2 and only[-1] == "gelu"


def test_what_others_read_is_written_once_and_the_rest_never():
    x = torch.randn(7, 9)

    def program():
        y = x * 2
        z = y.tanh()
        return [y, z.sigmoid(), z @ z.t()]

    held = []
    seen = run_both(lambda: held.extend(program()))
    assert_close(seen)
    (first, *_) = seen[-1][0].built.steps
    assert [m.call.op.name for m in first.call.members] == ["mul", "tanh", "sigmoid"]
    assert first.call.escapes == (0, 1, 2)


def test_a_step_that_does_not_fit_is_passed_over():
    x, w = torch.randn(20, 20), torch.randn(20, 20)

    def program():
        y = x + 1
        product = w @ w
        return [y * 3, product]

    assert groups(program) == [["add", "mul"], "mm"]


def test_what_waits_for_a_step_passed_over_stays_behind_it():
    x = torch.randn(20, 20)

    def program():
        y = x + 1
        return [y * (y @ y)]

    assert groups(program) == [["add"], "mm", ["mul"]]


def test_a_value_that_is_written_over_later_is_read_before():
    x, w = torch.randn(20, 20), torch.randn(20, 20)

    def program():
        y = x * 1.0
        z = y + 1
        product = w @ w
        y.mul_(product)
        return [z * y, y]

    groups(program)


def test_rows_wait_in_memory_between_passes():
    x = torch.randn(5, 300)

    def program():
        y = x.tanh()
        z = y - y.mean(-1, keepdim=True)
        return [z / (z.pow(2).mean(-1, keepdim=True) + 0.1).sqrt()]

    assert len(groups(program)) == 1


@pytest.mark.parametrize(
    "shape", [(3, 4), (3, 5), (4, 16), (2, 3, 17), (1, 200), (5, 1, 64), (70,)]
)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("keepdim", [True, False])
def test_row_sums_of_every_length(shape, kind, keepdim):
    x = torch.randn(shape, dtype=kind)

    def program():
        total = (x * x).sum(-1, keepdim=keepdim)
        centre = x.mean(-1, keepdim=True)
        return [total, total * 2 + 1, (x - centre) * centre]

    groups(program)


def test_sums_over_several_last_dimensions():
    x = torch.randn(4, 5, 6)
    assert len(groups(lambda: [x * x.mean((1, 2), keepdim=True)])) == 1


def test_short_rows_and_sums_over_other_dimensions_are_kernels_of_their_own():
    x = torch.randn(6, 8)
    assert groups(lambda: [x - x.mean(0)]) == ["mean", ["sub"]]
    y = torch.randn(6, 3)
    assert groups(lambda: [y - y.mean(-1, keepdim=True)]) == ["mean", ["sub"]]


def test_operands_that_are_broadcast_transposed_or_apart():
    x, row, column = torch.randn(8, 12), torch.randn(12), torch.randn(8, 1)
    wide = torch.randn(12, 16)

    def program():
        y = x * row + column
        return [y + wide.t()[::2], y - wide.t()[:8] * 2, torch.exp(row[::3] * 0.1), column * 2]

    groups(program)


def test_results_that_lie_in_memory_as_their_operands_did_are_fused_in_that_order():
    x, row, column = torch.randn(6, 5, 8).transpose(0, 1), torch.randn(8), torch.randn(6, 1)

    def program():
        y = x * 2 + row
        z = y.tanh() - column
        return [y, z, (z * y).clone()]

    kernels = groups(program)
    assert ["mul", "add", "tanh", "sub", "mul", "clone"] in kernels
    assert program()[0].stride() == x.stride() == program()[2].stride()


def test_a_value_seen_in_two_orders_is_written_in_between():
    x = torch.randn(6, 8)

    def program():
        y = x * 2
        return [y + 1, y.t() + torch.ones(8, 6), y.t().contiguous() * 3]

    groups(program)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_norms_of_rows_and_of_all(kind):
    x = torch.randn(7, 40, dtype=kind)

    def program():
        norm = x.norm()
        return [x / x.norm(dim=-1, keepdim=True), norm, x * (1 / (norm + 1e-6))]

    names = groups(program)
    assert "linalg_vector_norm" in [n for group in names for n in group]
    assert not [n for n in names if isinstance(n, str)]


def test_filling_and_copying():
    x = torch.randn(5, 9)

    def program():
        y = x.clone()
        y.zero_()
        z = x.detach().clone()
        z.fill_(2.5)
        return [y + 1, z * x, x.clone()]

    groups(program)


def test_floats_of_two_widths_are_one_kernel_only_if_one_is_made_of_the_other():
    x, y = torch.randn(6, 8), torch.randn(6, 8, dtype=torch.float64)
    assert groups(lambda: [x * 2, y * 2]) == [["mul"], ["mul"]]
    assert groups(lambda: [(x * 2).double() * 3]) == [["mul", "cast", "mul"]]


_TWO = set(
    "add sub mul div atan2 maximum minimum fmax fmin copysign heaviside eq ne lt le gt ge "
    "clamp_min clamp_max".split()
)
_ABOVE = {"log": 0.0, "log2": 0.0, "log10": 0.0, "log1p": -1.0, "sqrt": 0.0, "rsqrt": 0.0}
#: Reached by the tests of conditions, of backward passes, of dtypes (test_elements.py), and of
#: rarer functions (test_specials.py).
_OWN_TESTS = set(
    "where masked_fill cast bitwise_and bitwise_or bitwise_xor bitwise_not logical_and logical_or "
    "logical_xor logical_not fill fill_like copy addcmul clamp pow_2 zero_where_zero "
    "put_where share_of_choice mse_loss floor_divide trunc_divide remainder fmod".split()
) | {*specials.SPECIAL, *specials.SINGLE, *specials.SHIFTS, *specials.WITH_PARAMS}
_CALLS = {
    "addcdiv": lambda x, y: torch.addcdiv(x, y, y.abs() + 1, value=0.5),
    "lerp": lambda x, y: [torch.lerp(x, y.expand(5, 21), 0.3), torch.lerp(x, x * 2, x)],
    "log_sigmoid": lambda x, y: F.logsigmoid(x),
    "prelu": lambda x, y: torch.prelu(x, y),
    "rrelu": lambda x, y: F.rrelu(x, training=True),
    "threshold": lambda x, y: F.threshold(x, 0.5, -2.0),
    "xlogy": lambda x, y: [torch.xlogy(x, abs(y)), torch.xlogy(2.0, abs(x))],
    "pow": lambda x, y: [x.abs() ** n for n in (0.5, -0.5, 3, 2.5, -1, 0)] + [x.abs() ** y, 2.0**y],
    "clamp_min": lambda x, y: [torch.clamp(x, min=0.5), torch.clamp(x, min=y)],
    "clamp_max": lambda x, y: [torch.clamp(x, max=0.5), torch.clamp(x, max=y)],
}


@pytest.mark.parametrize(
    "name", sorted(n for n in set(FORMULAS) - _OWN_TESTS if not n.endswith("_backward"))
)
def test_every_formula_is_its_kernel(name):
    low = _ABOVE.get(name, -1.0 if name in ("asin", "acos") else -4.0)
    high = 1.0 if name in ("asin", "acos") else 4.0
    x = torch.rand(5, 21) * (high - low) + low + 1e-3 * (low >= -1) * (high > 1)
    y = torch.randn(21)
    one = getattr(torch, name, None) or getattr(F, name, None)
    call = _CALLS.get(name) or (one if name in _TWO else lambda x, y: one(x))

    def program():
        found = [call(x, y), call(x.double(), y.double())]
        return [v for part in found for v in (part if isinstance(part, list) else [part])]

    assert not [r for r in groups(program) if isinstance(r, str)]


@pytest.mark.parametrize("size", [5, 16, 37])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_conditions(size, kind):
    def put(x, where, value):
        x = x.clone()
        x[where.expand(x.shape)] = value
        return x

    x, y = torch.randn(7, size, dtype=kind), torch.randn(7, size, dtype=kind)
    x[0, 0] = y[1, 1] = float("nan")
    mask, row = torch.rand(7, size) > 0.5, torch.rand(size) > 0.5

    def program():
        above, near = x > y, abs(x - y) < 0.5
        return [
            torch.where(above, x, y), torch.where(mask, x * 2, 0.0), x.masked_fill(mask, -1.0),
            x * mask, mask + x, (x > 0) & near | ~above, (x > 0) ^ near, above.to(kind) * 2,
            torch.logical_or(x, mask), torch.logical_and(x, near), torch.logical_xor(above, near),
            torch.logical_not(x), torch.maximum(x, y), torch.minimum(x, y), x.clamp(y - 1, y),
            x.clamp(-0.5, 0.5), torch.addcmul(x, x, y, value=0.5), torch.where(row, x, y),
            torch.where(above, mask, near), x.isnan(), put(x, above, 2.5), put(x, row, y[0, 1]),
            x.bool(), (x >= y).to(kind).mean(-1),
            torch.where((x.mean(-1, keepdim=True) > 0), x, y), x.relu().masked_fill(row, 3.0),
        ]  # fmt: skip

    names = groups(program)
    assert [n for n in names if isinstance(n, str)] == []


def test_bools_among_themselves():
    a, b, x = torch.rand(40) > 0.5, torch.rand(40) > 0.5, torch.randn(40)

    def program():
        return [x * 2, torch.maximum(a, b), a & b, a * b, x > 0, a + b, a < b, a == b, a.clone()]

    assert len(groups(program)) == 1


@pytest.mark.parametrize(
    "act", [torch.relu, torch.tanh, torch.sigmoid, F.leaky_relu, F.hardtanh, F.gelu, F.silu,
            lambda x: F.gelu(x, approximate="tanh"), lambda x: x**2, lambda x: x**1.5,
            F.hardsigmoid, F.hardswish, F.elu, F.softplus, F.mish, F.logsigmoid, F.hardshrink,
            F.softshrink, lambda x: F.threshold(x, 0.5, 0.2), lambda x: x.clamp(0.3, 0.8),
            lambda x: F.prelu(x - 1, torch.full((40,), 0.3)), lambda x: (x - 1).abs(),
            F.selu, lambda x: F.celu(x - 1, 2.0), lambda x: torch.nan_to_num(x),
            lambda x: torch.maximum(x, x.detach().round()), lambda x: torch.minimum(x, x.round()),
            lambda x: torch.fmax(x, x.detach() * 0.9), lambda x: torch.fmin(x - 1, -x)],
)  # fmt: skip
def test_backward_passes_of_activations(act):
    x = torch.randn(6, 40).abs_().add_(0.1).requires_grad_()

    def program():
        x.grad = None
        act(x).sum().backward()
        return [x.grad]

    assert not [r for r in groups(program) if isinstance(r, str)]


def test_special_values_are_those_of_the_reference():
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-40, -3e38])
    turned = x.flip(0)

    def program():
        return [
            torch.relu(x), abs(x), x * 2, x.tanh(), x.exp(), F.leaky_relu(x), F.hardtanh(x),
            torch.sign(x), torch.floor(x), torch.round(x), torch.trunc(x), x.frac(), x.signbit(),
            F.elu(x), F.softplus(x), F.logsigmoid(x), F.hardsigmoid(x), F.hardswish(x),
            F.hardshrink(x), F.softshrink(x), F.threshold(x, 0.5, 2.0), torch.nan_to_num(x),
            x.isinf(), x.isfinite(), torch.isposinf(x), torch.isneginf(x), x.clamp(-1, 1),
            torch.xlogy(x, x), torch.clamp(x, min=turned), torch.lerp(x, x * 0, 0.5),
        ]  # fmt: skip

    held = []
    seen = run_both(lambda: held.extend(program()))
    assert not fallbacks(seen)
    for _, pairs in seen:
        for reference, compiled in pairs:
            assert repr(reference.tolist()) == repr(compiled.tolist())
