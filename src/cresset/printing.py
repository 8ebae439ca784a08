"""How tensors print: exactly as PyTorch prints them.

All elements of a tensor share one width and one notation, chosen by looking at every value that
will be shown: integers print with a bare point, a wide range of magnitudes switches to scientific
notation. Tensors above ``threshold`` elements show only ``edgeitems`` at each end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.device import get_default_device
from cresset.tensor import Tensor


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


OPTIONS = _Options()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Options for printing tensors.

    ``precision`` digits after the point (4), ``threshold`` elements before summarising (1000),
    ``edgeitems`` shown at each end (3), ``linewidth`` characters (80), ``profile`` 'default',
    'short' or 'full', ``sci_mode`` to force scientific notation on or off.

    >>> import cresset as torch
    >>> torch.set_printoptions(precision=2)
    >>> torch.tensor([1.12345])
    tensor([1.12])
    >>> torch.set_printoptions(profile='default')
    """
    if profile is not None:
        for name, value in _PROFILES.get(profile, {}).items():
            setattr(OPTIONS, name, value)
    for name, value in (
        ("precision", precision), ("threshold", threshold), ("edgeitems", edgeitems),
        ("linewidth", linewidth),
    ):  # fmt: skip
        if value is not None:
            setattr(OPTIONS, name, value)
    OPTIONS.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The present options as a dictionary."""
    return dict(vars(OPTIONS))


class _Formatter:
    """The common width and notation of the values of one (real) array."""

    def __init__(self, values: np.ndarray) -> None:
        self.floating = values.dtype.kind == "f"
        self.int_mode = True
        self.sci_mode = False
        self.width = 1
        flat = values.reshape(-1)
        if not self.floating:
            for value in flat.tolist():
                self.width = max(self.width, len(str(value)))
            return
        flat = flat[np.isfinite(flat) & (flat != 0)]
        if flat.size:
            size = np.abs(flat.astype(np.float64))
            self._choose(flat.tolist(), float(size.min()), float(size.max()))

    def _choose(self, values: list[float], least: float, most: float) -> None:
        self.int_mode = all(v == math.ceil(v) for v in values)
        wide = most / least > 1000.0 or most > 1.0e8
        self.sci_mode = wide if self.int_mode else wide or least < 1.0e-4
        if OPTIONS.sci_mode is not None:
            self.sci_mode = OPTIONS.sci_mode
        sci = self.sci_mode
        for v in values:
            if sci:
                length = len(f"{v:.{OPTIONS.precision}e}")
            elif self.int_mode:
                length = len(f"{v:.0f}") + 1
            else:
                length = len(f"{v:.{OPTIONS.precision}f}")
            self.width = max(self.width, length)

    def format(self, value: Any) -> str:
        if not self.floating:
            text = f"{value}"
        elif self.sci_mode:
            text = f"{value:{self.width}.{OPTIONS.precision}e}"
        elif self.int_mode:
            text = f"{value:.0f}"
            if math.isfinite(value):
                text += "."
        else:
            text = f"{value:.{OPTIONS.precision}f}"
        return text.rjust(self.width)


class _ComplexFormatter:
    """Real and imaginary parts, each with a width and notation of its own."""

    def __init__(self, values: np.ndarray) -> None:
        self.real, self.imag = _Formatter(values.real), _Formatter(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def format(self, value: complex) -> str:
        imag = self.imag.format(value.imag).lstrip()
        joint = "" if imag[0] in "+-" else "+"
        return f"{self.real.format(value.real)}{joint}{imag}j"


def _vector(values: np.ndarray, indent: int, summarize: bool, formatter: Any) -> str:
    per_line = max(1, (OPTIONS.linewidth - indent) // (formatter.width + 2))
    edge = OPTIONS.edgeitems
    if summarize and not edge:
        words = ["..."]
    elif summarize and len(values) > 2 * edge:
        words = [formatter.format(v) for v in values[:edge].tolist()]
        words.append(" ...")
        words += [formatter.format(v) for v in values[-edge:].tolist()]
    else:
        words = [formatter.format(v) for v in values.tolist()]
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values: np.ndarray, indent: int, summarize: bool, formatter: Any) -> str:
    if values.ndim == 0:
        return formatter.format(values.item())
    if values.ndim == 1:
        return _vector(values, indent, summarize, formatter)
    edge = OPTIONS.edgeitems
    if summarize and len(values) > 2 * edge:
        rows = [_nested(v, indent + 1, summarize, formatter) for v in values[:edge]]
        rows.append("...")
        rows += [_nested(v, indent + 1, summarize, formatter) for v in values[len(values) - edge :]]
    else:
        rows = [_nested(v, indent + 1, summarize, formatter) for v in values]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _edges(values: np.ndarray) -> np.ndarray:
    """The values that a summary shows."""
    for axis in range(values.ndim):
        n, edge = values.shape[axis], OPTIONS.edgeitems
        if n > 2 * edge:
            keep = np.r_[0:edge, n - edge : n]
            values = np.take(values, keep, axis)
    return values


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    parts = [text]
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > OPTIONS.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            length = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            length += len(suffix) + 2
    return "".join(parts) + ")"


def tensor_repr(tensor: Tensor, *, tensor_contents: Any = None) -> str:
    """What ``print(tensor)`` shows."""
    prefix = "tensor("
    indent = len(prefix)
    spec = tensor._spec
    suffixes = []
    where = spec.device
    if where.type != get_default_device().type or (where.type == "cuda" and where.index != 0):
        suffixes.append(f"device='{where}'")
    elif where.type == "cuda":
        suffixes.append(f"device='{where}'")
    usual = (
        dtypes.get_default_dtype(), dtypes.get_default_dtype().to_complex(), dtypes.int64,
        dtypes.bool_,
    )  # fmt: skip
    if spec.numel == 0:
        if spec.ndim != 1:
            suffixes.append(f"size={tuple(spec.shape)}")
        if spec.dtype is not dtypes.get_default_dtype():
            suffixes.append(f"dtype={spec.dtype}")
        text = "[]"
    else:
        if spec.dtype not in usual:
            suffixes.append(f"dtype={spec.dtype}")
        values = tensor._host()
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        summarize = spec.numel > OPTIONS.threshold
        shown = _edges(values) if summarize else values
        formatter = _ComplexFormatter(shown) if spec.dtype.is_complex else _Formatter(shown)
        text = _nested(values, indent, summarize, formatter)
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn=<{type(tensor.grad_fn).__name__}>")
    elif tensor._requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + text, suffixes, indent)


Tensor.__repr__ = tensor_repr  # type: ignore[method-assign, assignment]
