"""What a sample holds, and checks of arguments that several transforms share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms.v2.functional import get_dimensions, get_size, is_pure_tensor

#: A class, or a function that tells whether an object is of the kind.
Kind = type | Callable[[Any], bool]


def check_type(obj: Any, types_or_checks: Sequence[Kind]) -> bool:
    """Whether ``obj`` is of one of the kinds."""
    return any(
        isinstance(obj, kind) if isinstance(kind, type) else kind(obj) for kind in types_or_checks
    )


def has_any(flat_inputs: Sequence[Any], *types_or_checks: Kind) -> bool:
    """Whether there is something of one of the kinds."""
    return any(check_type(inpt, types_or_checks) for inpt in flat_inputs)


def has_all(flat_inputs: Sequence[Any], *types_or_checks: Kind) -> bool:
    """Whether there is something of each kind."""
    return all(has_any(flat_inputs, kind) for kind in types_or_checks)


def _only(sizes: set[tuple[int, ...]], name: str, missing: str) -> tuple[int, ...]:
    if not sizes:
        raise TypeError(missing)
    if len(sizes) > 1:
        *first, last = sorted(sizes)
        listed = ", ".join(f"'{size}'" for size in first)
        raise ValueError(f"Found multiple {name} dimensions in the sample: {listed}, '{last}'")
    return sizes.pop()


def query_chw(flat_inputs: Sequence[Any]) -> tuple[int, ...]:
    """(channels, height, width) of all images."""
    images = [x for x in flat_inputs if isinstance(x, (Tensor, Image.Image))]
    sizes = {tuple(get_dimensions(image)) for image in images}
    return _only(sizes, "CxHxW", "No image or video was found in the sample")


def query_size(flat_inputs: Sequence[Any]) -> tuple[int, ...]:
    """(height, width) of all images."""
    images = [x for x in flat_inputs if isinstance(x, (Tensor, Image.Image))]
    missing = "No image, video, mask, bounding box of keypoint was found in the sample"
    return _only({tuple(get_size(image)) for image in images}, "HxW", missing)


# -- arguments -------------------------------------------------------------------------------------


def two_numbers(arg: Any, name: str) -> list[float]:
    """Two floats from one or two numbers."""
    if not isinstance(arg, (int, float, Sequence)):
        raise TypeError(f"{name} should be a number or a sequence of numbers. Got {type(arg)}")
    if isinstance(arg, (int, float)):
        return [float(arg)] * 2
    if len(arg) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(arg)}")
    for number in arg:
        if not isinstance(number, (int, float)):
            raise ValueError(f"{name} should be a sequence of numbers. Got {type(number)}")
    return [float(arg[0]), float(arg[-1])]


def check_fill(fill: Any) -> None:
    """TypeError for what is no colour, nor a dictionary of colours by type."""
    if isinstance(fill, dict):
        for colour in fill.values():
            check_fill(colour)
    elif fill is not None and not isinstance(fill, (Number, tuple, list)):
        raise TypeError(
            "Got inappropriate fill arg, only Numbers, tuples, lists and dicts are allowed."
        )


def fill_for(fill: Any, kind: type) -> Any:
    """The colour for images of type ``kind``; lists as floats."""
    if isinstance(fill, dict):
        fill = fill[kind] if kind in fill else fill.get("others")
    if fill is None or isinstance(fill, (int, float)):
        return fill
    return [float(value) for value in fill]


def check_padding(padding: Any) -> None:
    """ValueError for anything but one, two or four integers."""
    numbers = padding if isinstance(padding, (tuple, list)) else [padding]
    if len(numbers) not in (1, 2, 4) or not all(isinstance(n, int) for n in numbers):
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element of tuple or list, got {padding}."
        )


def check_padding_mode(mode: Any) -> None:
    """ValueError for an unknown way to pad."""
    if mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")


# -- labels ----------------------------------------------------------------------------------------


def _default_labels(inputs: Any) -> Tensor:
    """The labels of (images, labels), or of a dictionary by the most likely name."""
    if isinstance(inputs, (tuple, list)):
        inputs = inputs[1]
    if is_pure_tensor(inputs):
        return inputs
    if not isinstance(inputs, Mapping):
        raise ValueError(
            "When using the default labels_getter, the input passed to forward must be a "
            "dictionary or a two-tuple whose second item is a dictionary or a tensor, but got "
            f"{inputs} instead."
        )
    named = [key for key in inputs if key.lower() == "labels"]
    named += [key for key in inputs if "label" in key.lower()]
    if not named:
        raise ValueError(
            "Could not infer where the labels are in the sample. Try passing a callable as the "
            "labels_getter parameter?If there are no labels in the sample by design, pass "
            "labels_getter=None."
        )
    return inputs[named[0]]


def labels_getter(given: Any) -> Callable[[Any], Any]:
    """A function that finds the labels of a sample."""
    if given == "default":
        return _default_labels
    if callable(given):
        return given
    if given is None:
        return lambda _: None
    raise ValueError(
        f"labels_getter should either be 'default', a callable, or None, but got {given}."
    )
