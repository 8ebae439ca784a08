"""Transforms of the colours of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cresset.ops.random import rand, randperm
from cresset.vision.transforms import color as v1
from cresset.vision.transforms import draws
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.inputs import query_chw
from cresset.vision.transforms.v2.transform import RandomApplyTransform, Transform, params_of

Range = tuple[float, float]


class Grayscale(Transform):
    """In grey, as one channel or three equal ones.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.Grayscale()(torch.ones(3, 1, 2))
    tensor([[[0.9999, 0.9999]]])
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        count = self.num_output_channels
        return self._call_kernel(F.rgb_to_grayscale, inpt, num_output_channels=count)


class RandomGrayscale(RandomApplyTransform):
    """In grey with probability ``p``, with as many channels as before.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomGrayscale(p=1.0)(torch.ones(3, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p=p)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"num_input_channels": query_chw(flat_inputs)[0]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        count = params["num_input_channels"]
        return self._call_kernel(F.rgb_to_grayscale, inpt, num_output_channels=count)


class RGB(Transform):
    """Grey images with three equal channels.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RGB()(torch.ones(1, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.grayscale_to_rgb, inpt)


#: The changes of colour in the order of their numbers, with their functions.
_CHANGES = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
}


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed by random factors, in random order.

    Args:
        brightness, contrast, saturation: the factor's bounds, or x for (max(0, 1 - x), 1 + x).
        hue: bounds within -0.5 to 0.5, or x for (-x, x).

    >>> from cresset.vision.transforms import v2
    >>> v2.ColorJitter(brightness=0.4, hue=0.1)
    ColorJitter(brightness=(0.6, 1.4), hue=(-0.1, 0.1))
    """

    get_params = params_of(v1.ColorJitter)

    def __init__(
        self, brightness: Any = None, contrast: Any = None, saturation: Any = None, hue: Any = None
    ) -> None:
        super().__init__()
        self.brightness = _factors(brightness, "brightness")
        self.contrast = _factors(contrast, "contrast")
        self.saturation = _factors(saturation, "saturation")
        self.hue = _range(hue, "hue", 0, (-0.5, 0.5), None)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        order, *factors = v1.ColorJitter.get_params(
            self.brightness, self.contrast, self.saturation, self.hue
        )
        names = [*_CHANGES]
        return {names[i]: factors[i] for i in order.tolist() if factors[i] is not None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for name, factor in params.items():
            inpt = self._call_kernel(_CHANGES[name], inpt, factor)
        return inpt


def _factors(value: Any, name: str) -> Range | None:
    return _range(value, name, 1.0, (0, float("inf")), 0.0)


def _range(value: Any, name: str, center: float, bounds: Any, least: float | None) -> Range | None:
    """(low, high), or None where nothing would change."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        limits = [center - value, center + value]
        if least is not None:
            limits[0] = max(limits[0], least)
    elif isinstance(value, Sequence) and len(value) == 2:
        limits = [float(v) for v in value]
    else:
        raise TypeError(f"{name}={value} should be a single number or a sequence with length 2.")
    if not bounds[0] <= limits[0] <= limits[1] <= bounds[1]:
        raise ValueError(
            f"{name} values should be between {bounds} and increasing, but got {limits}."
        )
    low, high = float(limits[0]), float(limits[1])
    return None if low == high == center else (low, high)


class RandomChannelPermutation(Transform):
    """The channels in random order.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomChannelPermutation()(torch.zeros(3, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"permutation": randperm(query_chw(flat_inputs)[0])}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.permute_channels, inpt, params["permutation"])


class RandomPhotometricDistort(Transform):
    """Each of brightness, contrast, saturation, hue and the order of channels changed with
    probability ``p``; contrast before or after saturation and hue (Liu et al., 2016, "SSD").

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomPhotometricDistort()(torch.zeros(3, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    def __init__(
        self,
        brightness: Range = (0.875, 1.125),
        contrast: Range = (0.5, 1.5),
        saturation: Range = (0.5, 1.5),
        hue: Range = (-0.05, 0.05),
        p: float = 0.5,
    ) -> None:
        super().__init__()
        self.brightness = brightness
        self.contrast = contrast
        self.hue = hue
        self.saturation = saturation
        self.p = p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels = query_chw(flat_inputs)[0]
        factors = {
            name: draws.uniform(*getattr(self, name)) if draws.happens(self.p) else None
            for name in _CHANGES
        }
        early = rand(()).item() < 0.5
        order = randperm(channels) if draws.happens(self.p) else None
        return {"factors": factors, "contrast_before": early, "permutation": order}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        names = ["brightness", "saturation", "hue"]
        names.insert(1 if params["contrast_before"] else 3, "contrast")
        for name in names:
            if params["factors"][name] is not None:
                inpt = self._call_kernel(_CHANGES[name], inpt, params["factors"][name])
        if params["permutation"] is not None:
            inpt = self._call_kernel(F.permute_channels, inpt, params["permutation"])
        return inpt
