"""Images: what users know as ``torchvision``.

``datasets`` reads torchvision's files, ``transforms`` makes training images of them, ``io``
reads and writes image files, ``utils`` shows images. Needs Pillow: ``pip install 'cresset[vision]'``.
"""

from __future__ import annotations

from cresset.vision import datasets, io, transforms, utils

#: The torchvision whose interface this follows.
__version__ = "0.28.0+cresset"

__all__ = ["datasets", "get_image_backend", "io", "set_image_backend", "transforms",
           "utils"]  # fmt: skip


def get_image_backend() -> str:
    """The package that loads images: always ``'PIL'``."""
    return "PIL"


def set_image_backend(backend: str) -> None:
    """Accepts ``'PIL'``, the only package that loads images here."""
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'")
