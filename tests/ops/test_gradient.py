"""Slopes of sampled values, beside PyTorch's."""

from __future__ import annotations

import pytest

import cresset

from .programs import same_program

PROGRAMS = """
t.gradient(t.tensor([1., 4., 9., 16.]))
t.gradient(t.tensor([1., 4., 9., 16.]), edge_order=2)
t.gradient(t.tensor([1., 4., 9., 16.]), spacing=0.5)
t.gradient(t.tensor([1., 4., 9., 16.]), spacing=(t.tensor([0., 1., 3., 4.5]),))
t.gradient(t.tensor([1., 4., 9., 16.]), spacing=(t.tensor([0., 1., 3., 4.5]),), edge_order=2)
t.gradient(t.arange(12.).view(3, 4) ** 2)
t.gradient(t.arange(12.).view(3, 4) ** 2, dim=1)
t.gradient(t.arange(12.).view(3, 4) ** 2, dim=(0, 1), spacing=[2., 0.5])
t.gradient(t.arange(12.).view(3, 4) ** 2, dim=-1, edge_order=2)
t.gradient(t.tensor([1., 2.]))
t.gradient(t.tensor([1.]))
t.gradient(t.tensor([1., 2.]), edge_order=2)
t.gradient(t.tensor([1., 2., 3.]), edge_order=3)
t.gradient(t.tensor([1., 2., 3.]), dim=4)
t.gradient(t.tensor([1., 2., 4.], dtype=t.float64))
x = t.tensor([1., 4., 9.], requires_grad=True); t.gradient(x)[0].sum().backward(); x.grad
""".strip().split("\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_slopes_are_pytorchs(program):
    same_program(program)


def test_a_line_has_one_slope():
    (slope,) = cresset.gradient(cresset.arange(5.0) * 3)
    assert slope.tolist() == [3, 3, 3, 3, 3]
