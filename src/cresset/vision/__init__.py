"""Images: what users know as ``torchvision``.

``datasets`` reads torchvision's files, ``transforms`` makes training images of them, ``models`` are
the usual networks, ``io`` reads and writes image files, ``utils`` shows images. All but ``models``
and ``ops`` need Pillow: ``pip install 'cresset[vision]'``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cresset.vision import datasets, io, models, ops, transforms, utils

#: The torchvision whose interface this follows.
__version__ = "0.28.0+cresset"

__all__ = ["datasets", "disable_beta_transforms_warning", "get_image_backend", "io", "models",
           "ops", "set_image_backend", "transforms", "utils"]  # fmt: skip

#: Modules that load when they are first used, so that nobody pays for what is not.
_LAZY = ("datasets", "io", "models", "ops", "transforms", "utils")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_image_backend() -> str:
    """The package that loads images: always ``'PIL'``."""
    return "PIL"


def set_image_backend(backend: str) -> None:
    """Accepts ``'PIL'``, the only package that loads images here."""
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'")


def disable_beta_transforms_warning() -> None:
    """Does nothing: old programs call it, but there is no warning any more."""
