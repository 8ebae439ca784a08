"""Transforms made of transforms. Here all of them draw from the tensor generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cresset.nn.containers import ModuleList
from cresset.ops.creation import tensor
from cresset.ops.random import multinomial, randperm
from cresset.vision.transforms import draws
from cresset.vision.transforms.v2.transform import Transform


def _check(transforms: Any, kinds: Any, words: str) -> None:
    if not isinstance(transforms, kinds):
        raise TypeError(f"Argument transforms should be {words}")
    if not transforms:
        raise ValueError("Pass at least one transform")


def _chain(transforms: Any, inputs: tuple[Any, ...]) -> Any:
    many = len(inputs) > 1
    for transform in transforms:
        outputs = transform(*inputs)
        inputs = outputs if many else (outputs,)
    return outputs


class Compose(Transform):
    """One transform after the other.

    >>> from cresset.vision.transforms import v2
    >>> v2.Compose([v2.CenterCrop(10), v2.ToImage()])
    Compose(
          CenterCrop(size=(10, 10))
          ToImage()
    )
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        _check(transforms, Sequence, "a sequence of callables")
        self.transforms = transforms

    def forward(self, *inputs: Any) -> Any:
        return _chain(self.transforms, inputs)

    def extra_repr(self) -> str:
        return "\n".join(f"    {t}" for t in self.transforms)


class RandomApply(Transform):
    """All of ``transforms`` in order, with probability ``p``; else nothing.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomApply([v2.CenterCrop(2)], p=1.0)(torch.ones(1, 4, 4)).shape
    torch.Size([1, 2, 2])
    """

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__()
        _check(transforms, (Sequence, ModuleList), "a sequence of callables or a `nn.ModuleList`")
        self.transforms = transforms
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        if draws.happens(self.p):
            return _chain(self.transforms, inputs)
        return inputs if len(inputs) > 1 else inputs[0]

    def extra_repr(self) -> str:
        return "\n".join(f"    {t}" for t in self.transforms)


class RandomChoice(Transform):
    """One of ``transforms``, with weights ``p`` where given.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomChoice([v2.CenterCrop(2)])(torch.ones(1, 4, 4)).shape
    torch.Size([1, 2, 2])
    """

    def __init__(
        self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None
    ) -> None:
        _check(transforms, Sequence, "a sequence of callables")
        weights = [1] * len(transforms) if p is None else p
        if len(weights) != len(transforms):
            raise ValueError(
                "Length of p doesn't match the number of transforms: "
                f"{len(weights)} != {len(transforms)}"
            )
        super().__init__()
        self.transforms = transforms
        self.p = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs: Any) -> Any:
        which = int(multinomial(tensor(self.p), 1))
        return self.transforms[which](*inputs)


class RandomOrder(Transform):
    """All of ``transforms`` in random order.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomOrder([v2.CenterCrop(2), v2.Pad(1)])(torch.ones(1, 4, 4)).ndim
    3
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        _check(transforms, Sequence, "a sequence of callables")
        super().__init__()
        self.transforms = transforms

    def forward(self, *inputs: Any) -> Any:
        order = randperm(len(self.transforms)).tolist()
        return _chain([self.transforms[i] for i in order], inputs)
