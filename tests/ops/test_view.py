"""Views: geometry, shared memory, views of views, gradients and refusals, as in PyTorch.

Each call is tried on several bases, and shows values, shape, strides, offset, whose view it is,
what a write through it does to the base, and the gradient that flows back. Random chains of views
are in ``test_view_programs.py``.
"""

from __future__ import annotations

import pytest

import cresset

from .programs import same_program

BASES = {
    "dense": "t.arange(24.).view(2, 3, 4)",
    "transposed": "t.arange(24.).view(4, 3, 2).permute(2, 1, 0)",
    "sliced": "t.arange(96.).view(4, 4, 6)[1:3, :3, ::2][:, :, :4]",
    "offset": "t.arange(30.)[6:].view(2, 3, 4)",
    "expanded": "t.arange(4.).expand(2, 3, 4)",
    "ones": "t.arange(3.).view(1, 3, 1)",
    "empty": "t.zeros(2, 0, 4)",
    "vector": "t.arange(6.)",
    "scalar": "t.tensor(5.)",
    "matrix": "t.arange(12.).view(3, 4)",
}
CALLS = """
x.view(-1)
x.view(6, 4)
x.view(2, -1)
x.view(3, 2, -1)
x.view(x.shape)
x.view((4, 6))
x.view(4, -1, -1)
x.view(5, 5)
x.view(-2, 12)
x.view(0)
x.view(t.int32)
x.view(t.int16)
x.view(t.float64)
x.view(t.complex64)
x.view_as(t.zeros(4, 6))
x.reshape(-1)
x.reshape(6, 4)
x.reshape(4, 6).reshape(2, 3, 4)
x.reshape(7)
x.reshape([3, -1])
x.reshape_as(t.zeros(24))
x.flatten()
x.flatten(1)
x.flatten(0, 1)
x.flatten(-2, -1)
x.flatten(1, 0)
x.flatten(3)
x.unflatten(0, (1, -1))
x.unflatten(-1, (2, 2))
x.unflatten(1, (2, 2))
x.transpose(0, 1)
x.transpose(0, -1)
x.transpose(0, 5)
x.swapaxes(0, -1)
x.swapdims(0, 0)
x.t()
x.T
x.mT
x.H
x.mH
x.adjoint()
x.permute(2, 0, 1)
x.permute(-1, 0, 1)
x.permute((1, 0, 2))
x.permute(0, 0, 1)
x.permute(0, 1)
x.permute(1, 0)
x.movedim(0, -1)
x.movedim((0, 1), (1, 2))
x.moveaxis(0, 1)
x.narrow(0, 1, 1)
x.narrow(1, 0, 2)
x.narrow(-1, -2, 2)
x.narrow(0, 1, 5)
x.narrow(0, t.tensor(1), 1)
x.select(0, 1)
x.select(1, -1)
x.select(0, 7)
x.select(3, 0)
x[0]
x[-1]
x[1:]
x[:, 1]
x[..., 1]
x[..., ::2]
x[::2, 1:]
x[None]
x[:, None, 1]
x[0, 1, 2]
x[7]
x[0, 0, 0, 0]
x[::-1]
x[5:2]
x[True]
x[...]
x[1:2, ..., 0]
x[slice(None), slice(1, None)]
x[t.tensor(1)]
x.squeeze()
x.squeeze(0)
x.squeeze(-1)
x.squeeze((0, 2))
x.squeeze(9)
x.unsqueeze(0)
x.unsqueeze(1)
x.unsqueeze(-1)
x.unsqueeze(5)
x.expand(2, 3, 4)
x.expand(2, 2, 3, 4)
x.expand(-1, 3, 4)
x.expand(2, 3, 5)
x.expand(3, 4)
x.expand(5, 4)
x.expand(-1, 2, 3, 4)
x.expand_as(t.zeros(2, 3, 4))
x.broadcast_to((2, 3, 4))
t.broadcast_to(x, (5, 1))
x.diagonal()
x.diagonal(1)
x.diagonal(-1, 0, 1)
x.diagonal(0, 1, 2)
x.diagonal(9)
x.diagonal(0, 0, 0)
x.unfold(0, 2, 1)
x.unfold(-1, 2, 2)
x.unfold(1, 3, 1)
x.unfold(0, 9, 1)
x.unfold(0, 1, 0)
x.unfold(0, -1, 1)
x.as_strided((2, 2), (1, 2))
x.as_strided((2,), (1,), 1)
x.as_strided((9, 9), (9, 9))
x.as_strided((2, 2), (1,))
x.as_strided((2,), (-1,))
x.real
x.imag
x.detach()
x.alias() if hasattr(x, 'alias') else x
x.ravel()
x.contiguous()
x.data
t.atleast_1d(x)
t.atleast_2d(x)
t.atleast_3d(x)
x.view(2, 3, 4)[1].t()[1:].diagonal()
x.transpose(0, 1)[1:].select(1, 0).unsqueeze(0)
x.unfold(0, 2, 1)[0].narrow(0, 0, 1)
x.permute(2, 1, 0).view(-1)
x.transpose(0, 1).view(24)
x.expand(2, 3, 4)[0].view(-1)
x.view(3, 8)[:, 1:].as_strided((2, 2), (8, 1))
""".strip().split("\n")
#: Calls that return several views.
SEVERAL = """
x.chunk(2)
x.chunk(2, -1)
x.chunk(5, 1)
x.chunk(0)
x.chunk(2, 7)
x.split(1)
x.split(2, -1)
x.split([1, 1], 0)
x.split([1, 2], 1)
x.split([1, 3], 0)
x.split(0, 1)
x.split(-1)
x.split_with_sizes([1, 1])
x.tensor_split(2)
x.tensor_split(3, -1)
x.tensor_split((1,), 0)
x.tensor_split(t.tensor([1]), 0)
x.tensor_split(0)
x.hsplit(2)
x.vsplit(2)
x.dsplit(2)
x.unbind()
x.unbind(1)
x.unbind(-1)
x.unbind(4)
list(x)
tuple(x.T)
x.unsafe_chunk(2)
x.unsafe_split(1)
t.broadcast_tensors(x, t.zeros(2, 3, 4))
""".strip().split("\n")


