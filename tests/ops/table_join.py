"""The op table's rows for joining, repeating, reordering, padding and diagonals."""

from __future__ import annotations

from typing import Any

from .harness import ALL, OpRow

BOTH = ("float64", "complex128")
MOVES = ("float32", "bfloat16", "int64", "uint8", "bool", "complex64")
ONE = (((4, 3),), ((2, 3, 2),), ((0, 3),))
TWO = ("any", "any")


def _move(name: str, call: Any, shapes: tuple = ONE, **more: Any) -> OpRow:
    """A row for an op on one tensor that moves elements."""
    return OpRow(name, call, **{"dtypes": MOVES, "shapes": shapes, "strides": False, **more})


def _f(t: Any) -> Any:
    return t.nn.functional


JOIN = [
    OpRow("cat", lambda t, x, y: t.cat([x, y]), values=TWO, dtypes=ALL, grad=BOTH,
          shapes=(((4, 3), (2, 3)), ((3,), (2,)), ((0, 3), (1, 3)), ((0,), (2, 3))), errors=(
              lambda t: t.cat([]),
              lambda t: t.cat([t.ones(2), t.ones(1, 2)]),
              lambda t: t.cat([t.ones(2, 2), t.ones(2, 3)]),
              lambda t: t.cat([t.ones(2, 2), t.ones(3, 3)], 1),
              lambda t: t.cat([t.tensor(1.0), t.tensor(1.0)]),
              lambda t: t.cat([t.ones(2)], 1),
              lambda t: t.cat([t.ones(2), 1]),
          )),
    OpRow("cat_last", lambda t, x, y: (t.cat((x, y, x), -1), t.concat([x, y], dim=1),
          t.concatenate([x, y], axis=1)), values=TWO, shapes=(((2, 3), (2, 1)), ((2, 3), (2, 0))),
          dtypes=MOVES),
    OpRow("cat_promotes", lambda t, x, y: (t.cat([x, y.double()]), t.cat([x, y.to(t.uint8)])),
          values=("real", "positive"), shapes=(((2,), (3,)),), dtypes=("float32", "int32", "bool")),
    OpRow("cat_empty", lambda t, x, y: t.cat([t.zeros(0), x, t.zeros(0), y], 1), values=TWO,
          shapes=(((2, 3), (2, 1)),), dtypes=("float32",)),
    OpRow("stack", lambda t, x, y: (t.stack([x, y]), t.stack((x, y), -1), t.stack([x, y], dim=1)),
          values=TWO, dtypes=ALL, grad=BOTH, strides=False,
          shapes=(((4, 3), (4, 3)), ((2,), (2,)), ((0, 2), (0, 2))), errors=(
              lambda t: t.stack([]),
              lambda t: t.stack([t.ones(2), t.ones(3)]),
              lambda t: t.stack([t.ones(2)], 2),
          )),
    OpRow("stack_0_dim", lambda t, x, y: t.stack([x, y]), values=TWO, shapes=(((), ()),)),
    OpRow("stack_promotes", lambda t, x, y: t.stack([x, y.double()]), values=("real", "real"),
          shapes=(((2,), (2,)),), dtypes=("float32", "int64")),
    OpRow("stack_many", lambda t, x: t.stack([x] * 20, 1), shapes=(((3,),),), dtypes=MOVES,
          layouts=()),
    OpRow("stacks", lambda t, x, y: (t.hstack([x, y]), t.vstack([x, y]), t.dstack([x, y]),
          t.column_stack([x, y]), t.row_stack([x, y])), values=TWO, dtypes=MOVES, node=False,
          shapes=(((2, 3), (2, 3)), ((3,), (3,)), ((), ()), ((2, 3, 2), (2, 3, 2))), strides=False),
    OpRow("splits", lambda t, x: (t.hsplit(x, 2), t.vsplit(x, 2), x.hsplit([1]), x.vsplit([1, 3])),
          shapes=(((4, 2),), ((4, 6, 2),)), dtypes=MOVES, node=False, strides=False, errors=(
              lambda t: t.hsplit(t.ones(2, 3), 2),
              lambda t: t.vsplit(t.ones(3), 2),
              lambda t: t.dsplit(t.ones(3, 2), 2),
              lambda t: t.hsplit(t.tensor(1.0), 2),
          )),
    OpRow("dsplit", lambda t, x: t.dsplit(x, 2), shapes=(((2, 3, 4),),), node=False, grad=()),
    OpRow("atleast", lambda t, x: (t.atleast_1d(x), t.atleast_2d(x), t.atleast_3d(x),
          t.atleast_2d([x, x])), shapes=(((),), ((3,),), ((2, 3),), ((2, 3, 1),)), node=False,
          dtypes=MOVES),
    _move("repeat", lambda t, x: (x.repeat(2, 1), x.repeat(3, 2, 2), x.repeat((1, 0))),
          (((4, 3),), ((3,),), ((),)), errors=(
              lambda t: t.ones(2, 2).repeat(2),
              lambda t: t.ones(2).repeat(-1),
          )),
    _move("tile", lambda t, x: (t.tile(x, (2,)), x.tile(2, 1), x.tile((2, 1, 2))), node=False,
          shapes=(((4, 3),), ((3,),))),
    _move("repeat_interleave", lambda t, x: (t.repeat_interleave(x, 2), x.repeat_interleave(3, 0),
          x.repeat_interleave(t.tensor([1, 0, 2]), dim=1)), (((4, 3),),), node=False, errors=(
              lambda t: t.repeat_interleave(t.ones(3), t.tensor([1, 2])),
              lambda t: t.repeat_interleave(t.ones(3), -1),
              lambda t: t.repeat_interleave(t.ones(3), t.tensor([1.0, 2, 3])),
          )),
    OpRow("repeat_interleave_counts", lambda t, x: t.repeat_interleave(t.tensor([2, 0, 3])),
          shapes=(((1,),),), dtypes=("float32",), grad=()),
    OpRow("broadcast_tensors", lambda t, x, y: t.broadcast_tensors(x + 0, y + 0), values=TWO,
          dtypes=MOVES, node=False, strides=False, errors=(
              lambda t: t.broadcast_tensors(t.ones(2), t.ones(3)),
          )),
    OpRow("broadcast_shapes", lambda t, x: tuple(t.broadcast_shapes((2, 1), (1, 3), (3,))) + tuple(
          t.broadcast_shapes(3, (2, 1))), shapes=(((),),), grad=(), dtypes=("float32",)),
    OpRow("meshgrid", lambda t, x, y: (t.meshgrid(x, y, indexing="ij"),
          t.meshgrid([x, y, x], indexing="xy"), t.meshgrid(x, indexing="xy")), values=TWO,
          shapes=(((3,), (2,)), ((), (2,))), dtypes=MOVES, node=False, strides=False, errors=(
              lambda t: t.meshgrid(t.ones(2), indexing="ab"),
              lambda t: t.meshgrid(t.ones(2), t.ones(2).long(), indexing="ij"),
          )),
    OpRow("cartesian_prod", lambda t, x, y: (t.cartesian_prod(x, y), t.cartesian_prod(x)),
          values=TWO, shapes=(((3,), (2,)),), dtypes=MOVES, node=False, strides=False),
    _move("combinations", lambda t, x: (t.combinations(x), t.combinations(x, 3),
          t.combinations(x, with_replacement=True)), (((4,),),), node=False),
    OpRow("block_diag", lambda t, x, y: (t.block_diag(x, y), t.block_diag(x)), values=TWO,
          shapes=(((2, 3), (1, 2)), ((2,), ())), dtypes=MOVES, node=False, strides=False),
    OpRow("unravel_index", lambda t, i: t.unravel_index(i, (4, 3)), dtypes=("int64",), grad=(),
          values=(lambda rng, shape: rng.integers(0, 12, shape),), shapes=(((5,),), ((2, 2),)),
          strides=False),
    OpRow("cdist", lambda t, x, y: (t.cdist(x, y), t.cdist(x, y, p=1.0)), values=("real", "real"),
          shapes=(((4, 3), (2, 3)), ((2, 4, 3), (2, 2, 3))), dtypes=("float32", "float64"),
          node=False, double=False, strides=False, slack=10),
    OpRow("vander", lambda t, x: (t.vander(x), t.vander(x, 2), t.vander(x, increasing=True)),
          values=("real",), shapes=(((3,),),), dtypes=("float64", "int64"), grad=(),
          strides=False),
]  # fmt: skip

