"""Optical flow as colours: the direction is the hue, the speed how strong it is."""

from __future__ import annotations

import numpy as np

from cresset import dtypes
from cresset.autograd.grad_mode import no_grad
from cresset.ops.creation import from_numpy
from cresset.tensor import Tensor

#: How many steps lead from each colour of the wheel to the next: red, yellow, green, cyan, blue,
#: magenta, red. On the way one channel rises or falls.
_STEPS = (15, 6, 4, 11, 13, 6)
_RISING_OR_FALLING = ((0, 1, True), (1, 0, False), (1, 2, True), (2, 1, False), (2, 0, True),
                      (0, 2, False))  # fmt: skip


def _color_wheel() -> np.ndarray:
    """float32 (55, 3), 0 to 255."""
    wheel = np.zeros((sum(_STEPS), 3), np.float32)
    begin = 0
    for steps, (full, moving, rises) in zip(_STEPS, _RISING_OR_FALLING):
        part = wheel[begin : begin + steps]
        ramp = np.floor(np.float32(255) * np.arange(steps, dtype=np.float32) / np.float32(steps))
        part[:, full] = 255
        part[:, moving] = ramp if rises else 255 - ramp
        begin += steps
    return wheel


@no_grad()
def flow_to_image(flow: Tensor) -> Tensor:
    """The colours of an optical flow, scaled so that the fastest pixel is fully coloured.

    Args:
        flow: float32 (2, H, W) or (N, 2, H, W): how far each pixel moves right and down.

    Returns:
        uint8 (3, H, W) or (N, 3, H, W). What stands still is white.

    Raises:
        ValueError: another dtype or shape.

    Source: Baker et al., "A Database and Evaluation Methodology for Optical Flow", ICCV 2007.
    """
    if flow.dtype != dtypes.float32:
        raise ValueError(f"Flow should be of dtype torch.float, got {flow.dtype}.")
    moved = flow.detach().cpu().numpy()
    batch = moved[None] if moved.ndim == 3 else moved
    if batch.ndim != 4 or batch.shape[1] != 2:
        raise ValueError(
            f"Input flow should have shape (2, H, W) or (N, 2, H, W), got {flow.shape}."
        )
    fastest = np.sqrt((batch**2).sum(axis=1)).max()
    scaled = batch / (fastest + np.finfo(np.float32).eps)
    image = from_numpy(_colors_of(scaled)).to(flow.device)
    return image[0] if moved.ndim == 3 else image


def _colors_of(flow: np.ndarray) -> np.ndarray:
    wheel = _color_wheel()
    speed = np.sqrt((flow**2).sum(axis=1))
    turn = np.arctan2(-flow[:, 1], -flow[:, 0]) / np.float32(np.pi)
    place = (turn + 1) / 2 * (len(wheel) - 1)
    below = np.floor(place).astype(np.int64)
    above = (below + 1) % len(wheel)
    share = (place - below.astype(np.float32))[..., None]
    color = (1 - share) * (wheel[below] / 255) + share * (wheel[above] / 255)
    color = 1 - speed[..., None] * (1 - color)
    return np.floor(255 * color).astype(np.uint8).transpose(0, 3, 1, 2).copy()
