"""Resampling images: interpolation, and patches (unfold and fold)."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import scalar_name
from cresset.ops.registry import Op, Tensor, apply
from cresset.ops.resize_bytes import resize_bytes, widened_filter
from cresset.ops.single import single

#: The modes that can be widened for shrinking, and what they are called then.
_WIDENED = {mode: f"{mode}_aa" for mode in ("bilinear", "bicubic", "lanczos")}
#: How many dimensions a mode resizes, where this does not follow from the input.
_DIMENSIONS = {"linear": 1, "bilinear": 2, "bicubic": 2, "lanczos": 2, "trilinear": 3}
#: Indexes all samples and channels; spatial slices are added to it.
_PLANES: tuple = (slice(None), slice(None))


def _source_positions(out: int, size: int, scale: float | None, align: bool, cubic: bool) -> Any:
    """Where each output pixel's centre lies in the input."""
    index = np.arange(out, dtype=np.float64)
    if align:
        return index * ((size - 1) / (out - 1)) if out > 1 else index * 0.0
    ratio = size / out if scale is None else 1.0 / scale
    position = (index + 0.5) * ratio - 0.5
    return position if cubic else np.maximum(position, 0.0)


def _linear_matrix(out: int, size: int, scale: float | None, align: bool) -> np.ndarray:
    """(out, size): each output pixel as a mix of two input pixels."""
    position = _source_positions(out, size, scale, align, False)
    low = np.minimum(np.floor(position).astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = np.clip(position - low, 0.0, 1.0)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out), low), 1 - part)
    np.add.at(matrix, (np.arange(out), high), part)
    return matrix


def _cubic_matrix(out: int, size: int, scale: float | None, align: bool) -> np.ndarray:
    """(out, size): each output pixel as a mix of four input pixels (Keys, 1981, a = -0.75)."""
    a = -0.75
    position = _source_positions(out, size, scale, align, True)
    base = np.floor(position).astype(int)
    t = position - base

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    matrix = np.zeros((out, size))
    for offset, w in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(matrix, (np.arange(out), np.clip(base + offset, 0, size - 1)), w)
    return matrix


def _nearest_matrix(
    out: int, size: int, scale: float | None, exact: bool, dtype: Any
) -> np.ndarray:
    """(out, size): the input pixel of each output pixel; rounded as in PyTorch's arithmetic."""
    real = np.float64 if dtype == np.float64 else np.float32
    ratio = real(size) / real(out) if scale is None else real(1.0 / scale)
    index = np.arange(out).astype(real)
    source = np.floor((index + real(0.5)) * ratio if exact else index * ratio)
    matrix = np.zeros((out, size))
    matrix[np.arange(out), np.minimum(source.astype(int), size - 1)] = 1
    return matrix


def _matrix(
    mode: str, out: int, size: int, scale: float | None, align: bool, dtype: Any
) -> np.ndarray:
    if mode in ("nearest", "nearest-exact"):
        return _nearest_matrix(out, size, scale, mode == "nearest-exact", dtype)
    if mode in _WIDENED.values():
        return _widened_matrix(out, size, scale, align, mode, dtype)
    make = _cubic_matrix if mode == "bicubic" else _linear_matrix
    return make(out, size, scale, align)


def _widened_matrix(
    out: int, size: int, scale: float | None, align: bool, mode: str, dtype: Any
) -> np.ndarray:
    """(out, size): the filter at least as wide as an output pixel. Triangle; Keys' cubic with
    a = -0.5; or Lanczos' window of three: as in Pillow, in the image's precision as in PyTorch."""
    real = np.float64 if dtype == np.float64 else np.float32
    if align:
        step = real(size - 1) / real(out - 1) if out > 1 else real(0)
    else:
        step = real(size) / real(out) if scale is None else real(1 / scale)
    centre = step * (np.arange(out)[:, None] + 0.5).astype(real)
    x = ((np.arange(size) - centre).astype(real) + real(0.5)) / max(step, real(1))
    weights = widened_filter(mode.removesuffix("_aa"), x)
    return weights / weights.sum(axis=1, keepdims=True)


def _apply_matrices(xp: Any, x: Any, matrices: list) -> Any:
    for i, matrix in enumerate(matrices):
        kernel = xp.asarray(matrix, x.dtype)
        x = xp.moveaxis(xp.tensordot(x, kernel, ([2 + i], [1])), -1, 2 + i)
    return x


def _resize_kernel(xp: Any, x: Any, out: Any, mode: str, scales: Any, align: bool) -> Any:
    return _apply_matrices(xp, x, [
        _matrix(mode, m, n, s, align, x.dtype)
        for m, n, s in zip(out, x.shape[2:], scales, strict=True)
    ])  # fmt: skip


def _resize_backward_kernel(xp: Any, g: Any, size: Any, mode: str, scales: Any, align: bool) -> Any:
    return _apply_matrices(xp, g, [
        _matrix(mode, m, n, s, align, g.dtype).T
        for m, n, s in zip(g.shape[2:], size, scales, strict=True)
    ])  # fmt: skip


