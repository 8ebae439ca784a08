"""Each lowering against the reference kernel of its op."""

from __future__ import annotations

import itertools

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


POINTWISE = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b.abs() + 1), "neg": lambda a, b: -a, "relu": lambda a, b: a.relu(),
    "square": lambda a, b: a**2, "sqrt": lambda a, b: b.abs().sqrt(),
    "numbers": lambda a, b: 2 * a + 0.5 - b / 3,
}  # fmt: skip
SHAPES = [((5, 7), (5, 7)), ((5, 7), (7,)), ((4, 1, 3), (2, 1)), ((1,), (6, 2)), ((33,), ())]


@pytest.mark.parametrize("name", POINTWISE)
def test_elementwise(name):
    for (left, right), dtype in itertools.product(SHAPES, (torch.float32, torch.float64)):
        seen = run_both(
            lambda left=left, right=right, dtype=dtype: POINTWISE[name](
                torch.randn(left, dtype=dtype), torch.randn(right, dtype=dtype)
            ).tolist()
        )
        assert_close(seen, rtol=0, atol=0)
        assert not fallbacks(seen)


def test_elementwise_on_transposed_and_sliced_operands():
    def program():
        x = torch.randn(6, 8)
        return (x.t()[1:5] * 2 + x[:4, ::2].t()[:, :1]).tolist()

    seen = run_both(program)
    assert_close(seen, rtol=0, atol=0)


def test_relu_keeps_nan_and_drops_minus_zero():
    x = [float("nan"), -0.0, 0.0, -1.0, float("inf"), float("-inf")]
    assert_close(run_both(lambda: torch.tensor(x).relu().tolist()), rtol=0, atol=0)


CONVOLUTIONS = [
    # images, channels, size, outputs, kernel, options
    (2, 3, (12, 12), 6, (5, 5), {}),
    (1, 1, (9, 40), 5, (3, 3), {"padding": 1}),
    (2, 4, (11, 10), 7, (3, 2), {"stride": 2}),
    (2, 2, (16, 35), 3, (3, 3), {"stride": (2, 3), "padding": (1, 2)}),
    (1, 3, (20, 20), 4, (3, 3), {"dilation": 2}),
    (3, 2, (7, 7), 16, (1, 1), {}),
    (2, 3, (8, 50), 2, (4, 5), {"padding": (3, 4), "dilation": (1, 2), "stride": (1, 2)}),
    (2, 8, (6, 6), 33, (3, 3), {"padding": 1}),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_convolution_and_its_gradients(case, bias):
    n, c, size, o, kernel, options = case

    def program():
        x = torch.randn(n, c, *size, requires_grad=True)
        w = torch.randn(o, c, *kernel, requires_grad=True)
        b = torch.randn(o, requires_grad=True) if bias else None
        y = F.conv2d(x, w, b, **options)
        (y * torch.randn(y.shape)).sum().backward()
        values = [y.detach(), x.grad, w.grad] + ([b.grad] if bias else [])
        return [v.tolist() for v in values]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=1e-4)
    assert not any("convolution" in name for name in fallbacks(seen))


def test_convolutions_without_a_lowering_run_their_reference_kernel():
    seen = run_both(
        lambda: F.conv2d(torch.randn(1, 4, 6, 6).double(), torch.ones(4, 4, 3, 3).double()).tolist()
    )
    assert_close(seen)
    assert set(fallbacks(seen)) == {"convolution"}


