"""The op table's checks: one ``OpRow`` per op, every claim checked against PyTorch.

A row says how to call an op (the same code runs on ``cresset`` and on ``torch``), which values its
operands take and which shapes it is tried on. From that follow six checks:

values      every dtype: same values, dtype and shape, or the same type of error
layouts     transposed, strided, expanded, empty and 0-dim operands, with PyTorch's output strides
gradients   first and second derivatives in float64 (and complex128), and the grad_fn's name
modes       recorded and eager execution give the same bits
writing     ``op_`` and ``out=``: values, identity, dtypes that do not fit
errors      the calls listed in the row raise PyTorch's type with PyTorch's words

A family's test file is four lines::

    from .harness import cases
    from .table_reduce import ROWS

    @pytest.mark.parametrize(("check", "row"), cases(ROWS))
    def test_agrees_with_pytorch(check, row):
        check(row)

Without PyTorch only ``modes`` can be checked; the rest is skipped.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import cresset
import cresset.nn.functional
from cresset.core import graph
from cresset.core.modes import PROCESS

FLOATS = ("float32", "float64", "float16", "bfloat16")
COMPLEX = ("complex64", "complex128")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
REAL = (*FLOATS, *INTEGERS, "bool")
ALL = (*REAL, *COMPLEX)

#: Relative and absolute tolerance per result dtype: a few units in the last place.
TOLERANCE = {
    "float16": (2e-3, 1e-3), "bfloat16": (1.6e-2, 1e-2), "float32": (2e-5, 2e-6),
    "complex64": (2e-5, 5e-6), "float64": (1e-11, 1e-12), "complex128": (1e-11, 1e-12),
}  # fmt: skip
SPECIAL = (0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1.0, -1.0, 0.5, 2.5)

#: One shape per operand; a scalar operand of the call is written in the row's ``call``.
ELEMENTWISE: dict[int, tuple] = {
    1: (((4, 3),), ((2, 3, 2),), ((0, 3),), ((),)),
    2: (((4, 3), (4, 3)), ((4, 3), (3,)), ((2, 1, 3), (4, 1)), ((0, 3), (1, 3)), ((), (2, 3)),
        ((), ())),
    3: (((4, 3), (4, 3), (4, 3)), ((4, 1), (3,), ()), ((0, 3), (3,), (1, 1))),
}  # fmt: skip

Values = str | Callable[[np.random.Generator, tuple], np.ndarray]


@dataclass(frozen=True)
class OpRow:
    """One op and how to try it.

    ``values`` gives per operand a domain: ``real``, ``positive``, ``unit`` (in (-1, 1)),
    ``nonzero``, ``any`` (real with zeros, infinities and NaN mixed in), ``same`` (the previous
    operand, half of it changed), or a function ``(rng, shape) -> array``. Prefix ``bool:`` or
    ``int:`` keeps that operand bool or int64 whatever the row's dtype (masks, indices).
    """

    name: str
    #: ``call(torch, *tensors)``; by default ``torch.<name>(*tensors)``.
    call: Callable[..., Any] | None = None
    values: tuple[Values, ...] = ("any",)
    #: Tried in ``values``; the first, which must be one the op takes, in all other checks.
    dtypes: tuple[str, ...] = ALL
    shapes: Sequence[tuple] | None = None
    #: Operand layouts to try on each sample of shapes.
    layouts: tuple[str, ...] = ("transposed", "sliced", "expanded")
    strides: bool = True
    #: Dtypes in which gradients are compared; () for ops without a gradient.
    grad: tuple[str, ...] = ("float64",)
    #: Domain of operands in gradient checks, if ``values`` has points without a derivative.
    grad_values: tuple[Values, ...] | None = None
    double: bool = True
    #: Compare the name of the result's ``grad_fn``.
    node: bool = True
    #: The in-place method (``name_`` if True) and whether there is ``out=``.
    in_place: bool | str = False
    out: bool = False
    #: Calls that must fail alike: ``call(torch)``.
    errors: tuple[Callable[[Any], Any], ...] = ()
    #: Multiplies the tolerances.
    slack: float = 1.0

    def run(self, torch: Any, tensors: Sequence[Any]) -> Any:
        if self.call is not None:
            return self.call(torch, *tensors)
        return getattr(torch, self.name)(*tensors)

    def samples(self) -> Sequence[tuple]:
        return ELEMENTWISE[len(self.values)] if self.shapes is None else self.shapes


# -- operands --------------------------------------------------------------------------------------


def _domain(kind: str, rng: np.random.Generator, shape: tuple, last: np.ndarray | None) -> Any:
    x = rng.normal(size=shape) * 2
    if kind == "positive":
        return np.abs(x) + 0.25
    if kind == "unit":
        return np.tanh(x) * 0.95
    if kind == "nonzero":
        return x + np.copysign(0.3, x)
    if kind == "any":
        mixed = np.array(rng.choice(SPECIAL, size=shape))
        return np.where(rng.random(shape) < 0.4, mixed, x)
    if kind == "same" and last is not None:
        return np.where(rng.random(shape) < 0.5, np.broadcast_to(last, shape), x) if (
            np.broadcast_shapes(last.shape, shape) == shape) else x  # fmt: skip
    assert kind in ("real", "same"), kind
    return x


def _array(values: Values, rng: Any, shape: tuple, dtype: str, last: Any) -> tuple[Any, str]:
    """An operand's values (in a wide type that ``dtype`` holds) and its dtype."""
    if callable(values):
        array = np.asarray(values(rng, shape))
        return array, dtype if array.dtype.kind == "f" else str(array.dtype)
    prefix, _, kind = values.rpartition(":")
    dtype = {"bool": "bool", "int": "int64"}.get(prefix, dtype)
    if dtype in COMPLEX:
        # Infinite parts are left out: PyTorch's own results for them differ by vector width.
        re, im = (_domain("real" if kind == "any" else kind, rng, shape, None) for _ in "ri")
        return np.asarray(re + 1j * im), dtype
    x = _domain(kind, rng, shape, last)
    if dtype == "bool":
        return rng.random(shape) < 0.5, dtype
    if dtype in INTEGERS:
        x = np.nan_to_num(x, nan=3, posinf=7, neginf=-7)
        whole = np.array(np.rint(np.clip(x * 2, -9, 9)), np.int64)
        if kind == "nonzero":
            whole[whole == 0] = 2
        return (np.abs(whole) + (kind == "positive") if dtype == "uint8" or kind == "positive"
                else whole), dtype  # fmt: skip
    return np.asarray(x), dtype