#: Where PyTorch's words name another dimension, or the strides are those of a copy.
NOT_COMPARED = {
    ("x[..., 1]", "ones"),
    ("x.expand(-1, 3, 4)", "scalar"),
    ("x.expand(-1, 2, 3, 4)", "scalar"),
} | {("x[True]", name) for name in ("transposed", "sliced", "expanded")}


@pytest.mark.parametrize("call", CALLS)
def test_a_view_has_pytorchs_geometry_and_memory(call):
    # PyTorch counts other dtypes of the same bytes as no views.
    is_view = "" if "view(t." in call else "y._is_view(), y._base is None,"
    for name, base in BASES.items():
        if (call, name) not in NOT_COMPARED:
            same_program(
                f"x = {base}; y = {call}\n"
                f"(y, y.shape, y.stride(), y.storage_offset(), y.is_contiguous(), {is_view}"
                " y.numel() and y.data_ptr() == x.data_ptr())"
            )


@pytest.mark.parametrize("call", CALLS)
def test_a_write_through_a_view_is_seen_by_the_base_and_its_other_views(call):
    if any(part in call for part in ("contiguous", "complex64", "unfold")):
        pytest.skip("the same tensor, other bits, or windows that overlap")
    for name in ("dense", "offset", "matrix", "vector", "ones"):
        if (call, name) in NOT_COMPARED:
            continue
        same_program(
            f"b = {BASES[name]}; x = b; other = b.view(-1)\n"
            f"y = {call}\n"
            "y.mul_(2).add_(1)\n"
            "other[:1] = -3\n"
            "(b, y, other, b._version)"
        )


@pytest.mark.parametrize("call", CALLS)
def test_gradients_flow_back_through_a_view(call):
    if "view(t." in call:
        pytest.skip("other bits")
    for name in ("dense", "transposed", "expanded", "matrix", "vector"):
        same_program(
            f"w = {BASES[name]}.detach().clone().requires_grad_(); x = w * 1; y = {call}\n"
            "g, = t.autograd.grad(y, w, t.arange(1., y.numel() + 1).view(y.shape))\n"
            "(g, y.grad_fn.name())"
        )


@pytest.mark.parametrize("call", SEVERAL)
def test_several_views_at_once(call):
    for base in BASES.values():
        same_program(
            f"x = {base}; ys = {call}\n"
            "(type(ys), [(y, y.stride(), y.storage_offset(), y._is_view()) for y in ys])"
        )


@pytest.mark.parametrize("call", SEVERAL)
def test_gradients_of_several_views(call):
    for name in ("dense", "matrix"):
        same_program(
            f"w = {BASES[name]}.requires_grad_(); x = w * 1; ys = {call}\n"
            "loss = sum((i + 1) * y.sum() for i, y in enumerate(ys))\n"
            "(t.autograd.grad(loss, w), ys[0].grad_fn.name(), [y.output_nr for y in ys])"
        )


