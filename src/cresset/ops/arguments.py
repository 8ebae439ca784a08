"""Refusing what is no tensor: ``torch.sum(5)`` in PyTorch's words.

Functions of ``torch.*`` whose first argument must be a tensor are wrapped once, when they are
gathered. Methods are not: there the first argument is a tensor. Nor are the ``HOT`` functions,
which training loops call most and which look at their argument themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from cresset.tensor import Tensor

#: Names that the first parameter has where it must be a tensor.
_FIRST = ("input", "self", "tensor", "A", "L", "y", "x", "M")
#: Functions of any number of tensors, or of one sequence of them.
_ANY_NUMBER = {
    "block_diag", "broadcast_tensors", "cartesian_prod", "meshgrid", "atleast_1d", "atleast_2d",
    "atleast_3d", "column_stack", "hstack", "vstack", "dstack", "row_stack",
}  # fmt: skip
#: Their first operand may be a number.
_TAKE_NUMBERS = {
    "add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide", "pow",
    "floor_divide", "remainder", "float_power", "where", "xlogy", "special_xlogy", "bitwise_and",
    "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "bernoulli_",
    "normal", "tensor", "as_tensor", "bucketize",
}  # fmt: skip
#: Called in every step of a training loop.
HOT = {
    "cat", "stack", "matmul", "mm", "bmm", "addmm", "sum", "mean", "relu", "sqrt", "exp", "log",
    "tanh", "sigmoid", "abs",
}  # fmt: skip
#: Functions with several signatures: PyTorch lists them all.
_SEVERAL = set(
    """
    addmm all any atleast_1d atleast_2d atleast_3d baddbmm bitwise_and bitwise_left_shift
    bitwise_or bitwise_right_shift bitwise_xor bmm bucketize clamp clamp_ clamp_max clamp_max_
    clamp_min clamp_min_ clip clip_ conv1d conv2d conv3d copysign div divide dsplit eq fill fill_
    float_power floor_divide fmod ge greater greater_equal gt hsplit index_fill isin le lerp less
    less_equal linspace logspace lt masked_fill mm moveaxis movedim multiply nanquantile narrow ne
    not_equal pow quantile randint randint_like remainder result_type rsub scatter searchsorted
    std std_mean subtract tensor_split true_divide var var_mean vsplit xlogy xlogy_
    """.split()
)


def refused(
    name: str, given: Any, args: tuple = (), kwargs: dict | None = None, argument: str = "input"
) -> TypeError:
    """The error for ``name(given, ...)`` where ``given`` should be a tensor."""
    if name in _SEVERAL:
        kinds = [_kind(x) for x in (given, *args)]
        kinds += [f"{k}={_kind(x)}" for k, x in (kwargs or {}).items()]
        return TypeError(
            f"{name}() received an invalid combination of arguments - got ({', '.join(kinds)}), "
            "but expected one of:\n * (Tensor input, ...)"
        )
    return TypeError(
        f"{name}(): argument '{argument}' (position 1) must be Tensor, not {type(given).__name__}"
    )


def _kind(x: Any) -> str:
    return "Tensor" if isinstance(x, Tensor) else type(x).__name__


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, which refuses a first argument that is no tensor if it needs one."""
    if name in HOT or name in _TAKE_NUMBERS or not hasattr(function, "__code__"):
        return function
    if name in _ANY_NUMBER:
        return _checked_sequence(name, function)
    code = function.__code__
    if not code.co_argcount or code.co_varnames[0] not in _FIRST:
        return function
    shown = code.co_varnames[0] if code.co_varnames[0] in ("x", "y") else "input"

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args and not isinstance(args[0], Tensor):
            raise refused(name, args[0], args[1:], kwargs, shown)
        return function(*args, **kwargs)

    return call


def _checked_sequence(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        one = len(args) == 1 and isinstance(args[0], (list, tuple))
        for i, x in enumerate(args[0] if one else args):
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
                )
        return function(*args, **kwargs)

    return call