def _laid_out(torch: Any, array: np.ndarray, dtype: str, layout: str) -> Any:
    """The array as a tensor whose memory has the given layout."""
    kind = getattr(torch, dtype)
    if layout == "transposed" and array.ndim > 1:
        axes = tuple(range(array.ndim))[::-1]
        return torch.tensor(np.ascontiguousarray(array.transpose(axes))).to(kind).permute(*axes)
    if layout == "sliced" and array.ndim:
        wide = np.repeat(array, 2, axis=-1)
        wide[..., ::2] = 0
        return torch.tensor(wide).to(kind)[..., 1::2]
    if layout == "expanded" and array.ndim and array.shape[0]:
        return torch.tensor(array[:1]).to(kind).expand(array.shape)
    return torch.tensor(array).to(kind)


def _seed(row: OpRow, *more: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr((row.name, *more)).encode()))


def operands(
    row: OpRow, shapes: tuple, dtype: str, layout: str = "contiguous", values: Any = None
) -> list[tuple[np.ndarray, str, str]]:
    """Per operand: values, dtype, layout; repeatable."""
    rng = _seed(row, shapes, dtype)
    made: list[tuple[np.ndarray, str, str]] = []
    for kind, shape in zip(values or row.values, shapes, strict=True):
        last = made[-1][0] if made else None
        array, d = _array(kind, rng, shape, dtype, last)
        made.append((array, d, layout))
    return made


