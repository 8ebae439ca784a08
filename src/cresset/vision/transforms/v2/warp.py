"""Transforms of samples that turn, shear, bend and change the point of view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cresset.vision.transforms import warp as v1
from cresset.vision.transforms.functional.warp import perspective_coefficients
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.inputs import check_fill, fill_for, query_size, two_numbers
from cresset.vision.transforms.v2.transform import RandomApplyTransform, Transform, params_of


class RandomRotation(Transform):
    """Turned by an angle uniform in ``degrees`` = (low, high), or (-degrees, degrees).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomRotation((90, 90))(torch.arange(4.).reshape(1, 2, 2))
    tensor([[[1., 3.],
             [0., 2.]]])
    """

    get_params = params_of(v1.RandomRotation)

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = "nearest",
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = v1.angle_bounds(degrees, "degrees")
        self.interpolation = interpolation
        self.expand = expand
        check_fill(fill)
        self.fill = fill
        if center is not None:
            v1.check_length(center, "center", (2,))
        self.center = center

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"angle": v1.RandomRotation.get_params(self.degrees)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.rotate, inpt, **params, interpolation=self.interpolation, expand=self.expand,
            center=self.center, fill=fill_for(self.fill, type(inpt)),
        )  # fmt: skip


class RandomAffine(Transform):
    """Turned, shifted, scaled and sheared by random amounts: see the first interface.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomAffine(30, scale=(0.5, 2.0))(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 8, 8])
    """

    get_params = params_of(v1.RandomAffine)

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Any = None,
        interpolation: Any = "nearest",
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        checked = v1.RandomAffine(degrees, translate, scale, shear, center=center)  # type: ignore
        self.degrees = checked.degrees
        self.translate = translate
        self.scale = scale
        self.shear = checked.shear
        self.interpolation = interpolation
        check_fill(fill)
        self.fill = fill
        self.center = center

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        found = v1.RandomAffine.get_params(
            self.degrees, self.translate, self.scale, self.shear, [width, height]
        )
        return dict(zip(("angle", "translate", "scale", "shear"), found))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.affine, inpt, **params, interpolation=self.interpolation,
            fill=fill_for(self.fill, type(inpt)), center=self.center,
        )  # fmt: skip


class RandomPerspective(RandomApplyTransform):
    """As seen from the side, with probability ``p``: each corner moves inwards.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomPerspective(p=1.0)(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 8, 8])
    """

    get_params = params_of(v1.RandomPerspective)

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = "bilinear",
        fill: Any = 0,
    ) -> None:
        super().__init__(p=p)
        if not 0 <= distortion_scale <= 1:
            raise ValueError("Argument distortion_scale value should be between 0 and 1")
        self.distortion_scale = distortion_scale
        self.interpolation = interpolation
        check_fill(fill)
        self.fill = fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        corners = v1.RandomPerspective.get_params(width, height, self.distortion_scale)
        return {"coefficients": perspective_coefficients(*corners)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.perspective, inpt, startpoints=None, endpoints=None, **params,
            interpolation=self.interpolation, fill=fill_for(self.fill, type(inpt)),
        )  # fmt: skip


class ElasticTransform(Transform):
    """As if seen through moving water: see the first interface.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.ElasticTransform(alpha=20.0, sigma=0.5)(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 8, 8])
    """

    get_params = params_of(v1.ElasticTransform)

    def __init__(
        self,
        alpha: Any = 50.0,
        sigma: Any = 5.0,
        interpolation: Any = "bilinear",
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.alpha = two_numbers(alpha, "alpha")
        self.sigma = two_numbers(sigma, "sigma")
        self.interpolation = interpolation
        check_fill(fill)
        self.fill = fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = query_size(flat_inputs)
        return {"displacement": v1.displacement(self.alpha, self.sigma, size, F.gaussian_blur)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_for(self.fill, type(inpt))
        return self._call_kernel(
            F.elastic, inpt, **params, fill=fill, interpolation=self.interpolation
        )