ORDER = [
    _move("flip", lambda t, x: (t.flip(x, [0]), x.flip(0, 1), x.flip(-1), t.flip(x, ())),
          dtypes=ALL, grad=BOTH, errors=(
              lambda t: t.flip(t.ones(2), [1]),
              lambda t: t.flip(t.ones(2), [0, 0]),
          )),
    _move("flips", lambda t, x: (t.fliplr(x), t.flipud(x), x.fliplr()), errors=(
        lambda t: t.fliplr(t.ones(2)),
        lambda t: t.flipud(t.tensor(1.0)),
    )),
    _move("roll", lambda t, x: (t.roll(x, 1), x.roll(-2, 0), x.roll((1, 2), (0, 1)),
          t.roll(x, shifts=5, dims=1)), node=False, grad=BOTH, errors=(
              lambda t: t.roll(t.ones(2, 2), (1, 2), (0,)),
              lambda t: t.roll(t.ones(2), 1, 1),
          )),
    _move("rot90", lambda t, x: (t.rot90(x), x.rot90(2), t.rot90(x, -1), t.rot90(x, 0),
          t.rot90(x, 1, [1, 0])), node=False, errors=(
              lambda t: t.rot90(t.ones(2)),
              lambda t: t.rot90(t.ones(2, 2), 1, [0, 0]),
              lambda t: t.rot90(t.ones(2, 2), 1, [0]),
          )),
    _move("tril", lambda t, x: (t.tril(x), x.tril(1), t.tril(x, -1)), dtypes=ALL, grad=BOTH,
          errors=(lambda t: t.tril(t.ones(2)),)),
    _move("triu", lambda t, x: (t.triu(x), x.triu(1), t.triu(x, diagonal=-1)), dtypes=ALL,
          errors=(lambda t: t.triu(t.ones(2)),)),
    OpRow("tril_", lambda t, x: (x.clone().tril_(), x.clone().triu_(1)), shapes=ONE, dtypes=MOVES,
          strides=False),
    OpRow("triangle_indices", lambda t, x: (t.tril_indices(3, 4), t.triu_indices(4, 3, 1),
          t.tril_indices(2, 2, -3), t.tril_indices(2, 2, dtype=t.int32)), shapes=(((),),),
          dtypes=("float32",), grad=()),
    _move("diag", lambda t, x: (t.diag(x), x.diag(1), t.diag(x, -1)), (((4, 3),), ((3,),)),
          node=False, errors=(lambda t: t.diag(t.ones(2, 2, 2)), lambda t: t.diag(t.tensor(1.0)))),
    _move("diag_embed", lambda t, x: (t.diag_embed(x), x.diag_embed(1), t.diag_embed(x, -1, 0, 2)),
          (((4, 3),), ((2, 3, 2),)), node=False, errors=(
              lambda t: t.diag_embed(t.ones(2), 0, 1, 1),
              lambda t: t.diag_embed(t.ones(2), 0, 0, 3),
          )),
    _move("diagflat", lambda t, x: (t.diagflat(x), x.diagflat(-1)), (((2, 2),), ((),)),
          node=False),
    OpRow("select_scatter", lambda t, x, y: (t.select_scatter(x, y, 0, 1),
          x.select_scatter(y, 0, -1)), values=TWO, shapes=(((4, 3), (3,)),), dtypes=MOVES,
          node=False, strides=False, errors=(
              lambda t: t.select_scatter(t.ones(2, 2), t.ones(3), 0, 0),
              lambda t: t.select_scatter(t.ones(2, 2), t.ones(2), 0, 2),
          )),
    OpRow("slice_scatter", lambda t, x, y: (t.slice_scatter(x, y, 0, 1, 3),
          x.slice_scatter(y, start=-2), t.slice_scatter(x, y, 0, 0, 4, 2)), values=TWO,
          shapes=(((4, 3), (2, 3)),), dtypes=MOVES, node=False, strides=False),
    OpRow("diagonal_scatter", lambda t, x, y: (t.diagonal_scatter(x, y),
          x.diagonal_scatter(y[:2], 1)), values=TWO, shapes=(((4, 3), (3,)),), dtypes=MOVES,
          node=False, strides=False),
]  # fmt: skip

