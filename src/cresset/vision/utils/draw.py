"""Boxes, masks and points on images, with the pixels that Pillow draws.

Floating-point images, with brightness 0 to 1, are drawn on as bytes and turned back. Coordinates
are cut off to whole pixels. Both is as in torchvision.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeAlias

import numpy as np

from cresset import dtypes
from cresset.autograd.grad_mode import no_grad
from cresset.ops.creation import as_tensor, from_numpy
from cresset.tensor import Tensor
from cresset.vision.pil import Image, ImageColor, ImageDraw, ImageFont

Color: TypeAlias = "str | tuple[int, int, int]"
Colors: TypeAlias = "list[Color] | Color | None"

_FILL_OPACITY = 100  # of 255
_LABEL_MARGIN = 1
_DASH = 5
#: Multiples of this, modulo 255, are colours that differ well.
_PALETTE = (2**25 - 1, 2**15 - 1, 2**21 - 1)


def _check_image(image: Any, kind: str = "The image must be a tensor") -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"{kind}, got {type(image)}")
    if not (image.dtype == dtypes.uint8 or image.is_floating_point()):
        raise ValueError(f"The image dtype must be uint8 or float, got {image.dtype}")
    if image.dim() != 3:
        raise ValueError("Pass individual images, not batches")


def _check_rgb(image: Any) -> None:
    _check_image(image)
    if image.size(0) != 3:
        raise ValueError("Pass an RGB image. Other Image formats are not supported")


def _parse_colors(colors: Any, count: int) -> list[Any]:
    """RGB of each of ``count`` things: from a list, one colour for all, or made up."""
    if colors is None:
        return [tuple(k * p % 255 for p in _PALETTE) for k in range(count)]
    if isinstance(colors, list):
        if len(colors) < count:
            raise ValueError(
                "Number of colors must be equal or larger than the number of objects, but got "
                f"{len(colors)} < {count}."
            )
    elif not isinstance(colors, (tuple, str)):
        raise ValueError(
            f"colors must be a tuple or a string, or a list thereof, but got {colors}."
        )
    elif isinstance(colors, tuple) and len(colors) != 3:
        raise ValueError(f"If passed as tuple, colors should be an RGB triplet, but got {colors}.")
    else:
        colors = [colors] * count
    return [ImageColor.getrgb(c) if isinstance(c, str) else c for c in colors]


def _canvas(image: Tensor) -> Image.Image:
    """An RGB image (C, H, W), of bytes or of 0 to 1, to draw on."""
    if image.is_floating_point():
        # Just under 256, so that each byte gets an interval of equal width.
        image = image.mul(256.0 - 1e-3).to(dtypes.uint8)
    pixels = image.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))


def _drawn(canvas: Image.Image, dtype: Any) -> Tensor:
    pixels = from_numpy(np.array(canvas)).permute(2, 0, 1)
    return pixels.to(dtype).mul_(1.0 / 255) if dtype.is_floating_point else pixels


def _dashed_line(draw: Any, start: Any, end: Any, color: Any, width: int) -> None:
    x, y = start
    left = ((end[0] - x) ** 2 + (end[1] - y) ** 2) ** 0.5
    visible = True
    while left > 0:
        angle = math.atan2(end[1] - y, end[0] - x)  # anew, as rounding moves the point
        step = min(left, _DASH)
        to = x + math.cos(angle) * step, y + math.sin(angle) * step
        if visible:
            draw.line([(x, y), to], color, width)
        (x, y), left, visible = to, left - step, not visible


def _draw_box(draw: Any, box: list[int], color: Any, fill: Any, width: int) -> None:
    """A rectangle of four numbers, or any four corners of eight, the first side dashed."""
    if len(box) == 4:
        draw.rectangle(box, width=width, outline=color, fill=fill)
        return
    first, *others = corners = list(zip(box[::2], box[1::2]))
    _dashed_line(draw, first, others[0], color, width)
    for start, end in zip(others, [*others[1:], first]):
        draw.line((start, end), width=width, fill=color)
    draw.polygon([number for corner in corners for number in corner], fill=fill, width=0)


@no_grad()
def draw_bounding_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: list[str] | None = None,
    colors: Colors = None,
    fill: bool | None = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Colors = None,
    label_background_colors: Colors = None,
    fill_labels: bool = False,
) -> Tensor:
    """Draws boxes on an image, and a text in each.

    Args:
        image: (1 or 3, H, W), uint8 or floating point with brightness 0 to 1.
        boxes: (N, 4) of left, top, right, bottom, or (N, 8) of four corners x, y.
        labels: a text for each box.
        colors: a colour for each box, or one for all: an RGB tuple, or a name that Pillow knows.
        fill: fill the boxes with a transparent shade of their colours.
        width: of the lines.
        font, font_size: the file of a TrueType font, and its size in points (10); else Pillow's.
        label_colors: of the texts; else those of the boxes, or black where ``fill_labels``.
        label_background_colors: of the fields behind the texts; else those of the boxes.
        fill_labels: draw these fields.

    Returns:
        A new image (3, H, W) of the same dtype; ``image`` itself where there is no box.

    Raises:
        TypeError, ValueError: an argument of another kind, or a box whose right is left.

    >>> import cresset as torch
    >>> image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    >>> draw_bounding_boxes(image, torch.tensor([[1, 1, 3, 2]]), colors='red')[0]
    tensor([[  0,   0,   0,   0],
            [  0, 255, 255, 255],
            [  0, 255, 255, 255],
            [  0,   0,   0,   0]], dtype=torch.uint8)
    """
    _check_image(image, "Tensor expected")
    if image.size(0) not in (1, 3):
        raise ValueError("Only grayscale and RGB images are supported")
    if boxes.shape[-1] == 4 and bool((boxes[:, :2] > boxes[:, 2:]).any()):
        raise ValueError(
            "Boxes need to be in (xmin, ymin, xmax, ymax) format. "
            "Use torchvision.ops.box_convert to convert them"
        )
    count = len(boxes)
    if count == 0:
        warnings.warn("boxes doesn't contain any box. No box was drawn")
        return image
    if labels is not None and len(labels) != count:
        raise ValueError(
            f"Number of boxes ({count}) and labels ({len(labels)}) mismatch. "
            "Please specify labels for each box."
        )
    outlines = _parse_colors(colors, count)
    texts = backgrounds = outlines
    if label_colors or fill_labels:
        texts = _parse_colors(label_colors or "black", count)
    if fill_labels and label_background_colors:
        backgrounds = _parse_colors(label_background_colors, count)
    letters = _font(font, font_size)

    canvas = _canvas(image)
    draw = ImageDraw.Draw(canvas, "RGBA" if fill else None)
    for k, box in enumerate(boxes.to(dtypes.int64).tolist()):
        inner = (*outlines[k], _FILL_OPACITY) if fill else None
        _draw_box(draw, box, outlines[k], inner, width)
        if labels is not None and labels[k] is not None:
            place = box[0] + width + _LABEL_MARGIN, box[1] + width + _LABEL_MARGIN
            if fill_labels:
                left, top, right, bottom = draw.textbbox(place, labels[k], font=letters)
                margin = _LABEL_MARGIN
                field = left - margin, top - margin, right + margin, bottom + margin
                draw.rectangle(field, fill=backgrounds[k])
            draw.text(place, labels[k], fill=texts[k], font=letters)
    return _drawn(canvas, image.dtype)


def _font(font: str | None, font_size: int | None) -> Any:
    if font is not None:
        return ImageFont.truetype(font=font, size=font_size or 10)
    if font_size is not None:
        warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.")
    return ImageFont.load_default()


@no_grad()
def draw_segmentation_masks(
    image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Colors = None
) -> Tensor:
    """Lays coloured masks over an image. Where two overlap, both are black.

    Args:
        image: (3, H, W), uint8 or floating point with brightness 0 to 1.
        masks: (N, H, W) or (H, W), bool.
        alpha: how much of a mask is seen, 0 to 1.
        colors: a colour for each mask, or one for all: an RGB tuple, or a name that Pillow knows.

    Returns:
        A new image of the same dtype; ``image`` itself where there is no mask.

    Raises:
        TypeError, ValueError: an argument of another kind.
    """
    _check_rgb(image)
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype != dtypes.bool_:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    count = masks.size(0)
    if count == 0:
        warnings.warn("masks doesn't contain any mask. No mask was drawn")
        return image
    drawn = image.detach().clone()
    for k, color in enumerate(_parse_colors(colors, count)[:count]):
        drawn[:, masks[k]] = _shade(color, image, made_up=colors is None)[:, None]
    drawn[:, masks.sum(dim=0) > 1] = 0
    return (image * (1 - alpha) + drawn * alpha).to(image.dtype)


def _shade(color: Any, image: Tensor, made_up: bool) -> Tensor:
    """A colour in the numbers of ``image``."""
    if image.dtype == dtypes.uint8:
        return as_tensor(color, dtype=image.dtype, device=image.device)
    # torchvision has tensors in the colours that it makes up, hence the default dtype's rounding.
    shade = (
        as_tensor(color) / 255 if made_up else as_tensor([v / 255 for v in color], dtypes.float64)
    )
    return shade.to(image.device, image.dtype)


@no_grad()
def draw_keypoints(
    image: Tensor,
    keypoints: Tensor,
    connectivity: list[tuple[int, int]] | None = None,
    colors: Color | None = None,
    radius: int = 2,
    width: int = 3,
    visibility: Tensor | None = None,
) -> Tensor:
    """Draws points on an image, and lines between them.

    Args:
        image: (3, H, W), uint8 or floating point with brightness 0 to 1.
        keypoints: (N, K, 2): K points x, y of each of N things.
        connectivity: pairs of points to be joined by a line.
        colors: of the points: an RGB tuple, or a name that Pillow knows.
        radius: of the points.
        width: of the lines.
        visibility: (N, K): points that are False are not drawn, and neither are their lines.

    Returns:
        A new image of the same dtype.

    Raises:
        TypeError, ValueError: an argument of another kind.
    """
    _check_rgb(image)
    if keypoints.ndim != 3:
        raise ValueError("keypoints must be of shape (num_instances, K, 2)")
    seen = _visibility(keypoints, visibility)
    canvas = _canvas(image)
    draw = ImageDraw.Draw(canvas)
    for points, visible in zip(keypoints.to(dtypes.int64).tolist(), seen.tolist()):
        for (x, y), shown in zip(points, visible):
            if shown:
                around = [x - radius, y - radius, x + radius, y + radius]
                draw.ellipse(around, fill=colors, outline=None, width=0)
        for start, end in connectivity or ():
            if visible[start] and visible[end]:
                draw.line((tuple(points[start]), tuple(points[end])), width=width)
    return _drawn(canvas, image.dtype)


def _visibility(keypoints: Tensor, visibility: Tensor | None) -> np.ndarray:
    """(N, K) of bool; (N, K, 1) is taken as well."""
    if visibility is None:
        return np.ones(keypoints.shape[:-1], bool)
    if visibility.ndim == 3:
        visibility = visibility.squeeze(-1)
    if visibility.ndim != 2:
        raise ValueError(
            f"visibility must be of shape (num_instances, K). Got ndim={visibility.ndim}"
        )
    if visibility.shape != keypoints.shape[:-1]:
        raise ValueError(
            "keypoints and visibility must have the same dimensionality for num_instances and K. "
            f"Got {visibility.shape=} and {keypoints.shape=}"
        )
    return visibility.cpu().numpy().astype(bool)