def tensors(torch: Any, given: list[tuple[np.ndarray, str, str]]) -> list[Any]:
    return [_laid_out(torch, *operand) for operand in given]


# -- comparing -------------------------------------------------------------------------------------


def _dtype_name(d: Any) -> str:
    return str(d).removeprefix("torch.")


def flatten(result: Any) -> list[Any]:
    """The tensors and numbers of a result, in order."""
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in flatten(part)]
    return [result]


def _numpy(x: Any) -> np.ndarray:
    x = x.detach()
    if _dtype_name(x.dtype) == "bfloat16":
        x = x.float()
    return np.array(x.numpy(force=True))


def same(ours: Any, theirs: Any, where: str, slack: float = 1.0, strides: bool = False) -> None:
    """Assert that two results agree in structure, dtypes, shapes and values."""
    mine, oracle = flatten(ours), flatten(theirs)
    assert len(mine) == len(oracle), f"{where}: {len(mine)} results, PyTorch gives {len(oracle)}"
    for a, b in zip(mine, oracle, strict=True):
        if b is None or not hasattr(b, "dtype"):
            assert a == b or (a != a and b != b), f"{where}: {a!r}, PyTorch gives {b!r}"
            continue
        name = _dtype_name(b.dtype)
        assert _dtype_name(a.dtype) == name, f"{where}: {a.dtype}, PyTorch gives {b.dtype}"
        assert tuple(a.shape) == tuple(b.shape), f"{where}: {a.shape}, PyTorch gives {b.shape}"
        if strides and b.numel() > 1:
            assert _steps(a) == _steps(b), f"{where}: strides {a.stride()}, PyTorch {b.stride()}"
        rtol, atol = TOLERANCE.get(name, (0.0, 0.0))
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(
                _numpy(a), _numpy(b), rtol=rtol * slack, atol=atol * slack, equal_nan=True,
                err_msg=where,
            )  # fmt: skip


def _steps(x: Any) -> tuple:
    """Strides of the dimensions that have more than one element."""
    return tuple(s for n, s in zip(x.shape, x.stride(), strict=True) if n > 1)


