"""``pad``: a border around a tensor, of one value or repeating what is inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.creation import from_numpy
from cresset.ops.registry import Op, Result, Tensor, apply


def _pad_infer(s: Spec, value: Spec, widths: Any) -> Result:
    shape = tuple(n + a + b for n, (a, b) in zip(s.shape, widths, strict=True))
    if any(n < 0 for n in shape):
        raise RuntimeError("narrow(): length must be non-negative.")
    return Result((dense(s.dtype, shape, s.device),), s.dtype)


def _pad_kernel(xp: Any, x: Any, value: Any, widths: Any) -> Any:
    cut = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)
    )
    grow = [(max(a, 0), max(b, 0)) for a, b in widths]
    return xp.pad(x[cut], grow, constant_values=value)


PAD = Op(
    "constant_pad_nd", _pad_infer, _pad_kernel, family="gather", grad_name="ConstantPadNdBackward0",
    vjp=(
        lambda n, g: apply(PAD, (g, 0), (tuple((-a, -b) for a, b in n.call.params[0]),)), None,
    ),
)  # fmt: skip


def _mirror_infer(s: Spec, widths: Any, mode: str) -> Result:
    shape = tuple(n + a + b for n, (a, b) in zip(s.shape, widths, strict=True))
    for d in reversed(range(s.ndim)):  # the last dimension is checked first
        n, (a, b) = s.shape[d], widths[d]
        if mode == "reflect" and (a >= n or b >= n) and (a or b):
            raise RuntimeError(
                f"Argument #{4 + 2 * (s.ndim - 1 - d)}: Padding size should be less than the "
                f"corresponding input dimension, but got: padding ({a}, {b}) at dimension {d} of "
                f"input {list(s.shape)}"
            )
        if mode == "wrap" and (a > n or b > n):
            raise RuntimeError("Padding value causes wrapping around more than once.")
    return Result((dense(s.dtype, shape, s.device),))


def _mirror_kernel(xp: Any, x: Any, widths: Any, mode: str) -> Any:
    cut = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)
    )
    return xp.pad(x[cut], [(max(a, 0), max(b, 0)) for a, b in widths], mode=mode)


def _mirror_grad(n: Any, g: Tensor) -> Tensor:
    """Add every padded element to the one it repeats, dimension by dimension."""
    widths, mode = n.call.params
    whole = n.call.specs[0].shape
    for d, (size, width) in enumerate(zip(whole, widths, strict=True)):
        if width != (0, 0):
            source = _mirror_kernel(np, np.arange(size), (width,), mode)
            index = from_numpy(source.copy()).to(g.device)  # type: ignore[attr-defined]
            shape = tuple(size if i == d else m for i, m in enumerate(g.shape))
            g = g.new_zeros(shape).index_add(d, index, g)  # type: ignore[attr-defined]
    return g


#: By NumPy's name of the mode and how many dimensions are padded.
MIRROR = {
    (mode, count): Op(f"{title.lower()}_pad{count}d", _mirror_infer, _mirror_kernel, raw=True,
                      vjp=(_mirror_grad,), family="gather",
                      grad_name=f"{title}Pad{count}DBackward0" if mode != "wrap" else "CopySlices")
    for mode, title in (("reflect", "Reflection"), ("edge", "Replication"), ("wrap", "Circular"))
    for count in (1, 2, 3)
}  # fmt: skip
_NUMPY_MODE = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Padding given from the last dimension backwards: (left, right, top, bottom, ...).

    ``mode``: constant (with ``value``), reflect, replicate, circular. Negative widths crop.

    >>> import cresset as torch
    >>> torch.nn.functional.pad(torch.tensor([1., 2.]), (1, 0))
    tensor([0., 1., 2.])
    """
    widths = [int(w) for w in pad]
    if len(widths) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(widths) // 2 > input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(widths)} and input of dimension {input.ndim}"
        )
    pairs = [(0, 0)] * input.ndim
    for i in range(len(widths) // 2):
        pairs[input.ndim - 1 - i] = (widths[2 * i], widths[2 * i + 1])
    if mode == "constant":
        fill = 0 if value is None else value
        if isinstance(fill, float) and input.dtype.category < dtypes.FLOAT:
            fill = int(fill)
        return apply(PAD, (input, fill), (tuple(pairs),))
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    found = _NUMPY_MODE.get(mode)
    if found is None:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    count = len(widths) // 2
    if not (1 <= count <= 3 and input.ndim in (count + 1, count + 2)):
        raise NotImplementedError(
            f"Padding size {len(widths)} is not supported for {input.ndim}D input tensor."
        )
    return apply(MIRROR[found, count], (input,), (tuple(pairs), found))


def constant_pad_nd(input: Tensor, pad_: Any, value: float = 0) -> Tensor:
    """``pad`` with a constant."""
    return pad(input, pad_, "constant", value)


TORCH = ("constant_pad_nd",)
