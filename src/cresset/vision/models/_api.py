"""Which models there are, and which published weights go with them.

A *builder* is a function that makes a model (``resnet18``); ``register_model`` puts it into the
table that ``get_model`` and ``list_models`` read. A *weights enum* (``ResNet18_Weights``) lists the
checkpoints published for it: where each lies, how images were prepared for it, what is known of it.
The facts are in published.csv and imagenet_categories.txt, as torchvision 0.28 states them.
"""

from __future__ import annotations

import csv
import fnmatch
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from importlib import resources
from inspect import signature
from types import ModuleType
from typing import Any, TypeVar, get_args

from cresset.hub import load_state_dict_from_url
from cresset.nn import Module

__all__ = ["Weights", "WeightsEnum", "get_model", "get_model_builder", "get_model_weights",
           "get_weight", "list_models"]  # fmt: skip

Builder = TypeVar("Builder", bound=Callable[..., Module])

BASE_URL = "https://download.pytorch.org/models/"
BUILTIN_MODELS: dict[str, Callable[..., Module]] = {}


@dataclass
class Weights:
    """One published checkpoint.

    Attributes:
        url: the file; the part of its name after the last dash begins its SHA-256 sum.
        transforms: called without arguments, makes the transform that its images went through.
        meta: ``categories`` (names of the classes), ``num_params``, ``min_size``, ``recipe``, ...
    """

    url: str
    transforms: Callable[..., Any]
    meta: dict[str, Any]


class WeightsEnum(Enum):
    """The checkpoints of one model; each member's value is a ``Weights``."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """A member for a member, its name or None; TypeError for another model's member.

        >>> from cresset.vision.models import ResNet18_Weights
        >>> ResNet18_Weights.verify("IMAGENET1K_V1")
        ResNet18_Weights.IMAGENET1K_V1
        """
        if isinstance(obj, str):
            return cls[obj.removeprefix(cls.__name__ + ".")]
        if obj is not None and not isinstance(obj, cls):
            raise TypeError(
                f"Invalid Weight class provided; expected {cls.__name__} but received "
                f"{obj.__class__.__name__}."
            )
        return obj

    def get_state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The checkpoint, downloaded where it is not in the cache: ``load_state_dict_from_url``."""
        return load_state_dict_from_url(self.url, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}.{self._name_}"

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return getattr, (self.__class__, self._name_)

    @property
    def url(self) -> str:
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        return self.value.meta


@cache
def _table(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _published() -> dict[str, dict[str, str]]:
    return {row["file"]: row for row in csv.DictReader(_table("published.csv").splitlines())}


@cache
def imagenet_categories() -> list[str]:
    """The names of ImageNet's 1000 classes, in the order of a model's outputs.

    >>> imagenet_categories()[281]
    'tabby'
    """
    return _table("imagenet_categories.txt").splitlines()


def _preset(**settings: Any) -> Module:
    """The transform of a checkpoint. Only here, as it needs Pillow, which the models do not."""
    from cresset.vision.transforms._presets import ImageClassification

    return ImageClassification(**settings)


def imagenet(file: str, *, mean: Any = None, std: Any = None, **meta: Any) -> Weights:
    """The ImageNet checkpoint ``file``, a row of published.csv; ``meta`` adds to what it says."""
    row = _published()[file]
    settings: dict[str, Any] = {"crop_size": int(row["crop"]), "resize_size": int(row["resize"])}
    if row["interpolation"] != "bilinear":
        settings["interpolation"] = row["interpolation"]
    if mean is not None:
        settings |= {"mean": mean, "std": std}
    known = {
        "num_params": int(row["num_params"]),
        "min_size": (int(row["min_size"]),) * 2,
        "categories": imagenet_categories(),
        "recipe": row["recipe"],
        "_metrics": {"ImageNet-1K": {"acc@1": float(row["acc@1"]), "acc@5": float(row["acc@5"])}},
        "_ops": float(row["gflops"]),
        "_file_size": float(row["megabytes"]),
    }
    return Weights(f"{BASE_URL}{file}.pth", partial(_preset, **settings), known | meta)


def register_model(name: str | None = None) -> Callable[[Builder], Builder]:
    """Decorates a builder: ``get_model`` finds it under ``name``, else under its own."""

    def register(builder: Builder) -> Builder:
        key = name if name is not None else builder.__name__
        if key in BUILTIN_MODELS:
            raise ValueError(f"An entry is already registered under the name '{key}'.")
        BUILTIN_MODELS[key] = builder
        return builder

    return register


def list_models(
    module: ModuleType | None = None,
    include: Iterable[str] | str | None = None,
    exclude: Iterable[str] | str | None = None,
) -> list[str]:
    """The names that ``get_model`` takes, sorted.

    Args:
        module: only those of this package, such as ``torchvision.models``.
        include: only those that match one of these patterns (``"resnet*"``).
        exclude: none that match one of these.

    >>> list_models(include="vgg1[36]*", exclude="*_bn")
    ['vgg13', 'vgg16']
    """

    def matching(names: Iterable[str], patterns: Iterable[str] | str) -> set[str]:
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return {name for pattern in patterns for name in fnmatch.filter(names, pattern)}

    names = {
        name
        for name, builder in BUILTIN_MODELS.items()
        if module is None or builder.__module__.rpartition(".")[0] == module.__name__
    }
    if include:
        names = matching(names, include)
    if exclude:
        names -= matching(names, exclude)
    return sorted(names)


def get_model_builder(name: str) -> Callable[..., Module]:
    """The function that makes the model ``name``; ValueError for an unknown one."""
    try:
        return BUILTIN_MODELS[name.lower()]
    except KeyError:
        raise ValueError(f"Unknown model {name.lower()}") from None


def get_model(name: str, **config: Any) -> Module:
    """A new model by its name: ``get_model("resnet18", weights="DEFAULT")``.

    >>> type(get_model("squeezenet1_1", num_classes=10)).__name__
    'SqueezeNet'
    """
    return get_model_builder(name)(**config)


def get_model_weights(name: Callable[..., Module] | str) -> type[WeightsEnum]:
    """The weights enum of a model, given by name or as its builder.

    >>> get_model_weights("resnet18").DEFAULT
    ResNet18_Weights.IMAGENET1K_V1
    """
    parameters = signature(get_model_builder(name) if isinstance(name, str) else name).parameters
    if "weights" not in parameters:
        raise ValueError("The method is missing the 'weights' argument.")
    annotation = parameters["weights"].annotation
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, WeightsEnum):
            return kind
    raise ValueError(
        "The WeightsEnum class for the specific method couldn't be retrieved. Make sure the "
        "typing info is correct."
    )


def get_weight(name: str) -> WeightsEnum:
    """A member of a weights enum by its whole name.

    >>> get_weight("ResNet50_Weights.IMAGENET1K_V2")
    ResNet50_Weights.IMAGENET1K_V2
    """
    kind_name, dot, member = name.partition(".")
    if not dot or "." in member:
        raise ValueError(f"Invalid weight name provided: '{name}'.")
    kind = vars(importlib.import_module(__package__)).get(kind_name)
    if not (isinstance(kind, type) and issubclass(kind, WeightsEnum)):
        raise ValueError(
            f"The weight enum '{kind_name}' for the specific method couldn't be retrieved."
        )
    return kind[member]
