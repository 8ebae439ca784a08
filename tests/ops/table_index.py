"""The op table's rows for indexing, reading and writing at places, and embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import ALL, COMPLEX, FLOATS, OpRow

BOTH = ("float64", "complex128")
MOVES = ("float32", "bfloat16", "int64", "uint8", "bool", "complex64")
SUMS = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "complex64")


def below(n: int, low: int = 0) -> Callable[[np.random.Generator, tuple], np.ndarray]:
    """Index operands: integers in [low, n)."""
    return lambda rng, shape: rng.integers(low, n, shape)


def distinct(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Different indices along the last dimension."""
    order = rng.permuted(np.broadcast_to(np.arange(5), (*shape[:-1], 5)), axis=-1)
    return np.ascontiguousarray(order[..., : shape[-1]])


def _getitem(name: str, key: Callable[..., Any], operands: int = 1, **more: Any) -> OpRow:
    """A row for ``x[key(torch, *rest)]``, x of shape (4, 3, 5) and indices below 3."""
    values = ("any", *(below(3, -3),) * (operands - 1))
    shapes = [((4, 3, 5), *((2,),) * (operands - 1))]
    more = {"values": values, "shapes": shapes, "dtypes": MOVES, **more}
    return OpRow(name, lambda t, x, *rest: x[key(t, *rest)], **more)


#: Keys of ``x[...]`` for x of shape (4, 3, 5).
KEYS: dict[str, Callable[[Any], Any]] = {
    "int": lambda t: 1,
    "negative": lambda t: -1,
    "slice": lambda t: slice(1, 3),
    "step": lambda t: (slice(None, None, 2), slice(None), slice(1, None, 3)),
    "column": lambda t: (slice(None), 1),
    "ellipsis": lambda t: (..., 2),
    "none": lambda t: (None, 1, None, ..., None),
    "true": lambda t: True,
    "false": lambda t: False,
    "true_and_int": lambda t: (True, 1),
    "list": lambda t: [0, 2],
    "range": lambda t: (range(3), [0, 1, 2]),
    "lists_apart": lambda t: ([0, 1], slice(None), [0, 2]),
    "lists_together": lambda t: (slice(None), [0, 1], [0, 2]),
    "list_and_int": lambda t: (1, slice(None), [0, 2]),
    "int_between": lambda t: ([0, 1], 1, [0, 2]),
    "int_after": lambda t: ([0, 1], slice(None), 1),
    "list_of_bools": lambda t: [True, False, True, False],
    "empty_list": lambda t: [],
    "nested_list": lambda t: [[0, 1], [2, 0]],
    "list_with_slice": lambda t: [slice(0, 2), 1],
    "list_of_tensors": lambda t: [t.tensor([0, 1]), t.tensor([2, 0])],
    "tuple_in_tuple": lambda t: ((0, 2), slice(None), (1, 2)),
    "array": lambda t: np.array([0, 2]),
    "array_mask": lambda t: np.array([True, False, True, False]),
    "numpy_int": lambda t: np.int64(2),
    "zero_dim": lambda t: t.tensor(2),
    "zero_dim_mask": lambda t: t.tensor(True),
    "mask_1d": lambda t: t.tensor([True, False, True, True]),
    "mask_2d": lambda t: t.arange(12).reshape(4, 3) % 2 == 0,
    "mask_3d": lambda t: t.arange(60).reshape(4, 3, 5) % 7 == 0,
    "mask_last": lambda t: (..., t.tensor([True, False, True, True, False])),
    "mask_and_int": lambda t: (t.tensor([True, False, True, True]), 1),
    "mask_and_list": lambda t: (t.tensor([True, False, True, True]), [0, 1, 2]),
    "int32": lambda t: t.tensor([1, 3], dtype=t.int32),
    "matrix": lambda t: t.tensor([[0, 1, 1], [3, 2, -1]]),
    "broadcast": lambda t: (t.tensor([[0], [2]]), t.tensor([0, 1, 2])),
    "with_none": lambda t: (t.tensor([0, 1]), None, slice(1, None), t.tensor([2, 4])),
    "tuple_of_tensors": lambda t: (t.tensor([0, 1]), t.tensor([1, 1]), t.tensor([2, 2])),
    "empty_slice": lambda t: slice(3, 1),
    "everything": lambda t: slice(None),
    "nothing": lambda t: (),
    "dots": lambda t: ...,
}

