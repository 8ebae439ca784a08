"""Automatic augmentation: changes and their strengths from published tables (``policies``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset.nn.module import Module
from cresset.ops.random import rand, randint
from cresset.tensor import Tensor
from cresset.vision.transforms import draws, policies
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.functional.dimensions import InterpolationMode
from cresset.vision.transforms.policies import AutoAugmentPolicy, Strengths
from cresset.vision.transforms.settle import settled


def apply_change(F: Any, img: Any, name: str, strength: float, mode: Any, fill: Any) -> Any:
    """``img`` after the change ``name``, made of the functions of the module ``F``."""
    if name in ("ShearX", "ShearY"):
        degrees = math.degrees(math.atan(strength))
        shear = [degrees, 0.0] if name == "ShearX" else [0.0, degrees]
        return F.affine(img, 0.0, [0, 0], 1.0, shear, mode, fill, center=[0, 0])
    if name in ("TranslateX", "TranslateY"):
        pixels = int(strength)
        shift = [pixels, 0] if name == "TranslateX" else [0, pixels]
        return F.affine(img, 0.0, shift, 1.0, [0.0, 0.0], mode, fill)
    if name == "Rotate":
        return F.rotate(img, strength, mode, fill=fill)
    if name in _ADJUSTMENTS:
        return getattr(F, _ADJUSTMENTS[name])(img, 1.0 + strength)
    if name == "Posterize":
        return F.posterize(img, int(strength))
    if name == "Solarize":
        return F.solarize(img, strength)
    if name in ("AutoContrast", "Equalize", "Invert"):
        return getattr(F, name.lower())(img)
    if name == "Identity":
        return img
    raise ValueError(f"The provided operator {name} is not recognized.")


_ADJUSTMENTS = {
    "Brightness": "adjust_brightness",
    "Color": "adjust_saturation",
    "Contrast": "adjust_contrast",
    "Sharpness": "adjust_sharpness",
}


class _Augment(Module):
    """What all share: how to resample, and the colour for pixels from outside the image."""

    interpolation: Any
    fill: Any

    def _fill_for(self, img: Any) -> Any:
        if not isinstance(img, Tensor) or self.fill is None:
            return self.fill
        if isinstance(self.fill, (int, float)):
            return [float(self.fill)] * F.get_dimensions(img)[0]
        return [float(f) for f in self.fill]

    def _changed(self, img: Any, name: str, strength: float, fill: Any) -> Any:
        return settled(apply_change(F, img, name, strength, self.interpolation, fill))


def _one_of(table: dict[str, Strengths]) -> tuple[str, Strengths]:
    name = [*table][draws.integer(0, len(table))]
    return name, table[name]


def _either_way(strength: float, signed: bool) -> float:
    """``strength``, or with equal chances its negative where the change has two directions."""
    return -strength if signed and draws.integer(0, 2) else strength


class AutoAugment(_Augment):
    """A pair of changes, picked from those found for a data set (Cubuk et al., 2019).

    Args:
        policy: the data set, an ``AutoAugmentPolicy``.
        interpolation, fill: for changes that move pixels, see ``functional.affine``.

    >>> from cresset.vision import transforms
    >>> transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)
    AutoAugment(policy=AutoAugmentPolicy.CIFAR10, fill=None)
    """

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.interpolation = interpolation
        self.fill = fill
        self.policies = pairs_of(policy)

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, Tensor, Tensor]:
        """Which pair, and for each of its changes a share and a sign."""
        return draws.integer(0, transform_num), rand((2,)), randint(2, (2,))

    def forward(self, img: Any) -> Any:
        fill = self._fill_for(img)
        _, height, width = F.get_dimensions(img)
        which, shares, signs = self.get_params(len(self.policies))
        table = policies.auto_augment_table(height, width)
        for step, share, sign in zip(self.policies[which], shares.tolist(), signs.tolist()):
            if share > float(np.float32(step.probability)):
                continue
            values, signed = table[step.name]
            strength = values[step.strength] if values and step.strength is not None else 0.0
            strength = -strength if signed and sign == 0 else strength
            img = self._changed(img, step.name, strength, fill)
        return img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(policy={self.policy}, fill={self.fill})"


def pairs_of(policy: AutoAugmentPolicy) -> list[tuple[policies.Step, policies.Step]]:
    """The pairs of a policy; ValueError for an unknown one."""
    if policy not in policies.POLICIES:
        raise ValueError(f"The provided policy {policy} is not recognized.")
    return policies.POLICIES[policy]


class RandAugment(_Augment):
    """Some changes, all of the same strength (Cubuk et al., 2020, "RandAugment: Practical automated
    data augmentation with a reduced search space").

    Args:
        num_ops: how many changes, one after the other.
        magnitude: their strength, from 0 to ``num_magnitude_bins - 1``.
        interpolation, fill: for changes that move pixels, see ``functional.affine``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandAugment()(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, img: Any) -> Any:
        fill = self._fill_for(img)
        _, height, width = F.get_dimensions(img)
        table = policies.rand_augment_table(height, width, self.num_magnitude_bins)
        for _ in range(self.num_ops):
            name, (values, signed) = _one_of(table)
            strength = 0.0 if values is None else values[self.magnitude]
            img = self._changed(img, name, _either_way(strength, signed), fill)
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, "
            f"fill={self.fill})"
        )