def attempt(function: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """The result (computed to the end) or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function()
            graph.flush()
            return result, None
        except Exception as error:
            return None, error


def same_failure(mine: Exception | None, theirs: Exception | None, where: str,
                 words: bool = False) -> bool:  # fmt: skip
    """Whether both failed; assert that neither failed alone, and that they failed alike."""
    if theirs is None:
        if mine is not None:
            raise AssertionError(f"{where}: PyTorch accepts this") from mine
        return False
    assert mine is not None, f"{where}: PyTorch raises {type(theirs).__name__}: {theirs}"
    assert type(mine) is _ours(type(theirs)), f"{where}: {mine!r}, PyTorch raises {theirs!r}"
    if words:
        assert _first_line(mine) == _first_line(theirs), where
    return True


def _ours(kind: type) -> type:
    """Error classes of PyTorch's own, as Cresset has them."""
    return getattr(cresset, kind.__name__, kind) if kind.__module__.startswith("torch") else kind


def _first_line(error: Exception) -> str:
    """The message without PyTorch's C++ trace and argument listings."""
    return str(error).split("\n")[0].split(" (got ")[0].strip()


def same_outcome(expression: str) -> None:
    """Assert that ``expression`` over ``t``, the library, prints the same or fails alike."""
    torch = pytest.importorskip("torch")
    names = {"nan": float("nan"), "inf": float("inf")}
    ours, mine = attempt(lambda: repr(eval(expression, {"t": cresset, **names})))
    theirs, error = attempt(lambda: repr(eval(expression, {"t": torch, **names})))
    if not same_failure(mine, error, expression, words=True):
        assert ours == theirs, f"{expression}: {ours}, PyTorch prints {theirs}"


@contextmanager
def eager() -> Any:
    """Run every op at once inside the block."""
    before, PROCESS.eager = PROCESS.eager, True
    try:
        yield
    finally:
        PROCESS.eager = before


# -- the checks ------------------------------------------------------------------------------------


def values(row: OpRow) -> None:
    torch = pytest.importorskip("torch")
    for dtype in row.dtypes:
        for shapes in row.samples()[:2]:
            given = operands(row, shapes, dtype)
            where = f"{row.name} {dtype} {shapes}"
            ours, mine = attempt(lambda: row.run(cresset, tensors(cresset, given)))
            theirs, error = attempt(lambda: row.run(torch, tensors(torch, given)))
            if not same_failure(mine, error, where):
                same(ours, theirs, where, row.slack)


def layouts(row: OpRow) -> None:
    torch = pytest.importorskip("torch")
    dtype = row.dtypes[0]
    for shapes in row.samples():
        for layout in ("contiguous", *row.layouts):
            given = operands(row, shapes, dtype, layout)
            where = f"{row.name} {dtype} {shapes} {layout}"
            ours, mine = attempt(lambda: row.run(cresset, tensors(cresset, given)))
            theirs, error = attempt(lambda: row.run(torch, tensors(torch, given)))
            if not same_failure(mine, error, where):
                same(ours, theirs, where, row.slack, _strides_count(row, shapes, layout))


def _strides_count(row: OpRow, shapes: tuple, layout: str) -> bool:
    """Output strides are PyTorch's where operands do not broadcast; else only values count."""
    return row.strides and layout != "expanded" and len({s for s in shapes if s != ()}) == 1


def gradients(row: OpRow) -> None:
    torch = pytest.importorskip("torch")
    for dtype in row.grad:
        for shapes in row.samples():
            given = operands(row, shapes, dtype, "contiguous", row.grad_values)
            where = f"gradient of {row.name} {dtype} {shapes}"
            ours, mine = attempt(lambda: _derivatives(row, cresset, given))
            theirs, error = attempt(lambda: _derivatives(row, torch, given))
            if same_failure(mine, error, where):
                continue
            names, first, second = ours
            if row.node:
                assert names == theirs[0], f"{where}: {names}, PyTorch has {theirs[0]}"
            same(first, theirs[1], where, row.slack * 10)
            same(second, theirs[2], "second " + where, row.slack * 100)


def _derivatives(row: OpRow, torch: Any, given: list) -> tuple[list, list, list]:
    """grad_fn names; gradients of a weighted sum; gradients of a weighted sum of those."""
    leaves = tensors(torch, given)
    leaves = [x.requires_grad_() if x.is_floating_point() or x.is_complex() else x for x in leaves]
    wanted = [x for x in leaves if x.requires_grad]
    outs = [y for y in flatten(row.run(torch, leaves)) if getattr(y, "requires_grad", False)]
    names = [y.grad_fn.name() for y in outs]
    rng = _seed(row, "weights")
    weights = [_weight(torch, rng, y) for y in outs]
    first = torch.autograd.grad(outs, wanted, weights, create_graph=row.double, allow_unused=True)
    # One weight per operand, needed or not: both libraries must draw the same ones.
    pairs = [(g, _weight(torch, rng, x).detach()) for g, x in zip(first, wanted, strict=True)]
    pairs = [(g, w) for g, w in pairs if g is not None and g.requires_grad]
    second: Sequence[Any] = []
    if row.double and pairs:
        second = torch.autograd.grad(
            [g for g, _ in pairs], [*wanted, *weights], [w for _, w in pairs], allow_unused=True
        )
    every = [*wanted, *weights]
    second = second or [None] * len(every)
    return names, _zeros_for_none(torch, first, wanted), _zeros_for_none(torch, second, every)


def _weight(torch: Any, rng: np.random.Generator, like: Any) -> Any:
    array: Any = rng.normal(size=tuple(like.shape))
    if like.is_complex():
        array = array + 1j * rng.normal(size=tuple(like.shape))
    return torch.tensor(np.asarray(array)).to(like.dtype).requires_grad_()


def _zeros_for_none(torch: Any, grads: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    """A gradient that is not there counts as zero: which of the two differs by formula."""
    return [
        torch.zeros_like(x) if g is None else g for g, x in zip(grads, like, strict=True)
    ]  # fmt: skip


def modes(row: OpRow) -> None:
    dtype = row.dtypes[0]
    for shapes in row.samples()[:2]:
        given = operands(row, shapes, dtype, values=row.grad_values)
        recorded = [_bits(x) for x in flatten(row.run(cresset, tensors(cresset, given)))]
        with eager():
            at_once = [_bits(x) for x in flatten(row.run(cresset, tensors(cresset, given)))]
        assert recorded == at_once, f"{row.name}: recorded and eager results differ"


def _bits(x: Any) -> Any:
    return _numpy(x).tobytes() if hasattr(x, "dtype") else x


def writing(row: OpRow) -> None:
    torch = pytest.importorskip("torch")
    shapes = row.samples()[0]
    for dtype in row.dtypes:
        given = operands(row, shapes, dtype)
        where = f"{row.name} {dtype}"
        if row.in_place:
            name = row.in_place if isinstance(row.in_place, str) else row.name + "_"

            def write(torch: Any, name: str = name, given: list = given) -> tuple[Any, Any, Any]:
                x, *rest = tensors(torch, given)
                before = x
                call = row.call or (lambda t, *args: getattr(args[0], name)(*args[1:]))
                if row.call is not None:
                    call = lambda t, *args: row.call(_Writing(t, row.name, name), *args)
                result = call(torch, x, *rest)
                return result, result is before, x._version

            ours, mine = attempt(lambda: write(cresset))
            theirs, error = attempt(lambda: write(torch))
            if not same_failure(mine, error, where + " in place"):
                same(ours, theirs, where + " in place", row.slack)
        # Which of two errors comes first is no claim: ``out`` is tried where the call works.
        if (
            row.out
            and dtype in ("float32", "int64", "bool")
            and attempt(lambda: row.run(torch, tensors(torch, given)))[1] is None
        ):
            for target in ("float32", "int64", "bool"):
                _check_out(row, torch, given, target, f"{where} out={target}")


def _check_out(row: OpRow, torch: Any, given: list, target: str, where: str) -> None:
    def fill(torch: Any) -> Any:
        out = torch.zeros((0,), dtype=getattr(torch, target))
        result = row.run(_Filling(torch, row.name, out), tensors(torch, given))
        return result, result is out

    ours, mine = attempt(lambda: fill(cresset))
    theirs, error = attempt(lambda: fill(torch))
    if not same_failure(mine, error, where):
        same(ours, theirs, where, row.slack)


class _Filling:
    """A stand-in for the torch module whose function ``name`` gets ``out=``."""

    def __init__(self, torch: Any, name: str, out: Any) -> None:
        self._torch, self._name, self._out = torch, name, out

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._torch, name)
        if name != self._name:
            return function
        return lambda *args, **kwargs: function(*args, **kwargs, out=self._out)


class _Writing:
    """A stand-in for the torch module whose function ``name`` is the in-place method."""

    def __init__(self, torch: Any, name: str, method: str) -> None:
        self._torch, self._name, self._method = torch, name, method

    def __getattr__(self, name: str) -> Any:
        if name != self._name:
            return getattr(self._torch, name)
        return lambda x, *args, **kwargs: getattr(x, self._method)(*args, **kwargs)


def errors(row: OpRow) -> None:
    torch = pytest.importorskip("torch")
    for number, call in enumerate(row.errors):
        _, mine = attempt(lambda: call(cresset))
        _, theirs = attempt(lambda: call(torch))
        where = f"{row.name} error {number}"
        assert theirs is not None, f"{where}: PyTorch accepts this"
        same_failure(mine, theirs, where, words=True)


def cases(rows: Sequence[OpRow]) -> list[Any]:
    """``pytest.param``s of (check, row): the checks that apply to each row."""
    found = []
    for row in rows:
        checks = [values, layouts, modes]
        if row.grad:
            checks.append(gradients)
        if row.in_place or row.out:
            checks.append(writing)
        if row.errors:
            checks.append(errors)
        found += [pytest.param(check, row, id=f"{row.name}-{check.__name__}") for check in checks]
    return found