#: Keys that must fail for x of shape (4, 3, 5), by reading and by writing.
BAD_KEYS: tuple[Callable[[Any], Any], ...] = (
    lambda t: 4,
    lambda t: (0, -4),
    lambda t: (0, 0, 0, 0),
    lambda t: (..., 0, 0, 0, 0),
    lambda t: 1.5,
    lambda t: "a",
    lambda t: (0, {}),
    lambda t: slice(None, None, -1),
    lambda t: t.tensor([0, 4]),
    lambda t: (slice(None), t.tensor([0, -4])),
    lambda t: t.tensor([0.5]),
    lambda t: t.tensor([True, False]),
    lambda t: (slice(None), t.ones(4, 3).bool()),
    lambda t: ([0, 1], [0, 1, 2]),
    lambda t: (0, [0, 1], [0, 1, 2]),
)  # fmt: skip


def _reads() -> tuple[Callable[[Any], Any], ...]:
    return tuple(lambda t, key=key: t.zeros(4, 3, 5)[key(t)] for key in BAD_KEYS)


def _writes() -> tuple[Callable[[Any], Any], ...]:
    def write(t: Any, key: Callable[[Any], Any]) -> Any:
        x = t.zeros(4, 3, 5)
        x[key(t)] = 1
        return x

    return tuple(lambda t, key=key: write(t, key) for key in BAD_KEYS)


def _assigned(t: Any, key: Any, shape: tuple, x: Any, v: Any) -> Any:
    x = x.clone()
    x[key] = v.expand(shape)
    return x


def _set(t: Any, x: Any, key: Any, value: Any) -> Any:
    x = x.clone()
    x[key] = value
    return x


def _wrong_value(t: Any, key: Any, shape: tuple) -> Any:
    return _set(t, t.zeros(4, 3, 5), key, t.zeros(shape))


GETITEM = [
    *(
        OpRow(f"getitem_{name}", lambda t, x, key=key: x[key(t)], dtypes=("float32", "bfloat16"),
              shapes=(((4, 3, 5),),), layouts=("transposed", "sliced"), grad=("float64",),
              node=name not in ("nothing", "dots", "everything"),
              strides=False)
        for name, key in KEYS.items()
    ),
    OpRow("getitem", lambda t, x, i: x[i], values=("any", below(4, -4)), dtypes=ALL,
          shapes=(((4, 3), (5,)), ((4,), (2, 2)), ((4, 2), (0,)), ((4, 0), (3,)), ((4, 2), ())),
          strides=False, grad=BOTH, errors=_reads()),
    OpRow("getitem_two", lambda t, x, i, j: x[i, :, j], values=("any", below(4), below(5)),
          dtypes=MOVES, shapes=(((4, 3, 5), (2,), (3, 1)), ((4, 3, 5), (), (2,))), strides=False),
    OpRow("getitem_0_dim", lambda t, x: (x[...], x[None], x[()], x[True]), shapes=(((),),),
          node=False, errors=(
              lambda t: t.tensor(1.0)[0],
              lambda t: t.tensor(1.0)[:1],
              lambda t: t.tensor(1.0)[0, 0],
          )),
]  # fmt: skip

