"""How an elementwise op is made: dtype rules, the ``pointwise`` factory, functions, operators.

A pointwise op broadcasts its operands, converts them to one compute dtype, and maps a kernel over
the elements. ``pointwise(name, kernel, vjp, rule=...)`` makes the op; the rules differ in dtypes:

``promote``   operands and result in the promoted dtype (add, maximum)
``float``     as promote, but integers become the default float type (exp, true division)
``same``      unary: the dtype stays (neg, floor)
``bool``      compared in the promoted dtype, result bool (lt, isnan)

Derivatives are one function per operand, ``vjp[i](node, g, *saved)``; the tape sums each gradient
back over broadcast dimensions. ``node.numbers[i]`` is operand i if it was a Python number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset import dtypes
from cresset.dtypes import C_NAMES as C_NAMES
from cresset.ops.inplace import into, scalar_name
from cresset.ops.registry import (
    Op,
    Result,
    Spec,
    Tensor,
    apply,
    broadcast_out,
    result_dtype,
)


def promote_rule(*specs: Spec) -> Result:
    d = result_dtype(*specs)
    return Result((broadcast_out(specs, d),), d)


def float_rule(*specs: Spec) -> Result:
    d = result_dtype(*specs)
    if d.category < dtypes.FLOAT:
        d = dtypes.get_default_dtype()
    return Result((broadcast_out(specs, d),), d)


def bool_rule(*specs: Spec) -> Result:
    return Result((broadcast_out(specs, dtypes.bool_),), result_dtype(*specs))


RULES: dict[str, Callable[..., Result]] = {
    "promote": promote_rule, "float": float_rule, "same": promote_rule, "bool": bool_rule,
}  # fmt: skip


def pointwise(
    name: str,
    kernel: Callable[..., Any],
    vjp: tuple | None = None,
    save: tuple[int, ...] = (),
    *,
    save_if: tuple[int | None, ...] = (),
    rule: str | Callable[..., Result] = "promote",
    refuse: tuple[int, ...] = (),
    label: str | None = None,
    grad_name: str | None = None,
) -> Op:
    """An elementwise op. ``refuse`` lists the dtype categories (bool, complex) it does not take,
    ``label`` is what PyTorch's error calls its kernel then (``name_cpu`` by default)."""
    infer = RULES[rule] if isinstance(rule, str) else rule
    if refuse:
        infer = _refusing(infer, refuse, label or name + "_cpu")
    return Op(
        name, infer, kernel, vjp=vjp, save=save, save_if=save_if, grad_name=grad_name,
        family="pointwise", broadcasts=True,
    )  # fmt: skip


def _refusing(infer: Callable[..., Result], refuse: tuple[int, ...], label: str) -> Callable:
    def checked(*args: Any) -> Result:
        if any(s.dtype.category in refuse for s in args if isinstance(s, Spec)):
            d = result_dtype(*[s for s in args if isinstance(s, Spec)])
            if d.category in refuse:
                raise not_implemented(label, d)
        return infer(*args)

    return checked


def not_implemented(label: str, d: Any) -> NotImplementedError:
    """The error for a dtype that a kernel does not take."""
    return NotImplementedError(f"\"{label}\" not implemented for '{scalar_name(d)}'")


def binary(
    op: Op, doc: str, name: str | None = None, *, with_number: Op | None = None,
    number_first: Op | None = None, numbers: bool = True,
) -> Callable[..., Tensor]:  # fmt: skip
    """The public function of a two-operand op: ``f(input, other, *, out=None)``.

    PyTorch names some nodes by which operand is a number; those are ops of their own here. Without
    ``numbers`` both operands must be tensors.
    """
    title = name or op.name
    when_number, when_first = with_number or op, number_first or op
    one_op = numbers and when_first is op

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if isinstance(other, Tensor):
            chosen = op if one_op or isinstance(input, Tensor) else when_first
            if not numbers and not isinstance(input, Tensor):
                raise wrong_operand(title, input, other, (Tensor,)) or AssertionError
        else:
            chosen = when_number
            if other.__class__.__name__ == "ndarray":
                other = operand(other)
            if not numbers:
                raise wrong_operand(title, input, other, (Tensor,)) or AssertionError
        try:
            result = apply(chosen, (input, other))
        except TypeError as error:
            raise wrong_operand(title, input, other) or error from None
        return result if out is None else into(out, result, input, other)

    function.__name__ = function.__qualname__ = title
    function.__doc__ = doc
    return function