def _resized(s: Any, size: Any, *rest: Any) -> Any:
    return dense(s.dtype, (*s.shape[:2], *size), s.device)


def _resize_op(title: str) -> Op:
    return Op(
        "upsample", _resized, _resize_kernel, grad_name=f"Upsample{title}Backward0",
        vjp=(
            lambda n, g: apply(
                RESIZE_BACKWARD, (g,), (tuple(n.call.specs[0].shape[2:]), *n.call.params[1:])
            ),
        ),
    )  # fmt: skip


#: By mode and how many dimensions are resized.
RESIZE = {
    (mode, n): _resize_op(f"{title}{n}D{'Aa' * mode.endswith('_aa')}")
    for mode, title, dims in (
        ("nearest", "Nearest", (1, 2, 3)), ("nearest-exact", "NearestExact", (1, 2, 3)),
        ("linear", "Linear", (1,)), ("bilinear", "Bilinear", (2,)), ("bicubic", "Bicubic", (2,)),
        ("trilinear", "Trilinear", (3,)), ("bilinear_aa", "Bilinear", (2,)),
        ("bicubic_aa", "Bicubic", (2,)), ("lanczos_aa", "Lanczos", (2,)),
    )
    for n in dims
}  # fmt: skip
RESIZE_BACKWARD = Op(
    "upsample_backward", _resized, _resize_backward_kernel,
    vjp=(
        lambda n, h: apply(
            RESIZE[n.call.params[1], h.ndim - 2], (h,),
            (tuple(n.call.specs[0].shape[2:]), *n.call.params[1:]),
        ),
    ),
)  # fmt: skip


def _unknown_mode(x: Tensor, mode: str) -> NotImplementedError:
    return NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {x.ndim}D) for the modes: "
        "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got "
        f"{mode})"
    )


