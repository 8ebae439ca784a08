"""Transforms of a whole batch at once, equal to the bit to transforming image by image.

``prepared(transform, channels, height, width)`` looks at a transform and says how to apply it to an
array (N, C, H, W) of bytes; None if it holds anything but the transforms in ``STAGES`` at the end
of this file, or if one of them was changed: a subclass, a patched method, a hook. Then images go
one by one.

Two things must stay true. Random numbers are drawn for one image after the other, as each image
would draw them for itself; since images here are of one size, each takes equally many 32-bit words
from the generator, and all can be drawn in one go and read as a table with a row per image. And
nothing may fail after the draws, so whatever could (a crop that does not fit, a deviation of zero)
makes ``prepared`` give None, and the image-by-image path raises the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.modes import THREAD
from cresset.device import CPU, get_default_device
from cresset.nn.hooks import any_global
from cresset.nn.module import Module
from cresset.random.generator import generator_of
from cresset.vision.transforms import combine, convert, draws, geometry
from cresset.vision.transforms import functional as F

#: ``step(images, words)``: an array (N, C, H, W) and the step's columns of the table of draws.
Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Unfit(Exception):
    """This transform is for single images."""


@dataclass
class Run:
    """What is known of the images between two transforms, and the steps so far."""

    channels: int
    height: int
    width: int
    #: PIL images, as long as no transform has made tensors of them.
    pil: bool = True
    floating: bool = False
    #: How many words each image draws.
    words: int = 0

    def __post_init__(self) -> None:
        self.steps: list[tuple[Step, int, int]] = []

    def add(self, step: Step, words: int = 0) -> None:
        self.steps.append((step, self.words, self.words + words))
        self.words += words

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The transformed images; draws from the default generator."""
        table = _NO_WORDS
        if self.words:
            drawn = generator_of(CPU).draw32(len(images) * self.words)
            table = drawn.reshape(len(images), self.words)
        with np.errstate(all="ignore"):
            for step, start, end in self.steps:
                images = step(images, table[:, start:end])
        return images


_NO_WORDS = np.empty((0, 0), np.uint64)


def prepared(transform: Any, channels: int, height: int, width: int) -> Run | None:
    """A function of an array (N, channels, height, width) of bytes that gives the floats or bytes
    of the batch; None if images must go one by one."""
    if dtypes.get_default_dtype() is not dtypes.float32 or THREAD.inference or any_global():
        return None
    if get_default_device() is not CPU:
        return None
    run = Run(channels, height, width)
    try:
        _extend(run, transform)
    except (Unfit, AttributeError, TypeError, ValueError):  # users may set attributes to anything
        return None
    return None if run.pil else run


def _extend(run: Run, transform: Any) -> None:
    stage = STAGES.get(type(transform))
    if stage is None:
        raise Unfit
    build, originals = stage
    for owner, name, original in originals:
        if getattr(owner, name) is not original:
            raise Unfit
    fields = transform.__dict__
    if fields.get("_hooked") or not _METHODS.isdisjoint(fields):
        raise Unfit
    build(run, transform)


#: An instance may have one of its own.
_METHODS = frozenset({"forward", "get_params", "transform", "make_params", "_call_kernel"})


def need(condition: Any) -> None:
    if not condition:
        raise Unfit


# -- where pixels go -------------------------------------------------------------------------------


def compose(run: Run, t: combine.Compose) -> None:
    for inner in t.transforms:
        _extend(run, inner)


def _pad(run: Run, t: geometry.Pad) -> None:
    pad(run, t.padding, t.fill, t.padding_mode)


