"""Data sets that lie in memory as one array can hand out whole batches.

``in_rows`` marks the ``__getitem__`` of such a data set, saying where its images and classes are.
The mark belongs to the function, so a subclass with a ``__getitem__`` of its own has none, and
neither has a class whose method was replaced: their samples are fetched one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cresset import dtypes
from cresset.data.gather import positions
from cresset.device import CPU
from cresset.tensor import Tensor, from_array
from cresset.vision.transforms.whole import prepared

#: How the axes of ``data`` become (N, C, H, W); grey images have no axis of channels.
_AXES = {"CHW": (0, 1, 2, 3), "HWC": (0, 3, 1, 2)}


class Rows(NamedTuple):
    """Where a data set keeps its samples."""

    images: str
    labels: str
    axes: str
    #: The marked function: a wrapper made by ``functools.wraps`` carries a copy of the mark.
    function: Any


def in_rows(images: str, labels: str, axes: str) -> Callable[[Any], Any]:
    """Marks a ``__getitem__`` that reads row ``index`` of two attributes.

    Args:
        images: the name of the uint8 array or tensor, (N, H, W) for grey images.
        labels: the name of the classes: a list of ints, or integers in an array or a tensor, of
            which a sample has ``int(labels[index])``.
        axes: ``HW``, ``HWC`` or ``CHW``.
    """

    def mark(function: Any) -> Any:
        function.rows = Rows(images, labels, axes, function)
        return function

    return mark


def batch(dataset: Any, indices: Any) -> list[Tensor] | None:
    """The samples at ``indices``, transformed and collated; None if they must be fetched singly."""
    getter = type(dataset).__getitem__
    rows = getattr(getter, "rows", None)
    if rows is None or rows.function is not getter:
        return None
    if dataset.transform is None or dataset.target_transform is not None:
        return None
    images = _planes(getattr(dataset, rows.images), rows.axes)
    if images is None:
        return None
    which = positions(indices, len(images))
    if which is None:
        return None
    labels = _labels(getattr(dataset, rows.labels), indices, which)
    if labels is None:
        return None
    run = prepared(dataset.transform, *images.shape[1:])
    if run is None:
        return None
    made = run(_picked(images, which))
    kind = dtypes.float32 if run.floating else dtypes.uint8
    return [from_array(made, kind), from_array(labels, dtypes.int64)]


def _planes(data: Any, axes: str) -> np.ndarray | None:
    """The images as (N, C, H, W) without a copy."""
    if type(data) is Tensor and data.dtype is dtypes.uint8 and data.device is CPU:
        data = data._host()
    if type(data) is not np.ndarray or data.dtype != np.uint8:
        return None
    if axes == "HW":
        return data[:, None] if data.ndim == 3 else None
    if data.ndim != 4 or data.shape[axes.index("C") + 1] != 3:
        return None
    return data.transpose(_AXES[axes])


def _picked(images: np.ndarray, which: np.ndarray) -> np.ndarray:
    """A copy of some rows. (``take`` is faster, but copies all of an array with strides first.)"""
    if images.flags.c_contiguous:
        return images.take(which, axis=0)
    return np.ascontiguousarray(images[which])


def _labels(labels: Any, indices: Any, which: np.ndarray) -> np.ndarray | None:
    """The classes as int64."""
    if type(labels) is list:
        chosen = [labels[i] for i in indices] if which.max() < len(labels) else []
        return np.array(chosen) if set(map(type, chosen)) == {int} else None
    if type(labels) is Tensor and labels.device is CPU:
        labels = labels._host()
    if type(labels) is not np.ndarray or labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None
    return labels[which].astype(np.int64) if which.max() < len(labels) else None