def _check_resize(x: Spec, out: Any, mode: str) -> None:
    sizes = x.shape[2:]
    if min(*sizes, *out) <= 0:
        axes = "DHW"[-len(sizes) :]
        have = ", ".join(f"{a}: {m}" for a, m in zip(axes, sizes, strict=True))
        want = ", ".join(f"{a}: {m}" for a, m in zip(axes, out, strict=True))
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input "
            f"({have}) and output ({want})"
        )
    if x.dtype.category < dtypes.FLOAT and x.dtype is not dtypes.uint8:
        word = (
            "nearest" if mode.startswith("nearest") else "cubic" if mode == "bicubic" else "linear"
        )
        raise NotImplementedError(
            f"\"compute_indices_weights_{word}\" not implemented for '{scalar_name(x.dtype)}'"
        )


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Resize (n, c, ...) to ``size`` or by ``scale_factor``.

    ``mode``: nearest, nearest-exact, linear (3D input), bilinear and bicubic (4D), trilinear (5D),
    area; lanczos (4D) with ``antialias``, which widens the filter where an image shrinks.

    >>> import cresset as torch
    >>> torch.nn.functional.interpolate(torch.tensor([[[1., 2.]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    n = input.ndim - 2
    if n not in (1, 2, 3):
        raise _unknown_mode(input, mode)
    if align_corners is not None and mode in ("nearest", "area", "nearest-exact"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "either size or scale_factor should be defined"
            if size is None
            else "only one of size or scale_factor should be defined"
        )
    if antialias and not (mode in _WIDENED and n == 2):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            "a 4-D tensor as input"
        )
    if mode == "lanczos" and n == 2:
        if align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
    wanted = _DIMENSIONS.get(mode)
    if wanted is not None and wanted != n:
        raise NotImplementedError(
            f"Got {input.ndim}D input, but {mode} mode needs {wanted + 2}D input"
        )
    if mode not in ("nearest", "nearest-exact", "area") and wanted is None:
        raise _unknown_mode(input, mode)
    if size is not None:
        if isinstance(size, (tuple, list)) and len(size) != n:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(input.shape[2:])} and output size of {size}. "
                "Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
                "(o1, o2, ...,oK) format."
            )
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        out = (size,) * n if isinstance(size, int) else tuple(size)
        scales: tuple = (None,) * n
    else:
        if isinstance(scale_factor, (tuple, list)) and len(scale_factor) != n:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {list(input.shape[2:])} and scale_factor of "
                f"shape {scale_factor}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
                "format and scale_factor in (s1, s2, ...,sK) format."
            )
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
        out = tuple(math.floor(m * f) for m, f in zip(input.shape[2:], factors, strict=True))
        scales = (None,) * n if recompute_scale_factor else tuple(float(f) for f in factors)
    if mode == "area":
        from cresset.ops import adaptive_pool

        return getattr(adaptive_pool, f"adaptive_avg_pool{n}d")(input, out)
    _check_resize(input._spec, out, mode)
    sizes = tuple(map(int, out))
    if input._spec.dtype is dtypes.uint8 and mode in _WIDENED:
        return resize_bytes(input, sizes, mode, scales, bool(align_corners), antialias)
    mode = _WIDENED[mode] if antialias else mode
    params = (sizes, mode, scales, bool(align_corners))
    return apply(RESIZE[mode, n], (input,), params)


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Tensor:  # fmt: skip
    """``interpolate`` under its old name."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
        UserWarning,
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


# -- patches ---------------------------------------------------------------------------------------


def _pair(v: Any) -> tuple[int, int]:
    return (v, v) if isinstance(v, int) else (v[0], v[-1])


def _counts(size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> tuple[int, int]:
    return tuple(  # type: ignore[return-value]
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )


def _patches_kernel(xp: Any, x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    from cresset.ops.conv import Geometry, _patches

    out = _counts(x.shape[2:], kernel, dilation, padding, stride)
    patches = _patches(xp, x, kernel, out, Geometry(stride, padding, dilation, 1))
    return patches.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(out)).copy()


def _fold_kernel(
    xp: Any, columns: Any, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> Any:
    out = _counts(size, kernel, dilation, padding, stride)
    n = columns.shape[0]
    channels = columns.shape[1] // math.prod(kernel)
    patches = columns.reshape(n, channels, *kernel, *out)
    padded = xp.zeros((n, channels, *(s + 2 * p for s, p in zip(size, padding, strict=True))),
                      columns.dtype)  # fmt: skip
    for k in itertools.product(*map(range, kernel)):
        place = tuple(
            slice(i * d, i * d + s * (m - 1) + 1, s)
            for i, d, s, m in zip(k, dilation, stride, out, strict=True)
        )
        padded[_PLANES + tuple(place)] += patches[_PLANES + tuple(k)]
    inside = tuple(slice(p, p + s) for p, s in zip(padding, size, strict=True))
    return padded[_PLANES + tuple(inside)]


UNFOLD = Op(
    "im2col",
    lambda x, kernel, dilation, padding, stride: dense(
        x.dtype,
        (x.shape[0], x.shape[1] * math.prod(kernel),
         math.prod(_counts(x.shape[2:], kernel, dilation, padding, stride))),
        x.device,
    ),
    _patches_kernel,
    vjp=(lambda n, g: apply(FOLD, (g,), (tuple(n.call.specs[0].shape[2:]), *n.call.params)),),
    grad_name="Im2ColBackward0",
)  # fmt: skip
FOLD = Op(
    "col2im",
    lambda c, size, kernel, *rest: dense(
        c.dtype, (c.shape[0], c.shape[1] // math.prod(kernel), *size), c.device
    ),
    _fold_kernel,
    vjp=(lambda n, g: apply(UNFOLD, (g,), n.call.params[1:]),),
    grad_name="Col2ImBackward0",
)
UNFOLD_SINGLE, FOLD_SINGLE = single(UNFOLD), single(FOLD)


def _windows(kernel: Any, dilation: Any, padding: Any, stride: Any) -> tuple:
    """The options of ``unfold`` and ``fold`` as pairs, checked."""
    pairs = []
    for name, value in (("kernel_size", kernel), ("dilation", dilation), ("padding", padding),
                        ("stride", stride)):  # fmt: skip
        if not isinstance(value, int) and len(value) not in (1, 2):
            raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
        h, w = pair = _pair(value)
        if name != "padding" and min(pair) <= 0:
            label = "kernel" if name == "kernel_size" else name
            raise RuntimeError(
                f"{label} should be greater than zero, but got {label}_height: {h} "
                f"{label}_width: {w}"
            )
        pairs.append(pair)
    return tuple(pairs)


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
           stride: Any = 1) -> Tensor:  # fmt: skip
    """Sliding patches of images as columns: (n, c * kernel elements, patches)."""
    op = UNFOLD_SINGLE if input.ndim == 3 else UNFOLD
    windows = _windows(kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4):
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}],"
            f" but got {input.ndim})"
        )
    blocks = _counts(input.shape[-2:], *windows)
    if min(blocks) < 1:
        kernel, spread, pad, _ = windows
        raise RuntimeError(
            f"Given input with spatial size {tuple(input.shape[-2:])}, kernel_size={kernel}, "
            f"dilation={spread}, padding={pad}, calculated shape of the array of sliding blocks as "
            f"{blocks}, but its components must be at least one."
        )
    return apply(op, (input,), windows)


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Tensor:  # fmt: skip
    """Columns added back into images: the transpose of ``unfold``."""
    params = (_pair(output_size), *_windows(kernel_size, dilation, padding, stride))
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    if input.shape[-2] % math.prod(params[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={input.shape[-2]} and kernel_size={params[1]}."
        )
    rows, columns = _counts(*params)
    if input.shape[-1] != rows * columns:
        raise RuntimeError(
            f"Given output_size={params[0]}, kernel_size={params[1]}, dilation={params[2]}, "
            f"padding={params[3]}, stride={params[4]}, expected size of input's dimension 2 to "
            f"match the calculated number of sliding blocks {rows} * {columns} = "
            f"{rows * columns}, but got "
            f"input.size(2)={input.shape[-1]}."
        )
    return apply(FOLD_SINGLE if input.ndim == 2 else FOLD, (input,), params)
