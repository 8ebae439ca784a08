"""Clipping gradients: PyTorch's norms and factors, and no look at a value."""

from __future__ import annotations

import pytest

import cresset
from cresset.core import graph
from cresset.nn.utils import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)

GRADS = ([3.0, 4.0], [12.0, -1.0])


def parameters(library, *grads):
    made = []
    for g in grads:
        p = library.nn.Parameter(library.zeros(len(g)))
        p.grad = library.tensor(g)
        made.append(p)
    return made


@pytest.mark.parametrize("norm_type", [2.0, 1, 0.5, 3, float("inf"), "inf", -1.0, 0])
@pytest.mark.parametrize("max_norm", [1.0, 100.0, 0.0])
def test_norms_are_clipped_as_in_pytorch(norm_type, max_norm):
    torch = pytest.importorskip("torch")
    results = []
    for library in (cresset, torch):
        ps = parameters(library, *GRADS)
        total = library.nn.utils.clip_grad_norm_(ps, max_norm, norm_type)
        results.append([total.item(), *(v for p in ps for v in p.grad.tolist())])
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_clipping_looks_at_no_value(monkeypatch):
    ps = parameters(cresset, *GRADS)

    def refuse(*args):
        raise AssertionError("a value was looked at")

    with monkeypatch.context() as patch:
        patch.setattr(cresset.Tensor, "item", refuse)
        patch.setattr(cresset.Tensor, "__bool__", refuse)
        patch.setattr(graph, "materialize", refuse)
        total = clip_grad_norm_(ps, 1.0)
        clip_grad_value_(ps, 0.5)
    assert total.item() == pytest.approx(170**0.5)
    assert max(p.grad.abs().max().item() for p in ps) <= 0.5


def test_nonfinite_norms_are_errors_on_request():
    ps = parameters(cresset, [float("nan")])
    assert clip_grad_norm_(ps, 1.0).isnan()
    words = "The total norm of order 2.0 for gradients from `parameters` is non-finite"
    with pytest.raises(RuntimeError, match=words):
        clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)


def test_what_has_no_gradient_is_left_alone():
    p = cresset.nn.Parameter(cresset.ones(1))
    assert clip_grad_norm_([p], 1.0).item() == 0 and p.grad is None
    assert clip_grad_norm_([], 1.0).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        clip_grad_norm_((p for p in []), 1.0)


def test_one_tensor_and_generators_are_taken():
    (p,) = parameters(cresset, [3.0, 4.0])
    assert clip_grad_norm_(p, 1.0).item() == 5
    (p,) = parameters(cresset, [3.0, 4.0])
    assert clip_grad_norm_((q for q in [p]), 1.0).item() == 5
    assert p.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


def test_values_are_clipped():
    ps = parameters(cresset, [3.0, -5.0, 1.0])
    assert clip_grad_value_(ps, 2) is None
    assert ps[0].grad.tolist() == [2, -2, 1]


def test_norm_and_factor_can_be_taken_apart():
    ps = parameters(cresset, *GRADS)
    total = get_total_norm([p.grad for p in ps])
    clip_grads_with_norm_(ps, 1.0, total)
    assert get_total_norm([p.grad for p in ps]).item() == pytest.approx(1, rel=1e-5)


def test_the_old_name_warns():
    with pytest.warns(FutureWarning, match="deprecated in favor of"):
        assert clip_grad_norm(parameters(cresset, [3.0]), 1.0).item() == 3
