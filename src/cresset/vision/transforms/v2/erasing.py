"""Random erasing of samples: see the first interface."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

from cresset.ops.creation import empty
from cresset.vision.transforms import erasing as v1
from cresset.vision.transforms.geometry import check_scale_and_ratio
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.inputs import query_chw
from cresset.vision.transforms.v2.transform import RandomApplyTransform, params_of


class RandomErasing(RandomApplyTransform):
    """A random rectangle replaced, with probability ``p``.

    Args:
        scale: bounds of its area, as shares of the image's.
        ratio: bounds of its aspect ratio.
        value: the new pixels: a number, one for each channel, or ``'random'`` for normal noise.
        inplace: change the tensor itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> (v2.RandomErasing(p=1.0)(torch.ones(3, 9, 9)) == 0).any()
    tensor(True)
    """

    get_params = params_of(v1.RandomErasing)

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p=p)
        if not isinstance(value, (Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        check_scale_and_ratio(scale, ratio)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        self.scale = scale
        self.ratio = ratio
        self.value: list[float] | None = None
        if not isinstance(value, str):
            numbers = value if isinstance(value, (tuple, list)) else [value]
            self.value = [float(v) for v in numbers]  # type: ignore[arg-type]
        self.inplace = inplace

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels, height, width = query_chw(flat_inputs)
        if self.value is not None and len(self.value) not in (1, channels):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{channels} (number of inpt channels)"
            )
        image = empty(channels, height, width)  # only its size counts
        i, j, h, w, v = v1.RandomErasing.get_params(image, self.scale, self.ratio, self.value)
        return {"i": i, "j": j, "h": h, "w": w, "v": None if v is image else v}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params["v"] is None:
            return inpt
        return self._call_kernel(F.erase, inpt, **params, inplace=self.inplace)
