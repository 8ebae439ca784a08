"""Products of vectors, and of matrices and vectors, against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


@pytest.mark.parametrize("m, k", [(3, 5), (1, 40), (17, 1), (150, 33), (9, 200)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_and_vectors(m, k, dtype):
    def program():
        a, v, wide = (torch.randn(s, dtype=dtype) for s in ((m, k), (k,), (2 * k,)))
        turned = torch.randn(k, m, dtype=dtype)
        return [a.mv(v), turned.t().mv(v), a.mv(wide[::2]), a[m // 2 :].mv(wide[k:]), v.dot(v + 1),
                v.dot(wide[::2])]  # fmt: skip

    agree(program, 1e-5 if dtype is torch.float32 else 1e-13, 1e-5)


def test_gradients_and_half_types():
    def program():
        a, v = torch.randn(6, 20, requires_grad=True), torch.randn(20, requires_grad=True)
        (a.mv(v).tanh().dot(torch.randn(6))).backward()
        return [a.grad, v.grad]

    agree(program, 1e-5, 1e-5)
    agree(lambda: [torch.ones(4, 300).bfloat16().mv(torch.ones(300).bfloat16())])


def test_a_small_product():
    product = torch.compile(lambda a, v: (a * 2 - a).mv(v + 0).dot(v))
    assert product(torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([1.0, -1])).item() == 0
