"""Comparison, logic and bits."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense, like
from cresset.ops.elementwise import (
    binary,
    example,
    is_operand,
    not_implemented,
    pointwise,
    promote_rule,
    unary,
)
from cresset.ops.inplace import into, scalar_name
from cresset.ops.registry import (
    Result,
    Tensor,
    apply,
    broadcast_out,
    common_device,
    result_dtype,
)

_C = (dtypes.COMPLEX,)


def _compare_rule(*specs: Spec) -> Result:
    d = result_dtype(*specs)
    for s in specs:
        # A number that the tensor's integer type cannot hold is compared in a wider type.
        if s.number is not None and s.number > d.category:
            d = dtypes.of_number(s.number)
    return Result((broadcast_out(specs, dtypes.bool_),), d)


def _comparison(name: str, kernel: Any, sign: str, ordered: bool) -> Any:
    op = pointwise(name, kernel, rule=_compare_rule, refuse=_C if ordered else ())
    return binary(
        op,
        f"""Whether ``input {sign} other``, elementwise.

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([1, 2, 3]), 2)
    tensor([{", ".join(str(eval(f"{v} {sign} 2")).rjust(5) for v in (1, 2, 3))}])
    """,
    )


eq = _comparison("eq", lambda xp, a, b: xp.equal(a, b), "==", False)
ne = _comparison("ne", lambda xp, a, b: xp.not_equal(a, b), "!=", False)
lt = _comparison("lt", lambda xp, a, b: xp.less(a, b), "<", True)
le = _comparison("le", lambda xp, a, b: xp.less_equal(a, b), "<=", True)
gt = _comparison("gt", lambda xp, a, b: xp.greater(a, b), ">", True)
ge = _comparison("ge", lambda xp, a, b: xp.greater_equal(a, b), ">=", True)
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def operator_method(function: Any) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        if other is None or not is_operand(other):
            return NotImplemented
        return function(self, other)

    return method


__eq__, __ne__ = operator_method(eq), operator_method(ne)
__lt__, __le__, __gt__, __ge__ = (operator_method(f) for f in (lt, le, gt, ge))


# -- kinds of numbers ------------------------------------------------------------------------------


def _test(name: str, kernel: Any, doc: str) -> Any:
    return unary(pointwise(name, kernel, rule="bool"), doc)


_GIVEN = "torch.tensor([1., float('inf'), float('nan')])"
isnan = _test(
    "isnan", lambda xp, x: xp.isnan(x), "Whether each element is NaN."
    + example(f"torch.isnan({_GIVEN})", "tensor([False, False,  True])"),
)  # fmt: skip
isinf = _test(
    "isinf", lambda xp, x: xp.isinf(x), "Whether each element is infinite."
    + example(f"torch.isinf({_GIVEN})", "tensor([False,  True, False])"),
)  # fmt: skip
isfinite = _test(
    "isfinite", lambda xp, x: xp.isfinite(x), "Whether each element is neither infinite nor NaN."
    + example(f"torch.isfinite({_GIVEN})", "tensor([ True, False, False])"),
)  # fmt: skip


def _infinite(name: str, sign: int) -> Any:
    def rule(s: Spec) -> Result:
        if s.dtype.is_complex:
            raise RuntimeError(f"{name} does not support complex inputs.")
        return Result((like(s, dtypes.bool_),), s.dtype)

    op = pointwise(name, lambda xp, x: x == sign * xp.inf, rule=rule)

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if out is not None and out.dtype is not dtypes.bool_:
            raise RuntimeError(f"{name} does not support non-boolean outputs.")
        return into(out, apply(op, (input,)))

    function.__name__ = function.__qualname__ = name
    word = "inf" if sign > 0 else "-inf"
    function.__doc__ = f"Whether each element is {word}." + example(
        f"torch.{name}(torch.tensor([1., float('{word}')]))", "tensor([False,  True])"
    )
    return function


isposinf, isneginf = _infinite("isposinf", 1), _infinite("isneginf", -1)
isreal = _test(
    "isreal", lambda xp, x: xp.isreal(x), "Whether the imaginary part is zero."
    + example("torch.isreal(torch.tensor([1 + 0j, 1j]))", "tensor([ True, False])"),
)  # fmt: skip


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """``|input - other| <= atol + rtol * |other|``, elementwise.

    >>> import cresset as torch
    >>> torch.isclose(torch.tensor([1., 2.]), torch.tensor([1., 3.]))
    tensor([ True, False])
    """
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{scalar_name(input.dtype)} did not match {scalar_name(other.dtype)}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    return apply(ISCLOSE, (input, other, rtol, atol), (equal_nan,))


def _isclose_infer(a: Spec, b: Spec, rtol: Spec, atol: Spec, equal_nan: bool) -> Result:
    return Result((broadcast_out((a, b), dtypes.bool_),))


def _isclose_kernel(xp: Any, a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    if a.dtype.kind in "iub":
        a, b = a.astype(xp.float64), b.astype(xp.float64)
    close = (a == b) | (
        xp.isfinite(a) & xp.isfinite(b) & (xp.abs(a - b) <= atol + rtol * xp.abs(b))
    )
    return close | (xp.isnan(a) & xp.isnan(b)) if equal_nan else close


ISCLOSE = pointwise("isclose", _isclose_kernel, rule=_isclose_infer)


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close.

    >>> import cresset as torch
    >>> torch.allclose(torch.tensor([1.]), torch.tensor([1. + 1e-9]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())  # type: ignore[attr-defined]


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements.

    >>> import cresset as torch
    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    if not isinstance(other, Tensor):
        raise TypeError(
            f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}"
        )
    if input.shape != other.shape:
        return False
    return bool(eq(input, other).all())


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False,
         invert: bool = False) -> Tensor:  # fmt: skip
    """Whether each element is among ``test_elements`` (one of the two may be a number).

    >>> import cresset as torch
    >>> torch.isin(torch.tensor([1, 2, 3]), torch.tensor([2, 5]))
    tensor([False,  True, False])
    """
    for x, other in ((elements, test_elements), (test_elements, elements)):
        if isinstance(x, Tensor) and x.dtype in (dtypes.bool_, dtypes.complex64, dtypes.complex128):
            raise RuntimeError(
                f"Unsupported input type encountered for isin(): {scalar_name(x.dtype)}"
            )
        if not isinstance(x, Tensor) and not isinstance(other, Tensor):
            raise TypeError("isin(): one of the two arguments must be a Tensor")
    return apply(ISIN, (elements, test_elements), (invert,))


def _isin_rule(a: Spec, b: Spec, invert: bool) -> Result:
    shape = () if a.number is not None else a.shape
    return Result((dense(dtypes.bool_, shape, common_device(a, b)),), result_dtype(a, b))


ISIN = pointwise(
    "isin", lambda xp, a, b, invert: xp.isin(a, b, invert=invert),
    rule=_isin_rule,
)  # fmt: skip


# -- logic -----------------------------------------------------------------------------------------


def _logical(name: str, result: str) -> Any:
    op = pointwise(name, lambda xp, a, b: getattr(xp, name)(a, b), rule="bool")
    doc = f"``{name}`` of the truth (non-zero) of the elements." + example(
        f"torch.{name}(torch.tensor([1, 0]), torch.tensor([1, 1]))", f"tensor([{result}])"
    )
    return binary(op, doc, numbers=False)


logical_and = _logical("logical_and", " True, False")
logical_or = _logical("logical_or", "True, True")
logical_xor = _logical("logical_xor", "False,  True")
logical_not = unary(
    pointwise("logical_not", lambda xp, x: xp.logical_not(x), rule="bool"),
    "True where the element is zero."
    + example("torch.logical_not(torch.tensor([1, 0]))", "tensor([False,  True])"),
)


def _bitwise_rule(name: str) -> Any:
    def rule(*specs: Spec) -> Result:
        result = promote_rule(*specs)
        if result.compute is not None and result.compute.category >= dtypes.FLOAT:
            raise not_implemented(name + "_cpu", result.compute)
        if result.compute is dtypes.bool_ and name.endswith("shift"):
            raise not_implemented(name + "_cpu", result.compute)
        return result

    return rule


def _bitwise(name: str, sign: str, result: int) -> Any:
    op = pointwise(
        name, lambda xp, a, b: getattr(xp, name)(a, b), rule=_bitwise_rule(name),
    )  # fmt: skip
    doc = f"``input {sign} other`` of integers or bools."
    return binary(op, doc + example(f"torch.{name}(torch.tensor([6]), 3)", f"tensor([{result}])"))


bitwise_and = _bitwise("bitwise_and", "&", 2)
bitwise_or = _bitwise("bitwise_or", "|", 7)
bitwise_xor = _bitwise("bitwise_xor", "^", 5)
bitwise_not = unary(
    pointwise("bitwise_not", lambda xp, x: xp.invert(x), rule=_bitwise_rule("bitwise_not")),
    "``~input``: logical not of bools, complement of integers."
    + example("torch.bitwise_not(torch.tensor([0, 5]))", "tensor([-1, -6])"),
    exact_out=True,
)


def _left_kernel(xp: Any, a: Any, b: Any) -> Any:
    array = a if hasattr(a, "dtype") else b
    bits = array.dtype.itemsize * 8
    bad = (xp.asarray(b) < 0) | (xp.asarray(b) >= bits)
    return xp.where(bad, 0, xp.left_shift(a, xp.where(bad, 0, b))).astype(array.dtype)


def _right_kernel(xp: Any, a: Any, b: Any) -> Any:
    array = a if hasattr(a, "dtype") else b
    bits = array.dtype.itemsize * 8
    bad = (xp.asarray(b) < 0) | (xp.asarray(b) >= bits)
    found = xp.right_shift(a, xp.where(bad, bits - 1, b)).astype(array.dtype)
    # All that is left is the sign.
    return xp.where(bad, 0, found).astype(array.dtype) if array.dtype.kind == "u" else found


bitwise_left_shift = binary(
    pointwise("bitwise_left_shift", _left_kernel, rule=_bitwise_rule("lshift")),
    "``input << other``."
    + example("torch.bitwise_left_shift(torch.tensor([3]), 2)", "tensor([12])"),
)
bitwise_right_shift = binary(
    pointwise("bitwise_right_shift", _right_kernel, rule=_bitwise_rule("rshift")),
    "``input >> other``, keeping the sign."
    + example("torch.bitwise_right_shift(torch.tensor([-8]), 1)", "tensor([-4])"),
)
_and, _or, _xor = (operator_method(f) for f in (bitwise_and, bitwise_or, bitwise_xor))
_lshift, _rshift = operator_method(bitwise_left_shift), operator_method(bitwise_right_shift)


def _turned(function: Any) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        return function(other, self) if is_operand(other) else NotImplemented

    return method


_rlshift, _rrshift = _turned(bitwise_left_shift), _turned(bitwise_right_shift)


def _assigning(function: Any) -> Any:
    from cresset.ops.inplace import in_place

    return in_place(function)


_iand, _ior, _ixor, _ilshift, _irshift = (
    _assigning(f)
    for f in (bitwise_and, bitwise_or, bitwise_xor, bitwise_left_shift, bitwise_right_shift)
)

_COMPARE = (
    "eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater",
    "greater_equal",
)  # fmt: skip
_LOGIC = (
    "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or",
    "bitwise_xor", "bitwise_not", "bitwise_left_shift", "bitwise_right_shift",
)  # fmt: skip


def _invert(self: Tensor) -> Tensor:
    """``~self``."""
    if self._spec.dtype.category > dtypes.INT:
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return bitwise_not(self)


TORCH = (
    *_COMPARE, *_LOGIC, "isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", "isclose",
    "allclose", "equal", "isin",
)  # fmt: skip
METHODS = (
    *TORCH[:-1], "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__and__=_and",
    "__rand__=_and", "__or__=_or", "__ror__=_or", "__xor__=_xor", "__rxor__=_xor",
    "__lshift__=_lshift", "__rshift__=_rshift", "__rlshift__=_rlshift", "__rrshift__=_rrshift",
    "__invert__=_invert", "__iand__=_iand", "__ior__=_ior", "__ixor__=_ixor",
    "__ilshift__=_ilshift", "__irshift__=_irshift",
)  # fmt: skip
IN_PLACE = (*_COMPARE, *_LOGIC)
