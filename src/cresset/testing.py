"""``torch.testing``: comparing results."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.tensor import Tensor

_TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7), "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip


def assert_close(
    actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_dtype: bool = True, msg: Any = None, **unused: Any,
) -> None:  # fmt: skip
    """Raise AssertionError unless two tensors (or sequences or dicts of them) are close.

    >>> import cresset as torch
    >>> torch.testing.assert_close(torch.tensor([1.]), torch.tensor([1. + 1e-8]))
    """
    if isinstance(actual, dict):
        assert set(actual) == set(expected), "The keys of the mappings do not match"
        for k in actual:
            assert_close(actual[k], expected[k], rtol=rtol, atol=atol, equal_nan=equal_nan)
        return
    if isinstance(actual, (list, tuple)) and not isinstance(actual, Tensor):
        assert len(actual) == len(expected), "The length of the sequences mismatch"
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=check_dtype)
        return
    a = actual._host() if isinstance(actual, Tensor) else np.asarray(actual)
    e = expected._host() if isinstance(expected, Tensor) else np.asarray(expected)
    if a.shape != e.shape:
        raise AssertionError(
            f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}."
        )
    kinds = [x.dtype for x in (actual, expected) if isinstance(x, Tensor)]
    if check_dtype and len(kinds) == 2 and kinds[0] is not kinds[1]:
        raise AssertionError(
            f"The values for attribute 'dtype' do not match: {kinds[0]} != {kinds[1]}."
        )
    names = [d.name for d in kinds] or [dtypes.from_numpy_dtype(a.dtype).name]
    default = max((_TOLERANCES.get(n, (0.0, 0.0)) for n in names), default=(0.0, 0.0))
    rtol = default[0] if rtol is None else rtol
    atol = default[1] if atol is None else atol
    close = np.isclose(a, e, rtol, atol, equal_nan)
    if not close.all():
        worst = np.abs(a.astype(np.complex128) - e).max()
        raise AssertionError(
            msg if isinstance(msg, str) else
            f"Tensor-likes are not close!\n\nMismatched elements: {int((~close).sum())} / "
            f"{close.size} ({100 * (~close).mean():.1f}%)\nGreatest absolute difference: {worst} "
            f"(up to {atol} allowed)\nRelative tolerance: {rtol}"
        )  # fmt: skip