@pytest.mark.parametrize("groups, outputs", [(2, 6), (4, 4), (4, 12), (1, 5)])
@pytest.mark.parametrize("stride, padding, dilation", [(1, 1, 1), (2, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("dims", [1, 2])
def test_groups_and_signals(groups, outputs, stride, padding, dilation, dims):
    conv = {1: F.conv1d, 2: F.conv2d}[dims]

    def program():
        x = torch.randn(3, 4, *(9, 20)[2 - dims :], requires_grad=True)
        w = torch.randn(outputs, 4 // groups, *(3, 2)[2 - dims :], requires_grad=True)
        b = torch.randn(outputs, requires_grad=True)
        y = conv(x, w, b, stride, padding, dilation, groups)
        (y * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), x.grad.tolist(), w.grad.tolist(), b.grad.tolist()]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=1e-4)
    assert not [n for n in fallbacks(seen) if n.startswith("convolution")]


@pytest.mark.parametrize("dims, groups", [(1, 1), (2, 1), (2, 2)])
def test_transposed_convolutions(dims, groups):
    conv = {1: F.conv_transpose1d, 2: F.conv_transpose2d}[dims]

    def program():
        x = torch.randn(2, 4, *(5, 7)[2 - dims :], requires_grad=True)
        w = torch.randn(4, 3, *(3, 3)[2 - dims :], requires_grad=True)
        y = conv(x, w, None, 2, 1, 1, groups)
        (y * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), x.grad.tolist(), w.grad.tolist()]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=1e-4)
    assert not [n for n in fallbacks(seen) if n.startswith("convolution")]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"),
    [
        ((8, 8), 2, None, 1),
        ((7, 9), 2, None, 1),
        ((8, 72), (2, 4), None, 1),
        ((9, 9), 3, None, 1),
        ((4, 33), (3, 1), None, 1),
        ((7, 9), 3, 2, 1),
        ((10, 11), 2, 1, 2),
        ((5, 6), (2, 3), (1, 2), 1),
    ],
)
def test_max_pooling_and_its_gradient(size, kernel, stride, dilation):
    def program():
        x = torch.randn(2, 3, *size)
        x[0, 0, 1, 1] = float("nan")
        x.requires_grad_()
        y, i = F.max_pool2d(x, kernel, stride, 0, dilation, return_indices=True)
        (y.nan_to_num() * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), i.tolist(), x.grad.tolist()]

    seen = run_both(program)
    assert_close(seen)
    assert not any("pool" in name for name in fallbacks(seen))


@pytest.mark.parametrize("m, k, n", [(3, 5, 4), (1, 7, 2), (33, 20, 17), (4, 1, 6)])
def test_matrix_products(m, k, n):
    def program():
        a, b = torch.randn(m, k), torch.randn(k, n)
        return [(a @ b).tolist(), (b.t() @ a.t()).tolist(), (a @ torch.randn(n, k).t()).tolist()]

    seen = run_both(program)
    assert_close(seen)
    assert not fallbacks(seen)


def test_linear_and_its_gradients():
    def program():
        x = torch.randn(5, 7, requires_grad=True)
        layer = torch.nn.Linear(7, 3)
        (layer(x) * torch.randn(5, 3)).sum().backward()
        return [x.grad.tolist(), layer.weight.grad.tolist(), layer.bias.grad.tolist()]

    seen = run_both(program)
    assert_close(seen)
    assert not fallbacks(seen)


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_sums_and_means(dims):
    seen = run_both(
        lambda: [
            torch.randn(3, 5, 37).sum(dims).tolist(),
            torch.randn(3, 5, 37).mean(dims).tolist(),
        ]
    )
    assert_close(seen)
    assert not fallbacks(seen)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_and_its_gradient(reduction):
    def program():
        x = (torch.randn(6, 10) * 5).requires_grad_()
        target = torch.tensor([1, 9, 0, -100, 4, 4])
        loss = F.cross_entropy(x, target, reduction=reduction)
        loss.backward()
        return [loss.tolist(), x.grad.tolist()]

    seen = run_both(program)
    assert_close(seen)
    assert not fallbacks(seen)


def test_a_class_out_of_range_is_pytorchs_error_on_both_tiers():
    def program():
        with pytest.raises(IndexError, match="Target 7 is out of bounds"):
            F.cross_entropy(torch.randn(2, 3), torch.tensor([0, 7])).item()

    run_both(program)


