"""The base of the second interface: a transform of whole samples.

A sample is an image, or any nesting of containers with images in it. A transform draws its random
numbers once (``make_params``) and applies them to each image (``transform``); what is no image is
passed on. Of plain tensors only the first one is an image, and none where there is a PIL image:
others are labels.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from cresset.nn.module import Module
from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms import draws
from cresset.vision.transforms.settle import settled
from cresset.vision.transforms.v2.functional import is_pure_tensor
from cresset.vision.transforms.v2.inputs import Kind, check_type, has_any
from cresset.vision.transforms.v2.tree import leaves, rebuilt

_PRINTED = (bool, int, float, str, tuple, list, enum.Enum)


class Transform(Module):
    """Base class of all transforms here, and of users' own.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> class Brighter(v2.Transform):
    ...     def make_params(self, flat_inputs):
    ...         return {"factor": 2}
    ...     def transform(self, inpt, params):
    ...         return inpt * params["factor"]
    >>> Brighter()({"image": torch.ones(1, 1, 2), "label": 3})
    {'image': tensor([[[2., 2.]]]), 'label': 3}
    """

    #: What is transformed; the rest of a sample is passed on.
    _transformed_types: ClassVar[tuple[Kind, ...]] = (Tensor, Image.Image)

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raises an error for samples that cannot be transformed."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What the images of one sample share, random numbers above all."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One image transformed."""
        raise NotImplementedError

    def _call_kernel(self, functional: Any, inpt: Any, *args: Any, **kwargs: Any) -> Any:
        """``functional`` of an image; inputs that it is not made for are passed on."""
        kinds = getattr(functional, "kinds", (object,))
        return settled(functional(inpt, *args, **kwargs)) if isinstance(inpt, kinds) else inpt

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        self.check_inputs(flat)
        return self._transformed(sample, flat)

    def _transformed(self, sample: Any, flat: list[Any]) -> Any:
        by_itself = len(flat) == 1 and flat[0] is sample
        if by_itself and check_type(sample, self._transformed_types):  # most samples
            return self.transform(sample, self.make_params(flat))
        wanted = self._needs_transform_list(flat)
        params = self.make_params([x for x, want in zip(flat, wanted) if want])
        new = (self.transform(x, params) if want else x for x, want in zip(flat, wanted))
        return rebuilt(sample, new)

    def _needs_transform_list(self, flat_inputs: Sequence[Any]) -> list[bool]:
        first_tensor_is_image = not has_any(flat_inputs, Image.Image)
        wanted = []
        for inpt in flat_inputs:
            want = check_type(inpt, self._transformed_types)
            if want and is_pure_tensor(inpt):
                want, first_tensor_is_image = first_tensor_is_image, False
            wanted.append(want)
        return wanted

    def extra_repr(self) -> str:
        public = {
            name: value
            for name, value in self.__dict__.items()
            if not name.startswith("_") and name != "training" and isinstance(value, _PRINTED)
        }
        return ", ".join(f"{name}={value}" for name, value in public.items())


class RandomApplyTransform(Transform):
    """Base of the transforms that happen with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        super().__init__()
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        self.check_inputs(flat)
        return self._transformed(sample, flat) if draws.happens(self.p) else sample


def params_of(v1_class: Any) -> Callable[..., Any]:
    """``get_params`` of the first interface's class, which programs call by the new name too."""
    return staticmethod(v1_class.get_params)