PROGRAMS = [
    # dtypes of views
    "t.arange(4, dtype=t.int32).view(t.float32).view(t.int32)",
    "t.tensor([1., -1.]).view(t.int32)",
    "t.zeros(2, 4, dtype=t.uint8).view(t.int32).shape",
    "t.zeros(2, 3, dtype=t.uint8).view(t.int32)",
    "t.zeros(2, 4, dtype=t.int64).view(t.int16).shape",
    "t.zeros(2, 4).t().view(t.int16)",
    "t.zeros(2, 4).t().view(t.float64)",
    "t.tensor(1.).view(t.int16)",
    "x = t.zeros(2, dtype=t.int32); x.view(t.uint8)[0] = 7; x",
    "t.ones(3, 2).view(t.complex64)",
    "t.tensor([1 + 2j]).view(t.float32)",
    "t.view_as_real(t.tensor([1 + 2j, 3j]))",
    "t.view_as_complex(t.arange(4.).view(2, 2))",
    "t.view_as_complex(t.arange(3.))",
    "t.view_as_complex(t.arange(4))",
    "t.view_as_real(t.ones(2))",
    "x = t.zeros(2, dtype=t.complex64); x.real[0] = 3; x.imag[1] = 4; x",
    "x = t.zeros(2, dtype=t.complex64); t.view_as_real(x).add_(1); x",
    # writes
    "x = t.zeros(3, 3); x.diagonal().fill_(1); x",
    "x = t.zeros(3, 3); x.t()[0] = t.arange(3.); x",
    "x = t.zeros(6); x.unfold(0, 2, 2).mul_(0).add_(t.tensor([1., 2.])); x",
    "x = t.zeros(3).expand(2, 3); x.add_(1)",
    "x = t.zeros(3).expand(2, 3); x[0] = 1; x",
    "x = t.zeros(4); y = x[1:3]; z = y[1:]; z.fill_(5); y.add_(1); x",
    "x = t.zeros(4); y = x.view(2, 2); x.add_(1); y.mul_(3); (x, y, x._version)",
    "x = t.arange(4.); x[1:] = x[:-1].clone(); x",
    "x = t.arange(4.); x[:2], x[2:] = x[2:].clone(), x[:2].clone(); x",
    "x = t.arange(6.).view(2, 3); x[0].copy_(x[1]); x",
    "x = t.arange(6.).view(2, 3); x[0], x[1] = x[1], x[0]; x",
    "x = t.zeros(2, 3); x.narrow(1, 0, 2).copy_(t.ones(2)); x",
    "x = t.zeros(2, 3); for_row = [r.fill_(i) for i, r in enumerate(x)]; x",
    "x = t.zeros(4); a, b = x.chunk(2); a.add_(1); b.sub_(1); x",
    "x = t.zeros(4); x.split(2)[1].fill_(3); x",
    "x = t.zeros(2, 2); x.unbind()[0].fill_(3); x",
    "x = t.zeros(2, 2); x.as_strided((2,), (3,)).fill_(1); x",
    "x = t.zeros(2, 3); y = x.reshape(-1); y[0] = 1; x",
    "x = t.zeros(2, 3); y = x.t().reshape(-1); y[0] = 1; x",
    "x = t.zeros(2, 3); y = x.flatten(); y[0] = 1; x",
    "x = t.zeros(2); y = x.detach(); y[0] = 1; (x, x._version, y._version)",
    "x = t.zeros(2); y = x.data; y[0] = 1; (x, x._version, y._version)",
    "x = t.ones(3); v = x[1:]; x.resize_(0); v.shape",
    # autograd
    "x = t.ones(3, requires_grad=True); x[0] = 2; x",
    "x = t.ones(3, requires_grad=True); x[1:].add_(1)",
    "x = t.ones(3, requires_grad=True) * 1; x[1:].mul_(3); (x, t.ones(3).dot(x).grad_fn.name())",
    "w = t.ones(3, requires_grad=True); x = w * 1; v = x[1:]; v.mul_(3);"
    " x.sum().backward(); w.grad",
    "w = t.ones(3, requires_grad=True); x = w * 1; v = x[1:]; x.mul_(3);"
    " v.sum().backward(); w.grad",
    "w = t.ones(2, requires_grad=True); x = t.zeros(4); x[1:3] = w; (x, x.grad_fn.name())",
    "w = t.ones(4, requires_grad=True); a, b = (w * 1).chunk(2); a.add_(1)",
    "w = t.ones(4, requires_grad=True); a, b = (w * 1).unbind()[:2]; a.add_(1)",
    "w = t.ones(4, requires_grad=True)\nwith t.no_grad():\n    w[:2] = 5\n(w, w._version)",
    "x = t.ones(4); v = x[:2]; v.requires_grad_(); (x.requires_grad, v.is_leaf)",
    # functions of shape
    "t.broadcast_shapes((2, 1), (3,), (1, 1, 1))",
    "t.broadcast_shapes((2,), (3,))",
    "t.broadcast_tensors(t.ones(2, 1), t.ones(3))",
    "t.broadcast_tensors(t.ones(2), t.ones(3))",
    "t.squeeze(t.ones(1, 2), dim=0).shape, t.unsqueeze(t.ones(2), dim=1).shape",
    "t.permute(t.ones(2, 3), dims=(1, 0)).shape, t.transpose(t.ones(2, 3), dim0=0, dim1=1).shape",
    "t.narrow(t.arange(4), dim=0, start=1, length=2)",
    "t.select(t.arange(4), dim=0, index=1)",
    "t.flatten(t.ones(2, 3), start_dim=0, end_dim=-1).shape",
    "t.split(t.arange(5), split_size_or_sections=2, dim=0)",
    "t.chunk(input=t.arange(5), chunks=2)",
    "t.t(t.ones(2, 3, 4))",
    "t.ones(2, 3, 4).t()",
    "t.ones(2, 3, 4).T.shape",
    "t.ones(3).mT",
    "t.ones(2, 2, 2).H",
    "t.select_scatter(t.zeros(2, 2), t.ones(2), 0, 1)",
    "t.slice_scatter(t.zeros(4), t.ones(2), 0, 1, 3)",
    "t.diagonal_scatter(t.zeros(2, 2), t.ones(2))",
    "t.as_strided_scatter(t.zeros(4), t.ones(2), (2,), (2,))",
    "t.ones(2, 3, 4, 5).contiguous(memory_format=t.channels_last).stride()",
    "t.ones(2, 3, 4, 5).to(memory_format=t.channels_last).is_contiguous("
    "memory_format=t.channels_last)",
    "t.ones(2, 3, 4, 5).contiguous(memory_format=t.channels_last).view(-1)",
    "t.ones(2, 3).contiguous(memory_format=t.channels_last)",
    "t.zeros(2, 3).view()",
    "t.zeros(2, 3)['a']",
    "t.zeros(2, 3)[1.5]",
    "t.zeros(2, 3)[0:2:0]",
]