@pytest.mark.parametrize("b, m, k, n", [(3, 4, 5, 6), (1, 1, 33, 2), (7, 20, 16, 40)])
def test_batched_products(b, m, k, n):
    def program():
        x, y = torch.randn(b, m, k), torch.randn(b, k, n)
        z = torch.randn(m, b, k).transpose(0, 1)
        return [
            (x @ y).tolist(), (z @ y).tolist(), (x @ torch.randn(b, n, k).mT).tolist(),
            (torch.randn(b, k, m).mT @ y).tolist(),
        ]  # fmt: skip

    seen = run_both(program)
    assert_close(seen)
    assert not fallbacks(seen)


DTYPES = [torch.bool, torch.int16, torch.float16, torch.float32, torch.int64, torch.complex128]


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_and_joined_tensors(dtype):
    def program():
        x = torch.arange(24).view(2, 3, 4).to(dtype)
        parts = [x.transpose(0, 2).contiguous(), x[:, ::2, 1:].contiguous()]
        parts += [torch.cat([x, x[:, :1]], 1), torch.stack([x, x.clone()], 2)]
        return [p.tolist() for p in parts]

    seen = run_both(program)
    assert_close(seen, rtol=0, atol=0)
    assert not {"contiguous", "cat", "stack"} & set(fallbacks(seen))


def test_writes_into_regions():
    def program():
        x = torch.zeros(4, 6)
        x[1] = torch.arange(6.0)
        x[:, 2:4] += 1
        y = x.clone()
        x[::2, 0] = 7
        rows = [torch.ones(6, requires_grad=True) for _ in range(2)]
        z = torch.zeros(3, 6)
        z[0], z[2] = rows[0] * 2, rows[1] * 3
        (z * torch.arange(6.0)).sum().backward()
        return [x.tolist(), y.tolist(), z.tolist(), *[r.grad.tolist() for r in rows]]

    seen = run_both(program)
    assert_close(seen, rtol=0, atol=0)
    assert "write" not in fallbacks(seen)


@pytest.mark.parametrize("size", [4, 37, 70])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_recurrent_cells_and_their_gradients(kind, size, batch):
    def program():
        net = getattr(torch.nn, kind)(5, size)
        y, _ = net(torch.randn(6, *batch, 5))
        (y * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), *[p.grad.tolist() for p in net.parameters()]]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=1e-4)
    assert not [name for name in fallbacks(seen) if name.endswith("_cell")]


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_embedding_and_its_gradient(padding, kind):
    def program():
        found = []
        for floats in (torch.float32, torch.float64):
            table = torch.randn(7, 11, dtype=floats, requires_grad=True)
            rows = torch.tensor([[1, 2, 2], [0, 6, 1]], dtype=kind)
            y = F.embedding(rows, table, padding)
            (y * torch.randn(y.shape)).sum().backward()
            found += [y.tolist(), table.grad.tolist()]
        return found

    seen = run_both(program)
    assert_close(seen, rtol=1e-6, atol=1e-6)
    assert not [name for name in fallbacks(seen) if "embedding" in name]


def test_a_row_beyond_the_table_is_the_kernels_error():
    table = torch.randn(7, 4)

    def step(rows):
        y = F.embedding(rows, table)
        return ((y * 2 + 1).tanh() @ torch.ones(4, 2)).relu() + 3

    good = torch.tensor([1, 2])
    compiled = torch.compile(step)
    assert torch.allclose(compiled(good), step(good))
    with pytest.raises(IndexError, match="index out of range in self"):
        compiled(torch.tensor([1, 7])).tolist()
    with pytest.raises(IndexError, match="index out of range in self"):
        compiled(torch.tensor([-1, 3])).tolist()
    assert torch.allclose(compiled(good), step(good))


def test_linear_over_a_transposed_batch():
    def program():
        x = torch.randn(5, 4, 16).transpose(0, 1)
        return F.linear(x, torch.randn(9, 16), torch.randn(9)).tolist()

    seen = run_both(program)
    assert_close(seen)
    assert "linear" not in fallbacks(seen)
