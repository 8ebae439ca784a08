"""Automatic augmentation of samples: see the first interface, whose tables it shares.

Other numbers are drawn here, one at a time and only where they are needed.
"""

from __future__ import annotations

from typing import Any

from cresset.ops.random import rand
from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms import autoaugment as v1
from cresset.vision.transforms import draws, policies
from cresset.vision.transforms.autoaugment import apply_change, check_severity, mixed, pairs_of
from cresset.vision.transforms.functional.dimensions import max_value
from cresset.vision.transforms.policies import AutoAugmentPolicy, Strengths
from cresset.vision.transforms.settle import settled
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.inputs import check_fill, fill_for
from cresset.vision.transforms.v2.transform import Transform, params_of
from cresset.vision.transforms.v2.tree import leaves, rebuilt

_FULL = 255.0


class _Augment(Transform):
    """Base: finds the one image of a sample and passes it to ``augmented``."""

    def __init__(self, *, interpolation: Any = "nearest", fill: Any = None) -> None:
        super().__init__()
        self.interpolation = interpolation
        check_fill(fill)
        self.fill = fill

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        wanted = self._needs_transform_list(flat)
        found = [i for i, want in enumerate(wanted) if want]
        if not found:
            raise TypeError("Found no image in the sample.")
        if len(found) > 1:
            raise TypeError(
                "Auto augment transformations are only properly defined for a single image or "
                f"video, but found {len(found)}."
            )
        flat[found[0]] = self.augmented(flat[found[0]])
        return rebuilt(sample, iter(flat))

    def augmented(self, image: Any) -> Any:
        """The image after its changes."""
        raise NotImplementedError

    def _change(self, image: Any, name: str, strengths: Strengths, which: int | None) -> Any:
        """``image`` after a change of strength number ``which``, drawn where it is None."""
        strength = 0.0
        if strengths.values is not None:
            if which is None:
                which = draws.integer(0, len(strengths.values))
            strength = strengths.values[which]
            if strengths.signed and rand(()).item() <= 0.5:
                strength = -strength
        if name == "Solarize":  # strengths are shares of full brightness here
            bound = max_value(image.dtype) if isinstance(image, Tensor) else _FULL
            strength = bound * strength
        fill = fill_for(self.fill, type(image))
        return settled(apply_change(F, image, name, strength, self.interpolation, fill))


def _one_of(table: dict[str, Strengths]) -> tuple[str, Strengths]:
    name = [*table][draws.integer(0, len(table))]
    return name, table[name]


class AutoAugment(_Augment):
    """A pair of changes, picked from those found for a data set (Cubuk et al., 2019).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.AutoAugment()((torch.zeros(3, 8, 8, dtype=torch.uint8), 5))[1]
    5
    """

    get_params = params_of(v1.AutoAugment)

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        self.policy = policy
        self._policies = pairs_of(policy)

    def augmented(self, image: Any) -> Any:
        height, width = F.get_size(image)
        table = policies.auto_augment_table(height, width, full=1.0)
        for step in self._policies[draws.integer(0, len(self._policies))]:
            if draws.at_most(step.probability):
                image = self._change(image, step.name, table[step.name], step.strength)
        return image


class RandAugment(_Augment):
    """Some changes, all of the same strength (Cubuk et al., 2020).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandAugment(num_ops=3)(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueError(
                f"num_ops should be a non-negative integer, but got {num_ops} instead."
            )
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def augmented(self, image: Any) -> Any:
        height, width = F.get_size(image)
        table = policies.rand_augment_table(height, width, self.num_magnitude_bins, full=1.0)
        for _ in range(self.num_ops):
            image = self._change(image, *_one_of(table), self.magnitude)
        return image


class TrivialAugmentWide(_Augment):
    """One change of random strength (Mueller and Hutter, 2021).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.TrivialAugmentWide()(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self, num_magnitude_bins: int = 31, interpolation: Any = "nearest", fill: Any = None
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        self.num_magnitude_bins = num_magnitude_bins

    def augmented(self, image: Any) -> Any:
        table = policies.trivial_augment_table(self.num_magnitude_bins, full=1.0)
        return self._change(image, *_one_of(table), None)


class AugMix(_Augment):
    """A mix of the image with copies of it that went through chains of changes (Hendrycks et al.,
    2020).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.AugMix()(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
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
        interpolation: Any = "bilinear",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        check_severity(severity, self.bins)
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops

    def augmented(self, image: Any) -> Any:
        height, width = F.get_size(image)
        table = policies.aug_mix_table(height, width, self.bins, self.all_ops, full=1.0)
        mild = {
            name: strengths._replace(values=strengths.values and strengths.values[: self.severity])
            for name, strengths in table.items()
        }
        tensor = F.pil_to_tensor(image) if isinstance(image, Image.Image) else image
        mix = mixed(
            tensor, self.alpha, self.mixture_width, self.chain_depth,
            lambda x: self._change(x, *_one_of(mild), None),
        )  # fmt: skip
        return F.to_pil_image(mix) if isinstance(image, Image.Image) else mix
