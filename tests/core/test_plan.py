"""Plans of the first tier: results own their memory, dead values go, errors poison what depends."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset import dtypes
from cresset.core import graph, plan
from cresset.core.call import Call, Op
from cresset.core.modes import PROCESS
from cresset.core.plan import Program, _number_converter, reference_plan
from cresset.core.spec import dense
from cresset.ops.inplace import WRITE
from cresset.ops.registry import apply

lazy_only = pytest.mark.skipif(PROCESS.eager, reason="about recording")
VECTOR = dense(dtypes.float32, (4,))


def call(kernel, operands=1, outs=1, **options) -> Call:
    op = Op("test", None, kernel, **options)
    return Call(op, (), (VECTOR,) * operands, (VECTOR,) * outs)


def run(built, *inputs):
    values = [*inputs, *[None] * (built.slots - len(inputs))]
    assert built.run(values, {}) is None
    return values


# -- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernel", [lambda xp, x: x, lambda xp, x: x[:], lambda xp, x: x[::-1][::-1]]
)
def test_a_kernel_that_returns_its_operand_does_not_share_memory_with_it(kernel):
    x = np.arange(4, dtype=np.float32)
    values = run(reference_plan(Program((call(kernel),), ((1, 0),), (0, 1), ()), 2), x)
    assert not np.shares_memory(values[1], x)
    assert values[1].tolist() == [0, 1, 2, 3]


def test_outputs_of_one_kernel_do_not_share_memory():
    def kernel(xp, x):
        y = x + 1
        return y, y[:]

    program = Program((call(kernel, outs=2),), ((1, 0),), (1, 2), ())
    values = run(reference_plan(program, 3), np.zeros(4, np.float32))
    assert not np.shares_memory(values[1], values[2])


def test_a_strided_result_is_laid_out_as_its_spec_says():
    out = torch.empty(2, 3).t()._spec
    op = Op("test", None, lambda xp, x: xp.arange(6, dtype="f4").reshape(3, 2))
    program = Program((Call(op, (), (VECTOR,), out),), ((1, 0),), (1,), ())
    values = run(reference_plan(program, 2), np.zeros(4, np.float32))
    assert values[1].tolist() == [0, 2, 4, 1, 3, 5]


def test_a_kernel_whose_shape_is_not_what_the_rule_said_is_an_error():
    built = reference_plan(Program((call(lambda xp, x: x[:2]),), ((1, 0),), (1,), ()), 2)
    failure = built.run([np.zeros(4, np.float32), None], {})
    assert "kernel of test returned shape (2,)" in str(failure)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80), (-0.0, 0x8000), (float("inf"), 0x7F80), (float("nan"), 0x7FC0),
        (1.00390625, 0x3F80), (1.01171875, 0x3F82),  # ties go to the even neighbour
        (3.4e38, 0x7F80), (1e-40, 0x0001),
    ],
)  # fmt: skip
def test_bfloat16_rounds_to_nearest_even_and_nan_stays_nan(value, bits):
    rounded = plan.to_bfloat16(np, np.array([value], np.float32))
    assert rounded[0] == bits
    back = plan.from_bfloat16(rounded)
    assert np.isnan(back[0]) if np.isnan(value) else np.isclose(back[0], value, rtol=1 / 128) or (
        back[0] in (np.inf, -np.inf) or value == 1e-40
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("u1", 300, 44), ("u1", -1, 255), ("i1", 200, -56), ("i1", -129, 127),
        ("i4", 2**31, -(2**31)), ("i8", 2**64 + 5, 5), ("f4", 3, 3.0),
        ("?", 7, True), ("c8", 2.5, 2.5 + 0j), ("i8", 2.9, 2),
    ],
)  # fmt: skip
def test_a_number_is_converted_as_c_would(kind, given, wanted):
    found = _number_converter(np.dtype(kind))(given)
    assert (found, type(found)) == (wanted, type(wanted))


# -- what a plan leaves out and lets go -----------------------------------------------------------


def chain(length: int, live: tuple[int, ...], **options):
    """``length`` calls, each on the result of the one before."""
    one = call(lambda xp, x: x + 1, **options)
    return reference_plan(
        Program((one,) * length, tuple((i + 1, i) for i in range(length)), live, ()), length + 1
    )


def test_steps_that_nobody_needs_are_dropped():
    assert [step.outs[0][0] for step in chain(5, (2,)).steps] == [1, 2]


def test_a_value_is_freed_at_its_last_use_and_an_output_never():
    built = chain(4, (2, 4))
    assert [step.frees for step in built.steps] == [(0,), (1,), (), (3,)]
    values = run(built, np.zeros(4, np.float32))
    assert [v is None for v in values] == [True, True, False, True, False]


def test_a_long_chain_of_large_values_holds_two_at_a_time():
    import tracemalloc

    size = 1 << 18
    big = dense(dtypes.float32, (size,))
    one = Call(Op("test", None, lambda xp, x: x + 1), (), (big,), big)
    built = reference_plan(
        Program((one,) * 50, tuple((i + 1, i) for i in range(50)), (50,), ()), 51
    )
    values = [np.zeros(size, np.float32), *[None] * 50]
    tracemalloc.start()
    built.run(values, {})
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values[50][0] == 50
    assert most < 4 * big.nbytes


# -- writes in place ---------------------------------------------------------------------------


def write(*operands: int, live: tuple[int, ...], dead: tuple[int, ...], before=()):
    """The plan of one write, after the calls ``before``."""
    call = Call(WRITE, ((2,), (1,), 1), (VECTOR, dense(dtypes.float32, (2,))), (VECTOR,))
    calls = tuple(c for c, _ in before)
    nodes = tuple(node for _, node in before)
    return reference_plan(Program((*calls, call), (*nodes, (9, *operands)), live, dead), 10).steps


def test_a_write_changes_its_operand_only_if_that_is_dead_and_read_last():
    assert write(0, 1, live=(9,), dead=(0,))[-1].in_place
    assert not write(0, 1, live=(9,), dead=())[-1].in_place
    assert not write(0, 0, live=(9,), dead=(0,))[-1].in_place
    assert not write(0, 1, live=(0, 9), dead=(0,))[-1].in_place


def test_nothing_is_written_in_place_before_a_step_that_may_still_refuse_its_values():
    refusing = call(lambda xp, x: x, checks_values=True)
    earlier = write(0, 1, live=(9, 2), dead=(0,), before=[(refusing, (2, 1))])
    assert earlier[-1].in_place
    writing = Call(WRITE, ((2,), (1,), 1), (VECTOR, dense(dtypes.float32, (2,))), (VECTOR,))
    program = Program((writing, refusing), ((2, 0, 1), (3, 2)), (2, 3), (0,))
    assert not reference_plan(program, 4).steps[0].in_place


# -- composites --------------------------------------------------------------------------------


def test_a_composite_brings_its_constants_and_repeated_use_keeps_them_apart():
    table = torch.tensor([10.0, 20.0, 30.0])
    table.tolist()
    op = Op("with_table", None, body=lambda x: x + table)
    x, y = torch.zeros(3), torch.ones(3)
    a, b = apply(op, (x,)), apply(op, (y,))
    assert (a.tolist(), b.tolist()) == ([10, 20, 30], [11, 21, 31])


# -- errors ------------------------------------------------------------------------------------


@lazy_only
def test_a_second_failure_does_not_hide_the_first():
    first = F.nll_loss(torch.zeros(3, 2), torch.tensor([0, 1, 5]))
    second = torch.ones(3)[torch.tensor([8])]
    with pytest.raises(IndexError, match="Target 5"):
        first.item()
    with pytest.raises(IndexError, match="index 8 is out of bounds"):
        second.item()


@lazy_only
def test_a_refusal_is_not_swallowed_because_nobody_kept_the_result(monkeypatch):
    monkeypatch.setattr(plan, "LATE", 2)
    table = torch.ones(3, 2)
    for wrong in (0, 0, 0, 7, 0):  # the plan is compiled on the way
        F.embedding(torch.tensor([1, wrong]), table)  # dropped at once
        F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, min(wrong, 2)]))
        fine = (table * 2 + 1).exp().log().sum()
        if wrong:
            with pytest.raises(IndexError, match="index out of range in self"):
                graph.flush()
        assert fine.item() == pytest.approx(18)


@lazy_only
def test_a_compiled_plan_fails_as_the_reference_plan_does_and_spares_the_same_values(monkeypatch):
    monkeypatch.setattr(plan, "LATE", 2)

    def program(target):
        torch.manual_seed(0)
        weight, moment = torch.ones(2, 3), torch.zeros(3, 2)
        graph.flush()
        moment.mul_(0.9).add_(1)
        logits = torch.ones(3, 3) @ moment
        scaled = (weight * 2 + 1).relu().tanh()
        loss = F.cross_entropy(logits, torch.tensor(target))
        moment.add_(loss)
        return loss, moment, scaled

    for _ in range(4):
        loss, moment, scaled = program([0, 1, 1])
        expected = loss.item(), moment.tolist(), scaled.tolist()
    compiled = [p for p in graph.RECORDER.cache._plans.values() if p.tier == "native"]
    assert compiled or not PROCESS.compile
    loss, moment, scaled = program([0, 1, 7])
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        loss.item()
    assert moment.tolist() == [[1, 1]] * 3  # the writes before the loss have happened
    assert scaled.tolist() == expected[2]
    loss, moment, scaled = program([0, 1, 1])
    assert (loss.item(), moment.tolist(), scaled.tolist()) == expected


def test_of_several_writes_those_before_the_failure_stay():
    """PyTorch stops at the failing line; what ran before it has run."""
    x, shown, fresh = torch.zeros(3), torch.zeros(3), None
    array = shown.numpy()
    x.tolist()
    with pytest.raises(IndexError):
        x += 1
        shown += 1
        x[0] = 5
        fresh = torch.full((3,), 2.0)
        held = x * 2
        bad = F.nll_loss(torch.zeros(3, 2), torch.tensor([0, 1, 5]), reduction="none")
        x += bad
        fresh += bad
        fresh[1] = 3
        x.tolist()
    assert (x.tolist(), fresh.tolist(), held.tolist()) == ([5, 1, 1], [2, 2, 2], [10, 2, 2])
    assert array.tolist() == [1, 1, 1]


@lazy_only
def test_an_interrupted_compiled_plan_loses_new_values_and_keeps_old_ones(monkeypatch):
    x = torch.ones(3)
    x.tolist()

    def program():
        y = x * 2 + 1
        x.add_(0)
        return y

    program().tolist()
    y = program()
    built = next(reversed(graph.RECORDER.cache._plans.values()))

    def stop(values, lines):
        raise KeyboardInterrupt

    class Native(plan.Plan):
        __slots__ = ()

        def run(self, values, lines):
            raise KeyboardInterrupt

    built.__class__ = Native
    with pytest.raises(KeyboardInterrupt):
        y.tolist()
    built.__class__ = plan.Plan
    with pytest.raises(RuntimeError, match="the computation of this value was interrupted"):
        y.tolist()
    assert x.tolist() == [1, 1, 1]


# -- when a plan is compiled -------------------------------------------------------------------


def test_heavy_plans_are_compiled_early_and_light_ones_late():
    assert chain(4, (4,)).compile_at == plan.LATE
    assert chain(200, (200,)).compile_at == plan.EARLY


def test_a_program_gives_the_same_bits_whenever_it_runs():
    def train():
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = F.mse_loss(net(torch.randn(4, 6)), torch.zeros(4, 2))
            loss.backward()
            optimizer.step()
            losses.append(loss.item().hex())
        return losses

    graph.RECORDER.cache.clear()
    first = train()
    graph.RECORDER.cache.clear()
    assert train() == first