SETITEM = [
    *(
        OpRow(f"setitem_{name}", lambda t, x, key=key: _set(t, x, key(t), -7),
              dtypes=("float32", "bfloat16", "int64"), shapes=(((4, 3, 5),),), node=False,
              layouts=("transposed",), strides=False)
        for name, key in KEYS.items()
    ),
    *(
        OpRow(f"setitem_tensor_{name}",
              lambda t, x, v, key=key: _set(t, x, key(t), v.sum().reshape(1, 1)),
              values=("real", "real"), dtypes=("float32",), shapes=(((4, 3, 5), (2,)),),
              node=False, layouts=(), strides=False)
        for name, key in KEYS.items() if name not in ("nothing", "zero_dim_mask")
    ),
    OpRow("setitem_mask", lambda t, x, m, v: _set(t, x, m, v), values=("real", "bool:any", "real"),
          dtypes=ALL, shapes=(((4, 3), (4, 3), ()), ((4, 3), (4,), (3,)), ((4,), (4,), (1,))),
          node=False, strides=False),
    OpRow("setitem_values", lambda t, x, i, v: _set(t, x, i, v), values=("any", distinct, "any"),
          dtypes=ALL, shapes=(((5, 3), (2,), (2, 3)), ((5, 3), (4,), (3,)), ((5,), (3,), ())),
          node=False, strides=False, errors=(
              *_writes(),
              lambda t: _wrong_value(t, 0, (2, 5)),
              lambda t: _wrong_value(t, slice(2), (3, 3, 5)),
              lambda t: _wrong_value(t, [0, 1], (3, 3, 5)),
              lambda t: _set(t, t.zeros(3), 0, "a"),
              lambda t: _set(t, t.zeros(3), 0, [1]),
              lambda t: _set(t, t.zeros(3), [0], np.float32(1)),
              lambda t: _set(t, t.zeros(3).long(), [0], t.tensor(1.5)),
              lambda t: _set(t, t.zeros(3), [0, 1], t.zeros(2, 2)),
              lambda t: _set(t, t.zeros(3, 2), t.ones(3, 3).bool(), 1),
              lambda t: _set(t, t.zeros(3, 2), t.ones(3, 2).bool(), t.ones(5)),
              lambda t: _set(t, t.zeros(3, 2), t.ones(3, 2, 1).bool(), 1),
          )),
    OpRow("setitem_cast", lambda t, x, v: (_set(t, x, 0, v[0].double() if x.is_floating_point()
          else v[0].long()), _set(t, x, [0, 1], v.to(x.dtype))), values=("real", "real"),
          dtypes=("float32", "bfloat16", "int64"), shapes=(((2, 3), (2, 3)),), node=False,
          strides=False),
    OpRow("setitem_list", lambda t, x: _set(t, x, slice(0, 2), t.tensor([1, 2, 3])),
          shapes=(((4, 3),),), node=False, strides=False),
    OpRow("index_put", lambda t, x, i, v: x.index_put((i,), v), values=("any", distinct, "any"),
          dtypes=ALL, shapes=(((5, 3), (4,), (4, 3)), ((5,), (2,), (1,))), grad=BOTH,
          strides=False, in_place=False, errors=(
              lambda t: t.zeros(3).index_put((t.tensor([3]),), t.tensor(1.0)),
              lambda t: t.zeros(3).index_put((t.tensor([0]),), t.tensor(1)),
              lambda t: t.zeros(3).index_put((t.tensor([0, 1]),), t.ones(3)),
          )),
    OpRow("index_put_accumulate",
          lambda t, x, i, j, v: x.index_put((i, j), v, accumulate=True),
          values=("real", below(4, -4), below(3), "real"), dtypes=SUMS,
          shapes=(((4, 3), (6,), (6,), (6,)), ((4, 3, 2), (6,), (6,), (6, 2))), grad=BOTH,
          strides=False),
    OpRow("index_put_", lambda t, x, i, v: x.clone().index_put_((i,), v),
          values=("real", distinct, "real"), dtypes=("float32",),
          shapes=(((5, 3), (4,), (4, 3)),), strides=False),
]  # fmt: skip

SAME_DIM = (((4, 3), (2, 3)), ((4, 3), (5, 2)), ((4,), (3,)), ((), ()), ((4, 3), (0, 3)))
SCATTERS = (((5, 4), (4, 3), (4, 3)), ((5,), (3,), (3,)))
UNEVEN = (((5, 4), (2, 3), (4, 4)), ((5, 4), (0, 3), (1, 3)))  # PyTorch has no gradient for these
ROWWISE = (((5, 3), (4,), (4, 3)), ((5,), (2,), (2,)), ((5, 3), (0,), (0, 3)))


