"""Steps that other steps make unnecessary go, and nothing else does."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.compiler import native
from cresset.core.modes import PROCESS

from .both import assert_close, run_both

pytestmark = pytest.mark.skipif(
    PROCESS.eager or PROCESS.check,
    reason="eager mode compiles nothing, and checks do every backward pass twice",
)


def ops(program, tolerance=2e-5):
    """The ops of the compiled plan, after both tiers were compared."""
    held = []

    def run():
        held[:] = program()

    seen = run_both(run)
    assert_close(seen, tolerance, tolerance)
    plan = [plan for plan, _ in seen if isinstance(plan, native.NativePlan)][-1]
    names = []
    for step in plan.built.steps:
        members = getattr(step.call, "members", None)
        names += [m.call.op.name for m in members] if members else [step.call.op.name]
    return names


def test_gradients_of_slices_that_lie_apart_are_written_into_one_tensor():
    x = torch.randn(6, 4, 5, requires_grad=True)

    def program():
        x.grad = None
        sum((x.select(0, i) * (i + 1)).tanh().sum() for i in range(6)).backward()
        return [x.grad]

    names = ops(program)
    assert names.count("write") == 6 and "add" not in names
    assert names.count("fill") + names.count("fill_like") <= 2


def test_columns_apart_are_apart_though_their_memory_interleaves():
    x = torch.randn(5, 12, requires_grad=True)

    def program():
        x.grad = None
        (x[:, :3].tanh().sum() + x[:, 3:7].sin().sum() + x[:, 7:].exp().sum()).backward()
        return [x.grad]

    assert "add" not in ops(program)


def test_gradients_of_slices_that_overlap_are_added():
    x = torch.randn(9, 4, requires_grad=True)

    def program():
        x.grad = None
        (x[:5].tanh().sum() + x[3:8].sin().sum() + x[7:].exp().sum()).backward()
        return [x.grad]

    assert "add" in ops(program)


def test_a_sum_of_slices_that_somebody_holds_stays_as_it_is():
    def program():
        a, b = torch.zeros(6, 4), torch.zeros(6, 4)
        a[:2] = 1.5
        b[4:] = 2.5
        return [a, b, a + b]

    ops(program)


def test_what_is_done_twice_is_done_once():
    x = torch.randn(8, 9)

    def program():
        return [x.tanh() @ torch.ones(9, 3) + 1, (x.tanh() + 3) * x]

    assert ops(program).count("tanh") == 1


def test_numbers_of_the_program_are_never_taken_for_one_another():
    # They come anew with every run: 2 and 2 today may be 2 and 3 tomorrow.
    x = torch.randn(8, 9)
    assert ops(lambda: [((x * 2).tanh() + (x * 2).tanh()) * x]).count("tanh") == 2


def test_results_that_are_both_held_are_two():
    x = torch.randn(8, 9)

    def program():
        a, b = x.sin(), x.sin()
        return [a, b, x + 1, x * 3]

    held = []
    run_both(lambda: held.__setitem__(slice(None), program()))
    a, b = held[:2]
    a.add_(1)
    assert not torch.equal(a, b)


def test_a_value_read_again_is_not_written_over():
    x = torch.randn(8, 9)

    def program():
        a = x.tanh()
        a[0] = 5.0
        return [a.sin(), x.tanh().cos(), x + 1]

    ops(program)


def test_what_nobody_reads_is_not_computed():
    x = torch.randn(8, 9)

    def program():
        x.erf().exp()
        return [x * 2, x + 1, x - 1, x * x]

    assert "erf" not in ops(program)


def test_the_forward_pass_that_a_derived_gradient_repeats_costs_nothing():
    net = torch.nn.LSTM(5, 7)
    x = torch.randn(6, 3, 5)

    def program():
        net.zero_grad()
        y, _ = net(x)
        (y * y).sum().backward()
        return [y, *[p.grad for p in net.parameters()]]

    assert ops(program).count("lstm_cell") == 6


def _pooled(keep=(), size=8, kernel=2):
    torch.manual_seed(0)
    x = torch.randn(4, size, size, size, requires_grad=True)
    w = torch.randn(size, size, 3, 3, requires_grad=True)

    def program():
        x.grad = w.grad = None
        y = torch.nn.functional.conv2d(x, w)
        r = torch.relu(y)
        p, i = torch.nn.functional.max_pool2d(r, kernel, return_indices=True)
        (p * p.detach().cos()).sum().backward()
        return [p, x.grad, w.grad, *[{"r": r, "i": i}[name] for name in keep]]

    return program


def test_relu_goes_behind_a_pool_and_its_gradient_before_the_pools():
    names = ops(_pooled(kernel=3))
    assert names.index("max_pool2d") < names.index("relu")
    assert names.index("relu_backward") < names.index("max_pool_backward")


def test_a_step_that_went_elsewhere_is_no_false_alarm_of_the_check(monkeypatch):
    program = _pooled(size=24)  # heavy enough for a plan to be compiled soon
    monkeypatch.setattr(PROCESS, "check", True)
    compiled = native._Count.compiled
    for _ in range(8):
        [x.sum().item() for x in program()]  # the check raises where steps differ
    assert native._Count.compiled > compiled


@pytest.mark.parametrize("kept", ["r", "i"])
def test_relu_stays_where_it_is_if_somebody_could_tell(kept):
    names = ops(_pooled([kept]))
    pool = next(i for i, name in enumerate(names) if name.startswith("max_pool2d"))
    assert names.index("convolution_relu") < pool and "relu" not in names


def test_relu_stays_where_the_whole_of_it_is_read_again():
    x = torch.randn(2, 2, 6, 6, requires_grad=True)

    def program():
        x.grad = None
        r = torch.relu(x * 2)
        (torch.nn.functional.max_pool2d(r, 2).sum() + r.sin().sum()).backward()
        return [x.grad]

    names = ops(program)
    assert names.index("relu") < names.index("max_pool2d")


def test_windows_of_zeros_that_overlap_get_the_same_gradient():
    x = torch.randn(2, 3, 9, 9, requires_grad=True)

    def program():
        x.grad = None
        y = torch.relu(x - 1.5)
        torch.nn.functional.max_pool2d(y, 3, stride=1, padding=1).square().sum().backward()
        return [x.grad]

    names = ops(program)
    assert names.index("max_pool2d") < names.index("relu")