def pad(run: Run, padding: Any, fill: Any, mode: Any) -> None:
    """The borders of ``Pad`` and of ``RandomCrop``."""
    numbers = list(padding) if isinstance(padding, (tuple, list)) else [padding]
    need(len(numbers) in (1, 2, 4) and all(type(n) is int and n >= 0 for n in numbers))
    left, top, right, bottom = numbers * (4 // len(numbers))
    if mode == "constant":
        need(type(fill) in (int, float) and (run.floating or 0 <= fill <= 255))
        need(not run.floating or math.isfinite(fill))
        need(run.pil or run.floating or fill == int(fill))
        borders(run, left, top, right, bottom, fill if run.floating else int(fill))
        return
    need(run.pil and mode in ("edge", "reflect", "symmetric"))
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    run.height, run.width = run.height + top + bottom, run.width + left + right
    run.add(lambda images, _: np.pad(images, widths, mode=mode))


def borders(run: Run, left: int, top: int, right: int, bottom: int, fill: float) -> None:
    height, width = run.height, run.width
    run.height, run.width = height + top + bottom, width + left + right
    shape = (run.channels, run.height, run.width)

    def step(images: np.ndarray, _: np.ndarray) -> np.ndarray:
        padded = np.full((len(images), *shape), fill, images.dtype)
        padded[:, :, top : top + height, left : left + width] = images
        return padded

    run.add(step)


def _random_crop(run: Run, t: geometry.RandomCrop) -> None:
    if t.padding is not None:
        pad(run, t.padding, t.fill, t.padding_mode)
    height, width = size_of(t)
    if t.pad_if_needed:  # both borders get it, as in torchvision
        need(t.padding_mode == "constant" and t.fill == 0 and type(t.fill) is int)
        if run.width < width:
            borders(run, width - run.width, 0, width - run.width, 0, 0)
        if run.height < height:
            borders(run, 0, height - run.height, 0, height - run.height, 0)
    if (run.height, run.width) != (height, width):  # else nothing is drawn
        crop(run, height, width, True, True)


def crop(run: Run, height: int, width: int, draw_row: bool, draw_column: bool) -> None:
    """A part of this size at a random row and column, or at the first where none is drawn."""
    down, right = run.height - height, run.width - width
    need(0 <= down < 1 << 20 and 0 <= right < 1 << 20)
    run.height, run.width = height, width

    def step(images: np.ndarray, words: np.ndarray) -> np.ndarray:
        which = np.arange(len(images))
        tops = (words[:, 0] % np.uint64(down + 1)).astype(np.intp) if draw_row else 0 * which
        lefts = (words[:, -1] % np.uint64(right + 1)).astype(np.intp) if draw_column else 0 * which
        parts = np.lib.stride_tricks.sliding_window_view(images, (height, width), axis=(2, 3))
        return parts[which, :, tops, lefts]

    run.add(step, draw_row + draw_column)


def size_of(t: Any) -> tuple[int, int]:
    """(height, width) of a crop."""
    height, width = t.size
    need(type(height) is int and type(width) is int and height > 0 and width > 0)
    return height, width


def center_crop(run: Run, t: geometry.CenterCrop) -> None:
    height, width = size_of(t)
    extra_h, extra_w = max(height - run.height, 0), max(width - run.width, 0)
    if extra_h or extra_w:
        borders(run, extra_w // 2, extra_h // 2, (extra_w + 1) // 2, (extra_h + 1) // 2, 0)
    top, left = round((run.height - height) / 2.0), round((run.width - width) / 2.0)
    run.height, run.width = height, width
    run.add(lambda images, _: images[:, :, top : top + height, left : left + width])


def flip(axis: int) -> Callable[[Run, Any], None]:
    mirrored = (slice(None),) * axis + (slice(None, None, -1),)

    def build(run: Run, t: Any) -> None:
        need(type(t.p) in (int, float))
        p = np.float32(t.p)

        def step(images: np.ndarray, words: np.ndarray) -> np.ndarray:
            # As ``torch.rand(1) < p``: 24 bits of a word, compared in float32.
            chance = (words[:, 0] & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
            chosen = np.flatnonzero(chance < p)
            if len(chosen):
                images = images if images.flags.owndata else images.copy()
                images[chosen] = images[chosen][mirrored]
            return images

        run.add(step, 1)

    return build


# -- numbers ---------------------------------------------------------------------------------------


def to_tensor(run: Run, t: convert.ToTensor) -> None:
    need(run.pil)
    run.pil, run.floating = False, True
    run.add(lambda images, _: np.divide(images, np.float32(255), dtype=np.float32))


def pil_to_tensor(run: Run, t: convert.PILToTensor) -> None:
    need(run.pil)
    run.pil = False


def _convert_dtype(run: Run, t: convert.ConvertImageDtype) -> None:
    need(not run.pil)
    if not keeps_dtype(run, t.dtype):
        run.floating = True
        run.add(lambda images, _: np.divide(images, np.float32(255), dtype=np.float32))


def keeps_dtype(run: Run, dtype: Any) -> bool:
    """Whether tensors have this dtype already; if not they are bytes to become float32."""
    need(dtype in (dtypes.float32, dtypes.uint8) and not (run.floating and dtype is dtypes.uint8))
    return run.floating or dtype is dtypes.uint8


def normalize(run: Run, t: convert.Normalize) -> None:
    need(run.floating and type(t.mean) in (list, tuple) and type(t.std) in (list, tuple))
    mean, std = _constants(tuple(t.mean)), _constants(tuple(t.std))
    need(len(mean) in (1, run.channels) and len(std) in (1, run.channels) and std.all())

    def step(images: np.ndarray, _: np.ndarray) -> np.ndarray:
        images = images if images.flags.owndata else images.copy()
        images -= mean
        images /= std
        return images

    run.add(step)


@lru_cache(maxsize=64)
def _constants(values: tuple[Any, ...]) -> np.ndarray:
    need(all(type(v) in (int, float) for v in values))
    with np.errstate(over="ignore"):
        column = np.array(values, np.float64).astype(np.float32).reshape(-1, 1, 1)
    column.flags.writeable = False
    return column


# -- the table -------------------------------------------------------------------------------------

Build = Callable[[Run, Any], None]
Originals = tuple[tuple[Any, str, Any], ...]


def stage(
    build: Build, kind: type, *places: tuple[Any, str]
) -> tuple[type, tuple[Build, Originals]]:
    """A row of the table: what the class's call leads to is noted, to see whether it changes."""
    places = ((kind, "__call__"), *places)
    if issubclass(kind, Module):
        places = ((kind, "forward"), *places)
    return kind, (build, tuple((owner, name, getattr(owner, name)) for owner, name in places))


#: How to build the step of each class, and the functions that must be as they were. The second
#: interface adds its classes.
STAGES: dict[type, tuple[Build, Originals]] = dict(
    [
        stage(compose, combine.Compose),
        stage(to_tensor, convert.ToTensor, (F, "to_tensor")),
        stage(pil_to_tensor, convert.PILToTensor, (F, "pil_to_tensor")),
        stage(_convert_dtype, convert.ConvertImageDtype, (F, "convert_image_dtype")),
        stage(normalize, convert.Normalize, (F, "normalize")),
        stage(_pad, geometry.Pad, (F, "pad")),
        stage(center_crop, geometry.CenterCrop, (F, "center_crop")),
        stage(
            _random_crop, geometry.RandomCrop, (geometry.RandomCrop, "get_params"),
            (F, "pad"), (F, "crop"), (draws, "offset"),
        ),
        stage(flip(3), geometry.RandomHorizontalFlip, (F, "hflip"), (draws, "happens")),
        stage(flip(2), geometry.RandomVerticalFlip, (F, "vflip"), (draws, "happens")),
    ]
)  # fmt: skip