PAD = [
    _move("pad", lambda t, x: (_f(t).pad(x, (1, 2)), _f(t).pad(x, (1, 0, 2, 1)),
          _f(t).pad(x, [-1, 1]), _f(t).pad(x, (1, 1), value=2), _f(t).pad(x, (0, 0))),
          (((4, 3),), ((2, 3, 4),)), dtypes=ALL, grad=BOTH, errors=(
              lambda t: _f(t).pad(t.ones(2, 2), (1,)),
              lambda t: _f(t).pad(t.ones(2), (1, 1, 1, 1)),
              lambda t: _f(t).pad(t.ones(2), (-2, -1)),
              lambda t: _f(t).pad(t.ones(2), (1, 1), mode="mirror"),
              lambda t: _f(t).pad(t.ones(1, 2, 3), (1, 1), mode="reflect", value=1),
              lambda t: _f(t).pad(t.ones(1, 2, 3), (3, 1), mode="reflect"),
              lambda t: _f(t).pad(t.ones(1, 2, 3), (4, 1), mode="circular"),
              lambda t: _f(t).pad(t.ones(3), (1, 1), mode="reflect"),
          )),
    *(
        OpRow(f"pad_{mode}_{len(width) // 2}d", lambda t, x, mode=mode, width=width: _f(t).pad(
              x, width, mode=mode), values=("real",), dtypes=("float32", "bfloat16"), node=False,
              shapes=(((2, 3, 4, 5)[: 2 + len(width) // 2],),), strides=False)
        for mode in ("reflect", "replicate", "circular") for width in ((1, 2), (2, 0, 1, 1))
    ),
    OpRow("pad_3d", lambda t, x: (_f(t).pad(x, (1, 1, 0, 1, 1, 0), mode="reflect"),
          _f(t).pad(x, (1, 1, 2, 1, 1, 0), mode="replicate"),
          _f(t).pad(x, (1, 1, 1, 1, 1, 0), mode="circular")), values=("real",), node=False,
          dtypes=("float32",), shapes=(((1, 2, 2, 3, 2),),), strides=False),
    OpRow("pad_crop", lambda t, x: (_f(t).pad(x, (-1, 2), mode="replicate"),
          _f(t).pad(x, (2, -1), mode="reflect"), _f(t).pad(x, (-1, -1), mode="circular")),
          values=("real",), node=False, dtypes=("float32",), shapes=(((2, 3, 5),),),
          strides=False),
    _move("constant_pad_nd", lambda t, x: t.constant_pad_nd(x, (1, 1), 3)),
    _move("pixel_shuffle", lambda t, x: (t.pixel_shuffle(x, 2), _f(t).pixel_shuffle(x, 1)),
          (((1, 8, 2, 3),), ((4, 1, 2),)), errors=(
              lambda t: t.pixel_shuffle(t.ones(1, 3, 2, 2), 2),
              lambda t: t.pixel_shuffle(t.ones(2, 2), 2),
              lambda t: t.pixel_shuffle(t.ones(1, 4, 2, 2), 0),
          )),
    _move("pixel_unshuffle", lambda t, x: t.pixel_unshuffle(x, 2), (((1, 2, 4, 6),), ((1, 2, 2),)),
          errors=(
              lambda t: t.pixel_unshuffle(t.ones(1, 1, 3, 2), 2),
          )),
]  # fmt: skip


def _stepwise(t: Any, x: Any) -> Any:
    """The in-place methods that change the geometry."""
    y = x.clone()
    results = [y.unsqueeze_(0).clone(), y.squeeze_(0).clone(), y.transpose_(0, 1).clone(),
               y.t_().clone(), y.squeeze_().clone()]  # fmt: skip
    return results


def _resized(t: Any, x: Any) -> Any:
    y = x.clone()
    small = y.resize_(2, 2).clone()
    z = t.zeros(1, dtype=x.dtype).resize_as_(small).fill_(1)
    w = t.zeros(3)
    w.set_(x)
    return small, z, t.tensor(y.shape), w, t.zeros(5).resize_(0)


STORAGE = [
    OpRow("geometry_", _stepwise, shapes=(((4, 3),), ((1, 3),)), dtypes=MOVES, node=False,
          strides=False, errors=(
              lambda t: t.ones(2, 2, 2).t_(),
              lambda t: t.ones(2).unsqueeze_(3),
          )),
    OpRow("resize_", _resized, shapes=(((4, 3),),), dtypes=("float32",), grad=(), strides=False,
          layouts=(), errors=(
              lambda t: t.ones(2, requires_grad=True).resize_(3),
          )),
]  # fmt: skip
