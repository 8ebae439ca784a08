"""Transforms made of transforms.

``RandomApply`` draws from the tensor generator, ``RandomChoice`` and ``RandomOrder`` from Python's
``random``, as in torchvision.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from cresset.nn.module import Module
from cresset.ops.random import rand


def _listing(name: str, lines: Sequence[Any]) -> str:
    return name + "(" + "".join(f"\n    {line}" for line in lines) + "\n)"


class Compose:
    """One transform after the other.

    >>> from cresset.vision import transforms
    >>> transforms.Compose([transforms.CenterCrop(10), transforms.ToTensor()])
    Compose(
        CenterCrop(size=(10, 10))
        ToTensor()
    )
    """

    def __init__(self, transforms: Any) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self) -> str:
        return _listing(type(self).__name__, self.transforms)


class Lambda:
    """A function as a transform. To be pickled for worker processes it must have a name.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.Lambda(lambda x: 2 * x)(torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomApply(Module):
    """All of ``transforms`` in order, with probability ``p``; else nothing.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomApply([transforms.CenterCrop(2)], p=1.0)(torch.ones(1, 4, 4)).shape
    torch.Size([1, 2, 2])
    """

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__()
        self.transforms = transforms
        self.p = p

    def forward(self, img: Any) -> Any:
        if bool(self.p < rand(1)):
            return img
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self) -> str:
        return _listing(type(self).__name__, [f"p={self.p}", *self.transforms])


class RandomTransforms:
    """Base of the transforms that pick from a list."""

    def __init__(self, transforms: Sequence[Any]) -> None:
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return _listing(type(self).__name__, self.transforms)


class RandomOrder(RandomTransforms):
    """All of ``transforms`` in random order.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> steps = [transforms.CenterCrop(2), transforms.Pad(1)]
    >>> transforms.RandomOrder(steps)(torch.ones(1, 4, 4)).ndim
    3
    """

    def __call__(self, img: Any) -> Any:
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


class RandomChoice(RandomTransforms):
    """One of ``transforms``, with weights ``p`` where given.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomChoice([transforms.CenterCrop(2)], p=[1.0])(torch.ones(1, 4, 4)).shape
    torch.Size([1, 2, 2])
    """

    def __init__(self, transforms: Sequence[Any], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args: Any) -> Any:
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"
