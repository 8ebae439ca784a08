"""Derivatives, second derivatives and node names of single ops, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cresset

# x and y are leaves of shape (3, 4) in float64.
OPS = {
    "add": lambda T, x, y: x + y,
    "sub": lambda T, x, y: x - y,
    "mul": lambda T, x, y: x * y,
    "div": lambda T, x, y: x / y,
    "pow": lambda T, x, y: x**2,
    "pow2": lambda T, x, y: x.abs() ** y,
    "neg": lambda T, x, y: -x,
    "exp": lambda T, x, y: x.exp(),
    "log": lambda T, x, y: x.abs().log(),
    "sqrt": lambda T, x, y: x.abs().sqrt(),
    "rsqrt": lambda T, x, y: (x.abs() + 1).rsqrt(),
    "sin": lambda T, x, y: x.sin(),
    "tanh": lambda T, x, y: x.tanh(),
    "sigmoid": lambda T, x, y: x.sigmoid(),
    "relu": lambda T, x, y: x.relu(),
    "clamp": lambda T, x, y: x.clamp(-0.5, 0.5),
    "clampmin": lambda T, x, y: x.clamp(min=0),
    "maximum": lambda T, x, y: T.maximum(x, y),
    "where": lambda T, x, y: T.where(x > 0, x, y),
    "sum": lambda T, x, y: x.sum(),
    "sum1": lambda T, x, y: x.sum(1),
    "mean": lambda T, x, y: x.mean(),
    "mean1": lambda T, x, y: x.mean(0, keepdim=True),
    "var": lambda T, x, y: x.var(),
    "std": lambda T, x, y: x.std(1),
    "prod": lambda T, x, y: x.prod(),
    "max": lambda T, x, y: x.max(),
    "max1": lambda T, x, y: x.max(1)[0],
    "amax": lambda T, x, y: x.amax(1),
    "norm": lambda T, x, y: x.norm(),
    "norm1": lambda T, x, y: x.norm(1, dim=1),
    "logsumexp": lambda T, x, y: x.logsumexp(1),
    "softmax": lambda T, x, y: x.softmax(1),
    "log_softmax": lambda T, x, y: x.log_softmax(1),
    "cumsum": lambda T, x, y: x.cumsum(1),
    "cumprod": lambda T, x, y: x.cumprod(1),
    "sort": lambda T, x, y: x.sort(1)[0],
    "topk": lambda T, x, y: x.topk(2, 1)[0],
    "view": lambda T, x, y: x.view(-1),
    "reshape": lambda T, x, y: x.t().reshape(-1),
    "t": lambda T, x, y: x.t(),
    "transpose": lambda T, x, y: x.transpose(0, 1),
    "permute": lambda T, x, y: x.permute(1, 0),
    "squeeze": lambda T, x, y: x[None].squeeze(),
    "unsq": lambda T, x, y: x.unsqueeze(0),
    "expand": lambda T, x, y: x[:1].expand(3, 4),
    "index": lambda T, x, y: x[1],
    "slice": lambda T, x, y: x[:, 1:3],
    "adv": lambda T, x, y: x[[0, 2]],
    "mask": lambda T, x, y: x[x > 0],
    "select": lambda T, x, y: x.select(1, 2),
    "narrow": lambda T, x, y: x.narrow(1, 1, 2),
    "chunk": lambda T, x, y: x.chunk(2, 1)[0],
    "split": lambda T, x, y: x.split(2, 1)[1],
    "unbind": lambda T, x, y: x.unbind(0)[1],
    "gather": lambda T, x, y: x.gather(1, T.tensor([[0], [1], [2]])),
    "scatter": lambda T, x, y: x.scatter(1, T.tensor([[0], [1], [2]]), y[:, :1]),
    "isel": lambda T, x, y: x.index_select(0, T.tensor([0, 2])),
    "iadd": lambda T, x, y: x.index_add(0, T.tensor([0, 2]), y[:2]),
    "mfill": lambda T, x, y: x.masked_fill(y > 0, 0),
    "cat": lambda T, x, y: T.cat([x, y]),
    "stack": lambda T, x, y: T.stack([x, y]),
    "mm": lambda T, x, y: x.mm(y.t()),
    "matmul": lambda T, x, y: x @ y.t(),
    "mv": lambda T, x, y: x.mv(y[0]),
    "dot": lambda T, x, y: x[0].dot(y[0]),
    "bmm": lambda T, x, y: x[None].bmm(y.t()[None]),
    "addmm": lambda T, x, y: T.addmm(x.new_ones(3, 3), x, y.t()),
    "einsum": lambda T, x, y: T.einsum("ij,kj->ik", x, y),
    "outer": lambda T, x, y: T.outer(x[0], y[0]),
    "tril": lambda T, x, y: x.tril(),
    "diag": lambda T, x, y: x.diag(),
    "diagonal": lambda T, x, y: x.diagonal(),
    "flip": lambda T, x, y: x.flip(0),
    "roll": lambda T, x, y: x.roll(1, 0),
    "repeat": lambda T, x, y: x.repeat(2, 1),
    "clone": lambda T, x, y: x.clone(),
    "cont": lambda T, x, y: x.t().contiguous(),
    "to": lambda T, x, y: x.to(T.float32),
    "double": lambda T, x, y: x.float(),
    "detachmul": lambda T, x, y: x.detach() * y,
    "abs": lambda T, x, y: x.abs(),
    "lerp": lambda T, x, y: T.lerp(x, y, 0.3),
    "addcmul": lambda T, x, y: T.addcmul(x, x, y),
    "addcdiv": lambda T, x, y: T.addcdiv(x, x, y, value=0.5),
    "atan2": lambda T, x, y: T.atan2(x, y),
    "fmod": lambda T, x, y: x.fmod(2.0),
    "rem": lambda T, x, y: x.remainder(2.0),
    "erf": lambda T, x, y: x.erf(),
    "lgamma": lambda T, x, y: (x.abs() + 1).lgamma(),
    "trace": lambda T, x, y: x[:, :3].trace(),
    "det": lambda T, x, y: T.linalg.det(x[:, :3]),
    "inv": lambda T, x, y: T.linalg.inv(x[:, :3]),
    "unfold": lambda T, x, y: x.unfold(1, 2, 1),
    "asst": lambda T, x, y: x.as_strided((2, 2), (1, 2)),
    "flatten": lambda T, x, y: x.flatten(),
    "pad": lambda T, x, y: T.nn.functional.pad(x, (1, 1)),
    "linear": lambda T, x, y: T.nn.functional.linear(x, y),
    "linearb": lambda T, x, y: T.nn.functional.linear(x, y, y[:, 0]),
    "mse": lambda T, x, y: T.nn.functional.mse_loss(x, y),
    "gelu": lambda T, x, y: T.nn.functional.gelu(x),
    "silu": lambda T, x, y: T.nn.functional.silu(x),
    "elu": lambda T, x, y: T.nn.functional.elu(x),
    "softplus": lambda T, x, y: T.nn.functional.softplus(x),
    "ln": lambda T, x, y: T.nn.functional.layer_norm(x, (4,)),
    "cdist": lambda T, x, y: T.cdist(x, y),
    "cos": lambda T, x, y: T.nn.functional.cosine_similarity(x, y),
    "kron": lambda T, x, y: T.kron(x, y),
    "cross": lambda T, x, y: T.linalg.cross(x[:, :3], y[:, :3]),
    "round": lambda T, x, y: x.round() + x,
    "floor": lambda T, x, y: x.floor() + x,
    "sign": lambda T, x, y: x.sign() * x,
    "median": lambda T, x, y: x.median(),
    "minmax": lambda T, x, y: x.min(0)[0],
    "logaddexp": lambda T, x, y: T.logaddexp(x, y),
    "hypot": lambda T, x, y: T.hypot(x, y),
    "nan": lambda T, x, y: x.nan_to_num(),
    "movedim": lambda T, x, y: x.movedim(0, 1),
    "swap": lambda T, x, y: x.swapaxes(0, 1),
    "block": lambda T, x, y: T.block_diag(x, y),
    "meshg": lambda T, x, y: T.meshgrid(x[0], y[0], indexing="ij")[0],
    "take": lambda T, x, y: x.take(T.tensor([0, 5])),
    "tk": lambda T, x, y: T.take_along_dim(x, T.tensor([[0], [1], [2]]), 1),
}
#: Nodes that PyTorch splits otherwise: several outputs of one node, or another composition.
OTHER_NAMES = {
    "reshape", "chunk", "split", "unbind", "einsum", "diag", "cos", "kron", "block", "cdist",
}  # fmt: skip
OTHER_INPUTS = {"outer", "linearb", "ln", *OTHER_NAMES}
#: PyTorch cannot differentiate these twice.
ONCE = {"cdist", "abs", "norm1"}


def _run(T: Any, name: str) -> tuple:
    T.manual_seed(0)
    x = T.randn(3, 4, dtype=T.float64, requires_grad=True)
    y = T.randn(3, 4, dtype=T.float64, requires_grad=True)
    z = OPS[name](T, x, y)
    node = z.grad_fn
    inputs = [None if n is None else type(n).__name__ for n, _ in node.next_functions]
    weights = T.arange(1.0, z.numel() + 1, dtype=z.dtype).reshape(z.shape)
    twice = name not in ONCE
    first = T.autograd.grad((z * weights).sum(), [x, y], create_graph=twice, allow_unused=True)
    found = list(first)
    if twice and any(g is not None and g.requires_grad for g in first):
        total = sum((g**2).sum() for g in first if g is not None)
        found += T.autograd.grad(total, [x, y], allow_unused=True)
    zeros = np.zeros((3, 4))
    values = [zeros if g is None else g.detach().numpy() for g in found]
    return type(node).__name__, inputs, values + [zeros] * (4 - len(values))


@pytest.mark.parametrize("name", OPS)
def test_derivatives_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = _run(cresset, name), _run(torch, name)
    if name not in OTHER_NAMES:
        assert ours[0] == theirs[0]
    if name not in OTHER_INPUTS:
        assert ours[1] == theirs[1]
    for a, b in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_known_names() -> None:
    x = cresset.ones(2, requires_grad=True)
    assert repr(type((x + 1).grad_fn).__name__) == "'AddBackward0'"
    (child, _), *rest = (x * 2).exp().grad_fn.next_functions
    assert child.name() == "MulBackward0"
    assert rest == []
    loss = cresset.nn.functional.mse_loss(x, cresset.zeros(2))
    assert str(loss) == "tensor(1., grad_fn=<MseLossBackward0>)"