#: Arguments of the wrong type or number: the type of error is the same.
WRONG = [
    "t.tensor(1).view(())",
    "t.tensor(1).view(1, 1)",
    "t.zeros(1, 1).view(())",
    "t.zeros(0).view(0, 5).shape",
    "t.zeros(0).view(-1, 0)",
    "t.zeros(2, 0).reshape(0, -1)",
    "t.zeros(2, 3).view('a')",
    "t.zeros(2, 3).view(2.5, 3)",
    "t.zeros(2, 3).view(None)",
    "t.zeros(2, 3).reshape(2.0, 3)",
    "t.zeros(2, 3).permute('a')",
    "t.zeros(2, 3).transpose(0)",
    "t.zeros(2, 3).expand('a')",
    "t.zeros(2, 3).squeeze('a')",
    "t.zeros(2, 3).unsqueeze()",
    "t.zeros(2, 3).chunk(1.5)",
    "t.zeros(2, 3).split('a')",
]


@pytest.mark.parametrize("program", WRONG)
def test_arguments_of_the_wrong_type_are_refused(program):
    same_program(program, words=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_goes_as_in_pytorch(program):
    same_program(program)


def test_a_view_shares_memory_without_a_copy():
    x = cresset.arange(6.0)
    view = x.view(2, 3).t()[1:]
    view.fill_(9)
    assert x.tolist() == [0, 9, 9, 3, 9, 9]
    assert view.data_ptr() == x.data_ptr() + 4
    assert (view.shape, view.stride(), view.storage_offset()) == ((2, 2), (1, 3), 1)


def test_reshape_copies_only_where_it_has_to():
    x = cresset.zeros(2, 3)
    assert x.reshape(6).data_ptr() == x.data_ptr()
    assert x.t().reshape(6).data_ptr() != x.data_ptr()
