"""What the tests of transforms share: images, and a comparison with torchvision at equal seeds.

A case is a function of a library that makes a transform: ``lambda L: L.Pad(2)``. ``check`` runs it
with Cresset's and with torchvision's module and compares results, errors and the number of draws.
"""

from __future__ import annotations

import importlib
import random
import warnings
from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision
from PIL import Image

import cresset
from cresset.vision import transforms

HEIGHT, WIDTH = 23, 31


def picture(mode: str = "RGB", height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """Noise as a PIL image."""
    bands = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
    noise = np.random.default_rng(3).integers(0, 256, (height, width, *bands), dtype=np.uint8)
    return Image.fromarray(noise)


def planes(dtype: str = "float32", *batch: int, channels: int = 3) -> np.ndarray:
    """Noise as (..., C, H, W): 0 to 1, or 0 to 255."""
    noise = np.random.default_rng(4).random((*batch, channels, HEIGHT, WIDTH))
    return noise.astype(dtype) if dtype.startswith("float") else (noise * 255).astype(dtype)


#: Images by name. The larger the name's number, the more dimensions.
IMAGES: dict[str, Any] = {
    "grey picture": picture("L"),
    "picture": picture(),
    "bytes": planes("uint8"),
    "grey bytes": planes("uint8", channels=1),
    "batch of bytes": planes("uint8", 2),
    "floats": planes("float32"),
    "batch of floats": planes("float32", 2),
    "doubles": planes("float64"),
}


def theirs() -> tuple[Any, Any]:
    """(torch, torchvision.transforms); skips the test where they are missing."""
    torch, torchvision = load_torchvision()
    return torch, torchvision.transforms


def submodule(root: Any, path: str) -> Any:
    """The module ``root.path``; ``root`` for ""."""
    return importlib.import_module(f"{root.__name__}.{path}") if path else root


def _outcome(make: Any, library: Any, framework: Any, image: Any, seed: int) -> Any:
    """The result, or the error, at this seed."""
    framework.manual_seed(seed)
    random.seed(seed)
    given = framework.from_numpy(image.copy()) if isinstance(image, np.ndarray) else image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(library)(given)
    except Exception as error:
        return error


def assert_alike(got: Any, want: Any, atol: float) -> None:
    """Same type, mode or dtype, and size; bytes and pictures equal, floats within ``atol``."""
    if isinstance(want, Exception):
        assert isinstance(got, Exception), f"{want!r} is missing"
        assert (type(got), str(got)) == (type(want), str(want))
    elif isinstance(got, Exception):
        raise got
    elif isinstance(want, (tuple, list)):
        assert type(got) is type(want)
        assert len(got) == len(want)
        for a, b in zip(got, want):
            assert_alike(a, b, atol)
    elif isinstance(want, Image.Image):
        assert (got.mode, got.size) == (want.mode, want.size)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))
    elif hasattr(want, "numpy"):
        a, b = got.detach().numpy(), want.detach().numpy()
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=atol, atol=atol)
        else:
            np.testing.assert_array_equal(a, b)
    else:
        assert got == want


def check(make: Any, image: Any, seeds: int = 4, path: str = "", atol: float = 4e-6) -> None:
    """``make`` gives the same with both libraries; ``path`` is a submodule such as "v2"."""
    torch, R = theirs()
    ours, oracle = submodule(transforms, path), submodule(R, path)
    for seed in range(seeds):
        want = _outcome(make, oracle, torch, image, seed)
        got = _outcome(make, ours, cresset, image, seed)
        assert_alike(got, want, atol)
        if not isinstance(want, Exception):
            assert cresset.rand(1).item() == torch.rand(1).item(), "not as many draws"


def check_repr(make: Any, path: str = "") -> None:
    """The transform prints as torchvision's."""
    _, R = theirs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert repr(make(submodule(transforms, path))) == repr(make(submodule(R, path)))


def check_error(provoke: Any, path: str = "") -> None:
    """``provoke(framework, library)`` fails with torchvision's type and words."""
    torch, R = theirs()
    with pytest.raises(Exception) as want:  # noqa: PT011
        provoke(torch, submodule(R, path))
    with pytest.raises(Exception) as got:  # noqa: PT011
        provoke(cresset, submodule(transforms, path))
    assert type(got.value).__name__.lstrip("_") == type(want.value).__name__.lstrip("_")
    assert str(got.value) == str(want.value)
