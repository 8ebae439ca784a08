"""Between red, green, blue and hue, saturation, value (A. R. Smith, "Color Gamut Transform Pairs",
1978), for float tensors (..., 3, H, W) in 0..1.

The colour circle has six parts; at each border between parts two of the three colours are equal.
Two interfaces round differently: so the hue comes in sixths, and callers divide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.ops.creation import ones_like
from cresset.ops.join import stack
from cresset.ops.select import where
from cresset.tensor import Tensor


def rgb_to_hsv(img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(hue in sixths of the circle, from -1 to 5; saturation; value)."""
    r, g, b = img.unbind(dim=-3)
    top: Tensor
    top, bottom = img.amax(dim=-3), img.amin(dim=-3)
    span = top - bottom
    grey = top.eq(bottom)
    one = ones_like(top)
    saturation = span / where(grey, one, top)
    divisor = where(grey, one, span)
    # How far each colour is from the largest one, as a share of the span.
    rc, gc, bc = ((top - colour) / divisor for colour in (r, g, b))
    is_red, is_green = top.eq(r), top.eq(g)
    hue: Tensor
    hue = where(is_red, bc - gc, where(is_green, 2.0 + rc - bc, 4.0 + gc - rc))
    return hue, saturation, top


#: In a part of the circle one colour falls and one rises: their values from s, v and the place f in
#: the part, 0 to 1.
Slopes = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def fall_and_rise(s: Tensor, v: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """The formula as it is usually written."""
    falling: Any = v * (1.0 - s * f)
    rising: Any = v * (1.0 - s * (1.0 - f))
    return falling, rising


def hsv_to_rgb(h: Tensor, s: Tensor, v: Tensor, slopes: Slopes) -> Tensor:
    """Hue, saturation and value (..., H, W) in 0..1 as (..., 3, H, W)."""
    sixths = h * 6.0
    part = sixths.floor()
    low = (v * (1.0 - s)).clamp(0.0, 1.0)
    falling, rising = (slope.clamp(0.0, 1.0) for slope in slopes(s, v, sixths - part))
    part = part % 6
    choices = (
        (v, falling, low, low, rising, v),
        (rising, v, v, falling, low, low),
        (low, low, rising, v, v, falling),
    )
    colours = []
    for sequence in choices:
        colour = sequence[5]
        for i in range(5):
            colour = where(part.eq(i), sequence[i], colour)
        colours.append(colour)
    return stack(colours, dim=-3)
