"""The elements in another order: flip, roll, rotate, and trade channels for pixels (all copies)."""

from __future__ import annotations

from typing import Any

from cresset.core.spec import Spec, dense
from cresset.ops.registry import Op, Tensor, apply, as_shape, wrap_dim

FLIP = Op(
    "flip", lambda s, dims: dense(s.dtype, s.shape, s.device),
    lambda xp, x, dims: xp.flip(x, dims).copy() if dims else x.copy(), raw=True,
    vjp=(lambda n, g: apply(FLIP, (g,), n.call.params),), family="gather",
)  # fmt: skip


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The order along ``dims`` reversed (a copy).

    >>> import cresset as torch
    >>> torch.flip(torch.tensor([1, 2, 3]), [0])
    tensor([3, 2, 1])
    """
    axes = [wrap_dim(d, input.ndim) for d in as_shape(dims)]
    twice = next((d for d in axes if axes.count(d) > 1), None)
    if twice is not None:
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return apply(FLIP, (input,), (tuple(axes) if input.ndim else (),))


def fliplr(input: Tensor) -> Tensor:
    """The second dimension reversed."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The first dimension reversed."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


ROLL = Op(
    "roll", lambda s, shifts, dims: dense(s.dtype, s.shape, s.device),
    lambda xp, x, shifts, dims: xp.roll(x, shifts, dims), raw=True,
    vjp=(
        lambda n, g: apply(ROLL, (g,), (tuple(-s for s in n.call.params[0]), n.call.params[1])),
    ),
    family="gather",
)  # fmt: skip


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements shifted along ``dims``, re-entering at the other end.

    >>> import cresset as torch
    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    axes = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not steps:
        raise RuntimeError("`shifts` required")
    if not axes and len(steps) == 1:
        # Without dimensions the elements move in row-major order.
        return apply(ROLL, (input,), (steps, None))
    if len(axes) != len(steps):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(axes)}"
        )
    return apply(ROLL, (input,), (steps, tuple([wrap_dim(d, input.ndim) for d in axes])))


ROT90 = Op(
    "rot90", lambda s, k, dims: dense(s.dtype, _turned(s.shape, k, dims), s.device),
    lambda xp, x, k, dims: xp.rot90(x, k, dims).copy(), raw=True, family="gather",
    vjp=(lambda n, g: apply(ROT90, (g,), (-n.call.params[0] % 4, n.call.params[1])),),
)  # fmt: skip


def _turned(shape: Any, k: int, dims: tuple[int, int]) -> tuple[int, ...]:
    new = list(shape)
    if k % 2:
        new[dims[0]], new[dims[1]] = new[dims[1]], new[dims[0]]
    return tuple(new)


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotated by ``k`` quarter turns in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (wrap_dim(d, input.ndim) for d in dims)
    if a == b:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    return apply(ROT90, (input,), (k % 4, (a, b)))


# -- between channels and pixels -------------------------------------------------------------------


def _check_pixels(name: str, x: Spec, factor: int, title: str) -> None:
    if x.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} "
            "dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {title}, but got {factor}")


def _shuffle_infer(x: Spec, r: int) -> Spec:
    _check_pixels("pixel_shuffle", x, r, "upscale_factor")
    *lead, c, h, w = x.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    return dense(x.dtype, (*lead, c // (r * r), h * r, w * r), x.device)


def _unshuffle_infer(x: Spec, r: int) -> Spec:
    _check_pixels("pixel_unshuffle", x, r, "downscale_factor")
    *lead, c, h, w = x.shape
    for name, n, place in (("height", h, -2), ("width", w, -1)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                f"input.size({place})={n} is not divisible by {r}"
            )
    return dense(x.dtype, (*lead, c * r * r, h // r, w // r), x.device)


def _shuffle_kernel(xp: Any, x: Any, r: int) -> Any:
    *lead, c, h, w = x.shape
    parts = x.reshape(-1, c // (r * r), r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return xp.ascontiguousarray(parts).reshape(*lead, c // (r * r), h * r, w * r)


def _unshuffle_kernel(xp: Any, x: Any, r: int) -> Any:
    *lead, c, h, w = x.shape
    parts = x.reshape(-1, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return xp.ascontiguousarray(parts).reshape(*lead, c * r * r, h // r, w // r)


PIXEL_SHUFFLE = Op("pixel_shuffle", _shuffle_infer, _shuffle_kernel, raw=True, family="gather",
                   vjp=(lambda n, g: pixel_unshuffle(g, n.call.params[0]),))  # fmt: skip
PIXEL_UNSHUFFLE = Op("pixel_unshuffle", _unshuffle_infer, _unshuffle_kernel, raw=True,
                     family="gather",
                     vjp=(lambda n, g: pixel_shuffle(g, n.call.params[0]),))  # fmt: skip


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels spread over an r times finer grid: (..., c r r, h, w) to (..., c, h r, w r).

    >>> import cresset as torch
    >>> torch.pixel_shuffle(torch.arange(4).view(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    return apply(PIXEL_SHUFFLE, (input,), (upscale_factor,))


def _channel_infer(x: Spec, groups: int) -> Spec:
    if x.ndim <= 2:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(x.shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if x.shape[1] % groups:
        raise RuntimeError(
            "Number of channels must be divisible by groups. Got "
            f"{x.shape[1]} channels and {groups} groups."
        )
    return dense(x.dtype, x.shape, x.device)


def _channel_kernel(xp: Any, x: Any, groups: int) -> Any:
    n, c, *rest = x.shape
    parts = x.reshape(n, groups, c // groups, *rest).swapaxes(1, 2)
    return xp.ascontiguousarray(parts).reshape(x.shape)


CHANNEL_SHUFFLE = Op(
    "native_channel_shuffle", _channel_infer, _channel_kernel, raw=True, family="gather",
    vjp=(
        lambda n, g: apply(CHANNEL_SHUFFLE, (g,), (g._spec.shape[1] // n.call.params[0],)),
    ),
    grad_name="ChannelShuffleBackward0",
)  # fmt: skip


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels dealt out: of ``groups`` runs the first of each, then the second of each ...

    Shape: (n, c, ...). From ShuffleNet (Zhang et al., 2017).

    >>> import cresset as torch
    >>> torch.channel_shuffle(torch.arange(4).view(1, 4, 1), 2).flatten()
    tensor([0, 2, 1, 3])
    """
    return apply(CHANNEL_SHUFFLE, (input,), (groups,))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of ``pixel_shuffle``: (..., c, h r, w r) to (..., c r r, h, w)."""
    return apply(PIXEL_UNSHUFFLE, (input,), (downscale_factor,))


TORCH = (
    "flip", "fliplr", "flipud", "roll", "rot90", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle",
)  # fmt: skip


METHODS = ("flip", "fliplr", "flipud", "roll", "rot90")
