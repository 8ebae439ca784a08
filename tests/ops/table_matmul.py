"""The op table's rows for matrix products and contractions."""

from __future__ import annotations

from .harness import ALL, COMPLEX, FLOATS, INTEGERS, OpRow

BOTH = ("float64", "complex128")
NUMBERS = (*FLOATS, *COMPLEX, *INTEGERS)
TWO = ("real", "real")
THREE = ("real", "real", "real")


def _row(name: str, shapes: tuple, call: object = None, **options: object) -> OpRow:
    options.setdefault("values", (TWO, THREE)[len(shapes[0]) - 2])
    options.setdefault("layouts", ("transposed", "sliced"))
    options.setdefault("grad", BOTH)
    options.setdefault("slack", 4)
    return OpRow(name, call, shapes=shapes, **options)


MATRICES = (((4, 3), (3, 5)), ((2, 0), (0, 3)), ((0, 2), (2, 3)))
PRODUCTS = [
    _row("mm", MATRICES, out=True, errors=(
        lambda t: t.mm(t.ones(2, 3), t.ones(2, 3)),
        lambda t: t.mm(1, t.ones(2, 3)),
        lambda t: t.mm(t.ones(2, 3), 2.5),
        lambda t: t.mm(t.ones(2), t.ones(2, 3)),
        lambda t: t.mm(t.ones(2, 3), t.ones(3)),
        lambda t: t.mm(t.ones(2, 3), t.ones(3, 2).double()),
        lambda t: t.mm(t.ones(2, 3).long(), t.ones(3, 2)),
        lambda t: t.mm(t.ones(2, 3), t.ones(3, 2).to(t.complex64)),
        lambda t: t.mm(t.ones(2, 2, dtype=t.bool), t.ones(2, 2, dtype=t.bool)),
    )),
    _row("bmm", (((2, 4, 3), (2, 3, 5)), ((0, 2, 3), (0, 3, 1)), ((2, 1, 0), (2, 0, 2))), errors=(
        lambda t: t.bmm(t.ones(2, 3), t.ones(2, 3)),
        lambda t: t.bmm(t.ones(2, 3, 1), t.ones(2, 3)),
        lambda t: t.bmm(t.ones(2, 3, 1), t.ones(3, 1, 2)),
        lambda t: t.bmm(t.ones(2, 3, 1), t.ones(2, 2, 2)),
        lambda t: t.bmm(t.ones(2, 3, 1), t.ones(2, 1, 2).double()),
    )),
    _row("mv", (((4, 3), (3,)), ((2, 0), (0,)), ((0, 2), (2,))), errors=(
        lambda t: t.mv(t.ones(2, 3), t.ones(2)),
        lambda t: t.mv(t.ones(2), t.ones(2)),
        lambda t: t.mv(t.ones(2, 2), t.ones(2, 2)),
        lambda t: t.mv(t.ones(2, 2), t.ones(2).double()),
    )),
    _row("dot", (((5,), (5,)), ((0,), (0,))), errors=(
        lambda t: t.dot(t.ones(2), t.ones(3)),
        lambda t: t.dot(t.ones(2), True),
        lambda t: t.dot(t.ones(2, 2), t.ones(2)),
        lambda t: t.dot(t.ones(2), t.ones(2).double()),
        lambda t: t.dot(t.ones(2, dtype=t.bool), t.ones(2, dtype=t.bool)),
    )),
    _row("vdot", (((5,), (5,)), ((0,), (0,))), node=False, errors=(
        lambda t: t.vdot(t.ones(2), t.ones(3)),
        lambda t: t.vdot(t.ones(2, 2), t.ones(2)),
        lambda t: t.vdot(t.ones(2), t.ones(2).double()),
    )),
    _row("inner", (((5,), (5,)), ((2, 3), (4, 3)), ((), (2, 3)), ((2, 0), (3, 0))), node=False,
         strides=False, errors=(lambda t: t.inner(t.ones(2), t.ones(3)),)),
    _row("outer", (((4,), (3,)), ((0,), (2,))), node=False, dtypes=ALL, errors=(
        lambda t: t.outer(t.ones(2, 2), t.ones(3)),
        lambda t: t.outer(t.ones(2), t.ones(3, 3)),
    )),
    _row("ger", (((4,), (3,)),), node=False, grad=()),
    *[_row(f"matmul_{len(a)}_{len(b)}_{i}", ((a, b),), lambda t, x, y: t.matmul(x, y),
           node=False, strides=False)
      for i, (a, b) in enumerate((
          ((3,), (3,)), ((4, 3), (3,)), ((3,), (3, 4)), ((4, 3), (3, 2)), ((2, 4, 3), (3,)),
          ((2, 4, 3), (3, 5)), ((3,), (2, 3, 4)), ((4, 3), (2, 3, 5)), ((2, 4, 3), (2, 3, 5)),
          ((2, 1, 4, 3), (5, 3, 2)), ((0, 4, 3), (3, 5)), ((2, 4, 0), (0, 5)),
          ((1, 4, 3), (2, 3, 1)),
      ))],
    OpRow("matmul_operator", lambda t, x, y: x @ y, values=TWO, shapes=(((2, 4, 3), (2, 3, 5)),),
          grad=BOTH, node=False, dtypes=ALL, slack=4, errors=(
              lambda t: t.ones(2) @ t.ones(3),
              lambda t: t.ones(()) @ t.ones(3),
              lambda t: t.ones(2, 3) @ t.ones(2, 3),
              lambda t: t.ones(2, 2, 3) @ t.ones(3, 3, 4),
              lambda t: t.ones(2, 2, 3) @ t.ones(2, 2, 4),
              lambda t: t.ones(2, 2, 3) @ t.ones(2, 2),
              lambda t: t.ones(2, 2, 3) @ t.ones(2),
              lambda t: t.ones(2) @ t.ones(3, 2),
              lambda t: t.ones(2, 3) @ t.ones(2),
              lambda t: t.ones(2) @ t.ones(2, 3, 4),
              lambda t: t.ones(2, 3) @ t.ones(3, 2).double(),
              lambda t: t.ones(2, 3) @ 2.0,
          )),
]  # fmt: skip
SUMS = [
    _row("addmm", (((4, 5), (4, 3), (3, 5)), ((5,), (4, 3), (3, 5)), ((), (2, 0), (0, 3))),
         out=False, in_place=True, errors=(
             lambda t: t.addmm(t.ones(2), t.ones(2, 3), t.ones(2, 3)),
             lambda t: t.addmm(t.ones(3), t.ones(2, 3), t.ones(3, 2)),
             lambda t: t.addmm(t.ones(2), t.ones(3), t.ones(3, 2)),
             lambda t: t.addmm(t.ones(2), t.ones(2, 3), t.ones(3)),
             lambda t: t.addmm(t.ones(2).double(), t.ones(2, 3), t.ones(3, 2)),
             lambda t: t.addmm(t.ones(2), t.ones(2, 3), t.ones(3, 2).double()),
             lambda t: t.addmm(t.ones(2, 2, 2), t.ones(2, 3), t.ones(3, 2)),
             lambda t: t.ones(2, 1).addmm_(t.ones(2, 3), t.ones(3, 2)),
         ), strides=False),
    _row("addmm_scaled", (((4, 5), (4, 3), (3, 5)),),
         lambda t, x, a, b: (t.addmm(x, a, b, beta=2, alpha=3), x.addmm(a, b, beta=0),
                             t.addmm(x, a, b, alpha=-1)), strides=False),
    _row("addmm_of_floats", (((4, 5), (4, 3), (3, 5)),),
         lambda t, x, a, b: t.addmm(x, a, b, beta=0.5, alpha=1.5), strides=False,
         dtypes=(*FLOATS, *COMPLEX, "int64")),
    _row("addmm_nan", (((2, 2), (2, 2), (2, 2)),),
         lambda t, x, a, b: t.addmm(x * float("nan"), a, b, beta=0), dtypes=("float32",), grad=()),
    _row("addmv", (((4,), (4, 3), (3,)), ((), (4, 3), (3,))), in_place=True, errors=(
        lambda t: t.addmv(t.ones(2), t.ones(2, 3), t.ones(2)),
        lambda t: t.addmv(t.ones(3), t.ones(2, 3), t.ones(3)),
        lambda t: t.addmv(t.ones(2), t.ones(3), t.ones(3)),
    ), strides=False),
    _row("addr", (((4, 3), (4,), (3,)), ((3,), (4,), (3,))), in_place=True, errors=(
        lambda t: t.addr(t.ones(2), t.ones(2, 3), t.ones(2)),
        lambda t: t.addr(t.ones(3, 3), t.ones(2), t.ones(3)),
    ), strides=False, dtypes=ALL),
    _row("addbmm", (((4, 5), (2, 4, 3), (2, 3, 5)), ((5,), (2, 4, 3), (2, 3, 5))), in_place=True,
         node=True, errors=(
             lambda t: t.addbmm(t.ones(2), t.ones(2, 3, 1), t.ones(2, 2, 2)),
             lambda t: t.addbmm(t.ones(2), t.ones(3, 1), t.ones(2, 2, 2)),
         ), strides=False),
    _row("baddbmm", (((2, 4, 5), (2, 4, 3), (2, 3, 5)), ((5,), (2, 4, 3), (2, 3, 5))),
         in_place=True, errors=(
             lambda t: t.baddbmm(t.ones(2).double(), t.ones(2, 3, 1), t.ones(2, 1, 2)),
             lambda t: t.baddbmm(t.ones(2), t.ones(2, 3, 1), t.ones(2, 2, 2)),
             lambda t: t.baddbmm(t.ones(2), t.ones(3, 1), t.ones(2, 2, 2)),
             lambda t: t.baddbmm(t.ones(3), t.ones(2, 3, 1), t.ones(2, 1, 2)),
         ), strides=False),
    _row("sums_scaled", (((2, 4, 4), (2, 4, 3), (2, 3, 4)),),
         lambda t, x, a, b: (t.baddbmm(x, a, b, beta=2, alpha=3), t.addbmm(x[0], a, b, beta=2),
                             t.addmv(x[0, 0], a[0], b[0, :, 0], alpha=2, beta=3),
                             t.addr(x[0], a[0, :, 0], b[0, 0], alpha=2, beta=0)), node=False,
         strides=False),
]  # fmt: skip
LINEAR = [
    OpRow("linear", lambda t, x, w, b: t.nn.functional.linear(x, w, b), values=THREE,
          shapes=(((4, 3), (5, 3), (5,)), ((2, 4, 3), (5, 3), (5,)), ((3,), (5, 3), (5,)),
                  ((0, 3), (5, 3), (5,))), layouts=(), grad=BOTH, node=False, slack=4,
          dtypes=(*FLOATS, *COMPLEX), strides=False),
    OpRow("linear_no_bias", lambda t, x, w: t.nn.functional.linear(x, w), values=TWO,
          shapes=(((4, 3), (5, 3)), ((2, 4, 3), (5, 3)), ((3,), (5, 3))), layouts=(), grad=BOTH,
          node=False, slack=4, dtypes=(*FLOATS, *COMPLEX), strides=False),
    OpRow("bilinear", lambda t, x, y, w: t.nn.functional.bilinear(x, y, w), values=THREE,
          shapes=(((4, 3), (4, 2), (5, 3, 2)),), layouts=(), node=False, slack=4, strides=False,
          dtypes=("float32", "float64"), errors=(
              lambda t: t.nn.functional.bilinear(t.ones(2, 3), t.ones(3, 3), t.ones(1, 3, 3)),
              lambda t: t.nn.functional.bilinear(t.ones(2, 3), t.ones(2, 3), t.ones(1, 2, 3)),
              lambda t: t.nn.functional.bilinear(t.ones(2, 3), t.ones(2, 3), t.ones(1, 3, 2)),
          )),
]  # fmt: skip
CONTRACTIONS = [
    _row("tensordot", (((2, 3, 4), (3, 4, 5)), ((2, 0, 4), (0, 4, 5))), node=False, strides=False,
         errors=(
             lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), 1),
             lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), -1),
             lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), 3),
             lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), ([0], [0, 1])),
             lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), ([5], [0])),
             lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3).double(), 2),
         )),
    _row("tensordot_dims", (((2, 3, 4), (4, 3, 5)),),
         lambda t, x, y: (t.tensordot(x, y, ([1, 2], [1, 0])), t.tensordot(x, y, dims=([-2], [1])),
                          t.tensordot(x[0], y, 0)), node=False, strides=False),
    _row("chain_matmul", (((2, 3), (3, 4), (4, 5)),), node=False, strides=False,
         dtypes=("float32", "float64")),
    _row("kron", (((2, 3), (3, 2)), ((2,), (2, 3)), ((), (2,))), node=False, strides=False,
         layouts=(), dtypes=NUMBERS),
    *[OpRow(f"einsum {eq}", lambda t, *xs, eq=eq: t.einsum(eq, *xs), values=("real",) * len(shapes),
            shapes=(shapes,), layouts=("transposed",) if i < 4 else (), grad=BOTH, node=False,
            strides=False, dtypes=("float32", "float64", "complex64", "int64"), slack=4)
      for i, (eq, shapes) in enumerate((
          ("ij,jk->ik", ((2, 3), (3, 4))), ("ij,jk", ((2, 3), (3, 4))), ("ij->ji", ((2, 3),)),
          ("ii", ((3, 3),)), ("ii->i", ((3, 3),)), ("ij->", ((2, 3),)), ("ij->j", ((2, 3),)),
          ("i,j->ij", ((2,), (3,))), ("i,i", ((3,), (3,))),
          ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
          ("...ij,...jk->...ik", ((2, 3, 4), (4, 5))), ("...ij->...ji", ((2, 2, 3),)),
          ("i...->...", ((2, 3, 4),)), ("...", ((2, 3),)), ("...,...", ((2, 3), (3,))),
          ("ij,ij->ij", ((2, 3), (2, 3))), ("bn,anm,bm->ba", ((2, 3), (4, 3, 5), (2, 5))),
          ("iij->j", ((2, 2, 3),)), ("ba", ((2, 3),)), ("ij,kj->ikj", ((2, 3), (4, 3))),
          (" i j , j k -> i k ", ((2, 3), (3, 4))), ("ij,jk->ik", ((2, 1), (3, 4))),
          ("Ab,bC->AC", ((2, 3), (3, 4))), ("aB,Bc", ((2, 3), (3, 4))), (",ij->ij", ((), (2, 3))),
          ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))), ("ij,jk->ik", ((0, 3), (3, 4))),
          ("ij,jk->ik", ((2, 0), (0, 4))), ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))),
          ("i...j,j...->i...", ((2, 5, 3), (3, 5))), ("ij...,jk...->ik...", ((2, 3, 2), (3, 4, 2))),
      ))],
    OpRow("einsum_lists", lambda t, x, y: (t.einsum(x, [0, 1], y, [1, 2], [0, 2]),
                                           t.einsum(x, [0, 1], y, [1, 2]),
                                           t.einsum("ij,jk", [x, y]),
                                           t.einsum(x, [..., 1], y[:, :1], [1, ...])),
          values=TWO, shapes=(((2, 3), (3, 4)),), layouts=(), node=False, strides=False,
          dtypes=("float64",), errors=(
              lambda t: t.einsum("ij", t.ones(2)),
              lambda t: t.einsum("ij", t.ones(2, 2, 2)),
              lambda t: t.einsum("ij,jk", t.ones(2, 2)),
              lambda t: t.einsum("ij", t.ones(2, 2), t.ones(2)),
              lambda t: t.einsum("ij,jk", t.ones(2, 3), t.ones(4, 2)),
              lambda t: t.einsum("ii", t.ones(2, 3)),
              lambda t: t.einsum("ij->k", t.ones(2, 3)),
              lambda t: t.einsum("ij->ii", t.ones(2, 3)),
              lambda t: t.einsum("i1", t.ones(2, 3)),
              lambda t: t.einsum("i.j", t.ones(2, 3)),
              lambda t: t.einsum("...i...", t.ones(2, 3)),
              lambda t: t.einsum("ij->i..", t.ones(2, 3)),
              lambda t: t.einsum("i...j->...i...", t.ones(2, 3)),
              lambda t: t.einsum("i...j", t.ones(2)),
              lambda t: t.einsum("ij"),
              lambda t: t.einsum("ij->i->j", t.ones(2, 2)),
          )),
]  # fmt: skip

ROWS = [*PRODUCTS, *SUMS, *LINEAR, *CONTRACTIONS]