class TrivialAugmentWide(_Augment):
    """One change of random strength (Mueller and Hutter, 2021, "TrivialAugment: Tuning-free Yet
    State-of-the-Art Data Augmentation").

    Args:
        num_magnitude_bins: how many strengths there are.
        interpolation, fill: for changes that move pixels, see ``functional.affine``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.TrivialAugmentWide()(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, img: Any) -> Any:
        fill = self._fill_for(img)
        name, (values, signed) = _one_of(policies.trivial_augment_table(self.num_magnitude_bins))
        strength = 0.0 if values is None else values[draws.integer(0, len(values))]
        return self._changed(img, name, _either_way(strength, signed), fill)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


class AugMix(_Augment):
    """A mix of the image with copies of it that went through chains of changes (Hendrycks et al.,
    2020, "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty").

    Args:
        severity: the strongest change, from 1 to 10.
        mixture_width: how many chains.
        chain_depth: how many changes in each; 1 to 3 at random where it is not positive.
        alpha: of the Dirichlet distribution that weights are drawn from.
        all_ops: also changes of brightness, colour, contrast and sharpness.
        interpolation, fill: for changes that move pixels, see ``functional.affine``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.AugMix()(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    bins = 10

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = None,
    ) -> None:
        super().__init__()
        check_severity(severity, self.bins)
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, orig_img: Any) -> Any:
        fill = self._fill_for(orig_img)
        _, height, width = F.get_dimensions(orig_img)
        img = orig_img if isinstance(orig_img, Tensor) else F.pil_to_tensor(orig_img)
        table = policies.aug_mix_table(height, width, self.bins, self.all_ops)

        def change(x: Tensor) -> Tensor:
            name, (values, signed) = _one_of(table)
            strength = 0.0 if values is None else values[draws.integer(0, self.severity)]
            return self._changed(x, name, _either_way(strength, signed), fill)

        mix = mixed(img, self.alpha, self.mixture_width, self.chain_depth, change)
        return mix if isinstance(orig_img, Tensor) else F.to_pil_image(mix)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(severity={self.severity}, mixture_width={self.mixture_width}, "
            f"chain_depth={self.chain_depth}, alpha={self.alpha}, all_ops={self.all_ops}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


def check_severity(severity: int, most: int) -> None:
    """ValueError outside of 1 to ``most``."""
    if not 1 <= severity <= most:
        raise ValueError(f"The severity must be between [1, {most}]. Got {severity} instead.")


def mixed(img: Tensor, alpha: float, width: int, depth: int, change: Any) -> Tensor:
    """``img`` mixed with ``width`` copies that each went through ``change`` ``depth`` times."""
    batch = img.reshape(*[1] * max(4 - img.ndim, 0), *img.shape)
    n = batch.shape[0]
    column = [n] + [1] * (batch.ndim - 1)
    share = draws.shares(alpha, 2, n).to(img.device)
    weights = draws.shares(alpha, width, n).to(img.device) * share[:, 1:]
    mix = share[:, 0].reshape(column) * batch
    for i in range(width):
        copy = batch
        for _ in range(depth if depth > 0 else draws.integer(1, 4)):
            copy = change(copy)
        mix = mix + weights[:, i].reshape(column) * copy
    return mix.reshape(img.shape).to(img.dtype)