def _column_distinct(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Different indices below 5 along the first dimension."""
    return np.ascontiguousarray(np.moveaxis(distinct(rng, (*shape[1:], shape[0])), -1, 0))


GATHER = [
    OpRow("gather", lambda t, x, i: t.gather(x, 0, i), values=("any", below(4)), dtypes=ALL,
          shapes=SAME_DIM[:3] + SAME_DIM[4:], grad=BOTH, out=False, strides=False, errors=(
              lambda t: t.gather(t.zeros(2, 2), 0, t.tensor([0])),
              lambda t: t.gather(t.zeros(2, 2), 0, t.zeros(1, 3).long()),
              lambda t: t.gather(t.zeros(2, 2), 0, t.zeros(1, 2)),
              lambda t: t.gather(t.zeros(2, 2), 0, t.tensor([[2, 0]])),
              lambda t: t.gather(t.zeros(2, 2), 0, t.tensor([[-1, 0]])),
              lambda t: t.gather(t.zeros(2, 2), 2, t.tensor([[0, 0]])),
          )),
    OpRow("gather_0_dim", lambda t, x, i: t.gather(x, 0, i), values=("any", below(1)),
          shapes=(((), ()), ((), (1,)), ((1,), ())), dtypes=MOVES, strides=False),
    OpRow("gather_last", lambda t, x, i: x.gather(-1, i), values=("any", below(3)), dtypes=MOVES,
          shapes=(((4, 3), (4, 6)), ((2, 4, 3), (2, 2, 1))), strides=False),
    OpRow("take_along_dim", lambda t, x, i: t.take_along_dim(x, i, 1), values=("any", below(3)),
          shapes=(((4, 3), (4, 2)), ((4, 3), (1, 2)), ((1, 3), (4, 2))), dtypes=MOVES,
          strides=False),
    OpRow("take_along_dim_flat", lambda t, x, i: t.take_along_dim(x, i), strides=False,
          values=("any", below(12)), shapes=(((4, 3), (2, 3)),), dtypes=MOVES, layouts=()),
    OpRow("scatter", lambda t, x, i, s: t.scatter(x, 0, i, s), dtypes=ALL, shapes=SCATTERS,
          values=("any", _column_distinct, "any"), grad=BOTH, in_place=True, strides=False,
          errors=(
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([0]), t.zeros(1)),
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([[2, 0]]), 1.0),
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0, 0, 0]]), 1.0),
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0, 0]]), t.zeros(1, 1)),
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0, 0]]), t.zeros(1, 2).double()),
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0.0, 0]]), 1.0),
              lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0, 0]]), 1.0, reduce="max"),
          )),
    OpRow("scatter_uneven", lambda t, x, i, s: (x.scatter(0, i, s), x.scatter_add(0, i, s)),
          values=("any", _column_distinct, "real"), dtypes=("float32",), shapes=UNEVEN, grad=(),
          strides=False),
    OpRow("scatter_value", lambda t, x, i: t.scatter(x, 1, i, 3), dtypes=ALL, strides=False,
          values=("any", below(3)), shapes=(((4, 3), (4, 2)),), grad=BOTH),
    OpRow("scatter_value_keyword", lambda t, x, i: x.scatter(1, i, value=2), strides=False,
          values=("any", below(3)), shapes=(((4, 3), (4, 2)),), dtypes=MOVES),
    OpRow("scatter_reduce_keyword", lambda t, x, i, s: (x.scatter(0, i, s, reduce="add"),
          x.scatter(0, i, s, reduce="multiply"), x.scatter(0, i, 2, reduce="add"),
          x.scatter(0, i, 2, reduce="multiply")),
          values=("real", below(5), "real"), shapes=SCATTERS, dtypes=("float32", "int64"), grad=(),
          strides=False),
    OpRow("scatter_add", lambda t, x, i, s: t.scatter_add(x, 0, i, s), dtypes=SUMS, in_place=True,
          values=("real", below(5), "real"), shapes=SCATTERS, grad=BOTH, strides=False, errors=(
              lambda t: t.zeros(2).scatter_add(0, t.tensor([2]), t.ones(1)),
              lambda t: t.zeros(2).scatter_add(0, t.tensor([0]), t.ones(1).double()),
          )),
    *(
        OpRow(f"scatter_reduce_{mode}_{keep}",
              lambda t, x, i, s, mode=mode, keep=keep: t.scatter_reduce(
                  x, 0, i, s, mode, include_self=keep),
              values=("nonzero", below(5), "nonzero"), shapes=SCATTERS,
              dtypes=("float32", "float64", "int64"),
              grad=("float64",), strides=False, double=mode in ("sum", "mean"))
        for mode in ("sum", "prod", "mean", "amax", "amin") for keep in (True, False)
    ),
    OpRow("scatter_reduce_", lambda t, x, i, s: x.clone().scatter_reduce_(0, i, s, "sum"),
          values=("real", below(5), "real"), shapes=SCATTERS[:1], dtypes=("float32",),
          strides=False, errors=(
              lambda t: t.zeros(2).scatter_reduce(0, t.tensor([0]), t.ones(1), "foo"),
          )),
    OpRow("index_select", lambda t, x, i: t.index_select(x, 0, i), values=("any", below(4)),
          dtypes=ALL, shapes=(((4, 3), (5,)), ((4,), (2,)), ((4, 3), (0,)), ((4, 3), ())),
          grad=BOTH, strides=False, errors=(
              lambda t: t.index_select(t.zeros(2, 2), 0, t.tensor([2])),
              lambda t: t.index_select(t.zeros(2, 2), 0, t.tensor([-1])),
              lambda t: t.index_select(t.zeros(2, 2), 0, t.tensor([[0]])),
              lambda t: t.index_select(t.zeros(2, 2), 0, t.tensor([0.0])),
              lambda t: t.index_select(t.zeros(2, 2), 2, t.tensor([0])),
          )),
    OpRow("index_select_last", lambda t, x, i: x.index_select(-1, i.int()), strides=False,
          values=("any", below(3)), shapes=(((4, 3), (5,)),), dtypes=MOVES),
    OpRow("index_add", lambda t, x, i, s: t.index_add(x, 0, i, s), in_place=True, strides=False,
          values=("real", below(5), "real"), shapes=ROWWISE, dtypes=SUMS, grad=BOTH, errors=(
              lambda t: t.zeros(2, 2).index_add(0, t.tensor([2]), t.zeros(1, 2)),
              lambda t: t.zeros(2, 2).index_add(0, t.tensor([0]), t.zeros(2, 2)),
              lambda t: t.zeros(2, 2).index_add(0, t.tensor([0]), t.zeros(1, 2).double()),
              lambda t: t.zeros(2, 2).index_add(0, t.tensor([0]), t.zeros(1, 3)),
          )),
    OpRow("index_add_alpha", lambda t, x, i, s: x.index_add(1, i, s, alpha=2), strides=False,
          values=("real", below(3), "real"), shapes=(((5, 3), (4,), (5, 4)),),
          dtypes=("float32", "int64")),
    OpRow("index_copy", lambda t, x, i, s: t.index_copy(x, 0, i, s), in_place=True, strides=False,
          values=("any", distinct, "any"), shapes=ROWWISE, dtypes=ALL, grad=BOTH, errors=(
              lambda t: t.zeros(2, 2).index_copy(0, t.tensor([2]), t.zeros(1, 2)),
              lambda t: t.zeros(2, 2).index_copy(0, t.tensor([0]), t.zeros(1, 2).double()),
          )),
    OpRow("index_fill", lambda t, x, i: t.index_fill(x, 0, i, 2), in_place=True, strides=False,
          values=("any", below(4)), shapes=(((4, 3), (2,)), ((4,), (0,))), dtypes=ALL, grad=BOTH,
          errors=(
              lambda t: t.zeros(2, 2).index_fill(0, t.tensor([2]), 1),
          )),
    OpRow("index_fill_tensor", lambda t, x, i, v: x.index_fill(0, i, v), strides=False,
          values=("any", below(4), "real"), shapes=(((4, 3), (2,), ()),), dtypes=("float32",),
          node=False),
    OpRow("index_reduce", lambda t, x, i, s: (x.index_reduce(0, i, s, "prod"),
          x.index_reduce(0, i, s, "mean", include_self=False), x.index_reduce(0, i, s, "amax")),
          values=("nonzero", below(5), "nonzero"), shapes=ROWWISE[:2], dtypes=("float32", "int64"),
          strides=False, node=False, double=False),
    OpRow("take", lambda t, x, i: t.take(x, i), values=("any", below(12, -12)),
          shapes=(((4, 3), (2, 3)), ((4, 3), ()), ((4, 3), (0,))), dtypes=MOVES, strides=False,
          errors=(lambda t: t.take(t.zeros(3), t.tensor([3])),)),
    OpRow("put", lambda t, x, i, s: x.clone().put_(i, s), values=("any", distinct, "any"),
          shapes=(((4, 3), (5,), (5,)),), dtypes=MOVES, strides=False, errors=(
              lambda t: t.zeros(2).put_(t.tensor([2]), t.ones(1)),
              lambda t: t.zeros(2).put_(t.tensor([0]), t.ones(2)),
              lambda t: t.zeros(2).put_(t.tensor([0]), t.ones(1).double()),
          )),
    OpRow("put_accumulate", lambda t, x, i, s: x.clone().put_(i, s, accumulate=True),
          values=("real", below(12), "real"), shapes=(((4, 3), (5,), (5,)),),
          dtypes=("float32", "int64"), strides=False),
    OpRow("nonzero", lambda t, x: (t.nonzero(x), x.nonzero(as_tuple=True), t.argwhere(x)),
          shapes=(((4, 3),), ((5,),), ((0, 3),), ((),)), grad=(), strides=False),
    OpRow("masked_select", lambda t, x, m: t.masked_select(x, m), values=("any", "bool:any"),
          shapes=(((4, 3), (4, 3)), ((4, 3), (3,)), ((3,), (4, 1)), ((), ())), strides=False,
          grad=BOTH, errors=(
              lambda t: t.masked_select(t.zeros(2), t.zeros(2)),
              lambda t: t.masked_select(t.zeros(2), t.zeros(3).bool()),
          )),
    OpRow("masked_scatter", lambda t, x, m, s: x.masked_scatter(m, s),
          values=("any", "bool:any", "any"), dtypes=MOVES, in_place=True, strides=False,
          shapes=(((4, 3), (4, 3), (4, 3)), ((4, 3), (3,), (13,))), errors=(
              lambda t: t.zeros(3).masked_scatter(t.ones(3).bool(), t.ones(2)),
              lambda t: t.zeros(3).masked_scatter(t.ones(3).bool(), t.ones(3).double()),
          )),
]  # fmt: skip

EMBEDDING = [
    OpRow("embedding", lambda t, w, i: t.nn.functional.embedding(i, w),
          values=("real", below(6)), dtypes=(*FLOATS, *COMPLEX), strides=False,
          shapes=(((6, 3), (4,)), ((6, 3), (2, 5)), ((6, 3), ())), errors=(
              lambda t: t.nn.functional.embedding(t.tensor([6]), t.zeros(6, 3)),
              lambda t: t.nn.functional.embedding(t.tensor([-1]), t.zeros(6, 3)),
              lambda t: t.nn.functional.embedding(t.tensor([0.5]), t.zeros(6, 3)),
              lambda t: t.nn.functional.embedding(t.tensor([0]), t.zeros(6)),
              lambda t: t.nn.functional.embedding(t.tensor([0]), t.zeros(6, 3), padding_idx=6),
          )),
    OpRow("embedding_padding", lambda t, w, i: t.nn.functional.embedding(i, w, padding_idx=-5),
          values=("real", below(6)), dtypes=("float32",), strides=False,
          shapes=(((6, 3), (14,)), ((6, 3), (2, 9)))),
    OpRow("embedding_freq",
          lambda t, w, i: t.nn.functional.embedding(i, w, scale_grad_by_freq=True),
          values=("real", below(6)), dtypes=("float32",), shapes=(((6, 3), (14,)),), strides=False,
          double=False),
    OpRow("embedding_norm", lambda t, w, i: (w.detach(), t.nn.functional.embedding(
          i, w.detach(), max_norm=1.0))[::-1], values=("real", below(3)), dtypes=("float32",),
          shapes=(((6, 3), (4,)),), grad=(), layouts=(), strides=False),
    *(
        OpRow(f"embedding_bag_{mode}",
              lambda t, w, i, mode=mode: (
                  t.nn.functional.embedding_bag(i.reshape(3, 2), w, mode=mode),
                  t.nn.functional.embedding_bag(i, w, t.tensor([0, 1, 1, 4]), mode=mode),
                  t.nn.functional.embedding_bag(i, w, t.tensor([0, 2, 6]), mode=mode,
                                                include_last_offset=True),
                  t.nn.functional.embedding_bag(i, w, t.tensor([0, 3]), mode=mode,
                                                padding_idx=1)),
              values=("real", below(6)), dtypes=("float32",), shapes=(((6, 3), (6,)),),
              strides=False, node=False, double=False)
        for mode in ("sum", "mean", "max")
    ),
    OpRow("embedding_bag_weights",
          lambda t, w, i, s: t.nn.functional.embedding_bag(
              i, w, t.tensor([0, 2]), mode="sum", per_sample_weights=s),
          values=("real", below(6), "real"), dtypes=("float32",), shapes=(((6, 3), (6,), (6,)),),
          strides=False, node=False, double=False),
    OpRow("one_hot", lambda t, i: (t.nn.functional.one_hot(i), t.nn.functional.one_hot(i, 7)),
          values=(below(6),), dtypes=("int64",), shapes=(((4,),), ((2, 3),), ((),)), grad=(),
          strides=False, errors=(
              lambda t: t.nn.functional.one_hot(t.tensor([-1])),
              lambda t: t.nn.functional.one_hot(t.tensor([3]), 3),
              lambda t: t.nn.functional.one_hot(t.tensor([0.5]), 3),
              lambda t: t.nn.functional.one_hot(t.tensor([], dtype=t.int64)),
          )),
]  # fmt: skip