def wrong_operand(
    name: str, input: Any, other: Any, kinds: tuple = (Tensor, bool, int, float, complex)
) -> TypeError | None:
    """PyTorch's words for an operand that is neither a tensor nor a number."""
    for position, (argument, x) in enumerate((("input", input), ("other", other)), 1):
        if not isinstance(x, kinds):
            return TypeError(
                f"{name}(): argument '{argument}' (position {position}) must be Tensor, not "
                f"{type(x).__name__}"
            )
    return None


def not_a_tensor(
    name: str, given: Any, argument: str = "input", position: int = 1
) -> TypeError | AttributeError:
    """The error about an argument that has no ``_spec``: PyTorch's, if it is no tensor."""
    if isinstance(given, Tensor):
        return AttributeError("_spec")
    return TypeError(
        f"{name}(): argument '{argument}' (position {position}) must be Tensor, not "
        f"{type(given).__name__}"
    )


def unary(
    op: Op, doc: str, name: str | None = None, *, exact_out: bool = False
) -> Callable[..., Tensor]:
    """The public function of a one-operand op: ``f(input, *, out=None)``.

    ``exact_out``: the dtype of ``out`` must be the result's, as nothing is computed in between.
    """
    title = name or op.name

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(
                f"{title}(): argument 'input' (position 1) must be Tensor, not "
                f"{type(input).__name__}"
            )
        if exact_out and out is not None and out._spec.dtype is not input._spec.dtype:
            raise RuntimeError(
                f"Found dtype {scalar_name(out._spec.dtype)} but expected "
                f"{scalar_name(input._spec.dtype)}"
            )
        result = apply(op, (input,))
        return result if out is None else into(out, result, input)

    function.__name__ = function.__qualname__ = title
    function.__doc__ = doc
    return function


def into_exactly(out: Tensor | None, result: Tensor) -> Tensor:
    """``out=`` of functions whose output is not converted."""
    if out is not None and out._spec.dtype is not result._spec.dtype:
        raise RuntimeError(
            f"Found dtype {scalar_name(out._spec.dtype)} but expected "
            f"{scalar_name(result._spec.dtype)}"
        )
    return into(out, result)


def into_typed(out: Tensor | None, result: Tensor) -> Tensor:
    """``out=`` of reductions whose output must have the result's dtype."""
    if out is not None and out._spec.dtype is not result._spec.dtype:
        raise RuntimeError(
            f"Expected out tensor to have dtype {C_NAMES[result._spec.dtype.name]}, but got "
            f"{C_NAMES[out._spec.dtype.name]} instead"
        )
    return into(out, result)


def operand(x: Any) -> Any:
    """A NumPy array as a tensor; anything else as it is."""
    from cresset.ops.creation import from_numpy

    return from_numpy(x)


def example(call: str, result: str) -> str:
    """The example at the end of a docstring that is put together."""
    return f"\n\n    >>> import cresset as torch\n    >>> {call}\n    {result}\n    "


# -- Python's operators ----------------------------------------------------------------------------


def reflected_method(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """``other op self`` for Python's reflected operators."""

    def method(self: Tensor, other: Any) -> Any:
        if other.__class__.__name__ == "ndarray":
            other = operand(other)
        elif not is_operand(other):
            return NotImplemented
        return function(other, self)

    return method


def operator_method(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """``self op other``; NotImplemented for what is neither tensor nor number."""

    def method(self: Tensor, other: Any) -> Any:
        if not is_operand(other):
            return NotImplemented
        return function(self, other)

    return method


def is_operand(x: Any) -> bool:
    return isinstance(x, (Tensor, int, float, complex)) or hasattr(x, "__array__")
