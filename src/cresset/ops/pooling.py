"""What all pooling shares: sizes of outputs, windows as slices, checks in PyTorch's words.

A window of size k slides over a dimension by ``stride``. Reference kernels loop over the few
positions inside a window and work on all windows at once.
"""

from __future__ import annotations

import itertools
from typing import Any

from cresset.core.spec import Spec
from cresset.ops.registry import Tensor

#: Indexes all samples and channels; spatial slices are added to it.
PLANES: tuple = (slice(None), slice(None))


def each(value: Any, n: int, name: str, pool: str) -> tuple[int, ...]:
    if value.__class__ is int:
        return (value,) * n
    values = tuple(value)
    if len(values) == 1:
        return values * n
    if len(values) != n:
        count = {1: "one", 2: "two", 3: "three"}[n]
        raise RuntimeError(
            f"{pool}: {name} must either be a single int, or a tuple of {count} ints"
        )
    return values


def pooled_size(n: int, k: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    reach = n + 2 * pad - dilation * (k - 1) - 1
    size = (-(-reach // stride) if ceil else reach // stride) + 1
    if ceil and (size - 1) * stride >= n + pad:
        size -= 1  # the last window must start inside the input or its left padding
    return size


def check_numbers(kernel: Any, stride: Any, pad: Any, dilation: Any, pool: str) -> None:
    """Checks that come before any size is computed."""
    if pool == "max_pool1d":
        for name, (value,) in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
            if value <= 0:
                raise RuntimeError(
                    f"max_pool1d() {name} must be greater than zero, but got {value}"
                )
        if pad[0] < 0:
            raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {pad[0]}")
        if pad[0] > kernel[0] // 2:
            raise RuntimeError(
                "max_pool1d() padding should be at most half of kernel size, but got "
                f"padding={pad[0]} and kernel_size={kernel[0]}"
            )
        return
    axes = "THW"[-max(len(kernel), 2) :]
    for name, letter, values in (("stride", "d", stride), ("kernel size", "k", kernel)):
        if 0 in stride:
            raise RuntimeError("stride should not be zero")
        if min(values) <= 0:
            shown = " ".join(f"{letter}{a}: {v}" for a, v in zip(axes[-len(values) :], values))
            raise RuntimeError(f"{name} should be greater than zero, but got {shown}")
    for p, k in zip(pad, kernel, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > k // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation=1"
            )


def check_window(x: Spec, kernel: Any, out: Any, pool: str) -> None:
    n = len(kernel)
    if any(m == 0 for m in x.shape[1:]):
        raise RuntimeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got:{list(x.shape)}"
        )
    if all(o >= 1 for o in out):
        return
    if pool == "max_pool1d":
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
    if pool == "avg_pool3d":
        have = " ".join(f"{a}: {m}" for a, m in zip("THW", x.shape[2:], strict=True))
        want = " ".join(f"k{a}: {k}" for a, k in zip("THW", kernel, strict=True))
        raise RuntimeError(f"input image ({have}) smaller than kernel size ({want})")
    row = (1,) if n == 1 else ()  # PyTorch pools one dimension as an image of one row
    sizes = "x".join(map(str, (x.shape[1], *row, *x.shape[2:])))
    outs = "x".join(map(str, (x.shape[1], *row, *out)))
    raise RuntimeError(
        f"Given input size: ({sizes}). Calculated output size: ({outs}). Output size is too small"
    )


def windows(kernel: Any, stride: Any, dilation: Any, out: Any) -> Any:
    """Per position in the window: the slices that pick it for all windows of a padded input."""
    for k in itertools.product(*map(range, kernel)):
        yield (Ellipsis, *(
            slice(i * d, i * d + s * (m - 1) + 1, s)
            for i, d, s, m in zip(k, dilation, stride, out, strict=True)
        )), k  # fmt: skip


def reach(out: Any, kernel: Any, stride: Any, dilation: Any) -> list[int]:
    """How much padded input the windows reach over."""
    return [
        s * (m - 1) + d * (k - 1) + 1
        for m, k, s, d in zip(out, kernel, stride, dilation, strict=True)
    ]


def pad_to(xp: Any, x: Any, pad: Any, room: Any, value: Any) -> Any:
    """Pad left by ``pad`` and right so far that every window has a value."""
    spatial = x.shape[2:]
    right = [max(0, r - p - n) for r, p, n in zip(room, pad, spatial, strict=True)]
    if not any(pad) and not any(right):
        return x
    width = ((0, 0), (0, 0), *zip(pad, right, strict=True))
    return xp.pad(x, width, constant_values=value)


def is_single(n: int, x: Tensor, pool: str) -> bool:
    """Whether ``x`` has no batch dimension; RuntimeError if it fits neither way."""
    ndim = len(x._spec.shape)
    if ndim == n + 2:
        return False
    if ndim == n + 1:
        return True
    both = f"{n + 1}D or {n + 2}D"
    if pool == "max_pool1d":
        raise RuntimeError(
            f"max_pool1d: Expected {both} (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got:{list(x.shape)}"
        )
    if n == 1 and "unpool" not in pool:
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {ndim}-dimensional tensor for argument #1 'self' "
            f"(while checking arguments for {pool})"
        )
    if pool.startswith("adaptive"):
        after = "" if "avg" in pool else ":"
        raise RuntimeError(f"{pool}(): Expected {both} tensor, but got{after} {list(x.shape)}")
    if "unpool" in pool:
        raise RuntimeError(
            f"Input to {pool.replace('pool', 'pooling')} should be a {n + 1}d or {n + 2}d Tensor, "
            f"but got a tensor with {ndim} dimensions."
        )
    raise RuntimeError(f"non-empty {both} (batch mode) tensor expected for input")
