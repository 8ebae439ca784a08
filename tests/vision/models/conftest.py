"""Models whose weights nobody looks at are made without drawing them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cresset

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def without_draws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``nn.init`` leaves tensors as they are: a model of 600 million parameters takes 0.2 s."""
    init = cresset.nn.init
    for name in dir(init):
        if name.endswith("_") and not name.startswith("_"):
            monkeypatch.setattr(init, name, lambda tensor, *args, **kwargs: tensor)
    yield


@pytest.fixture
def small_linear(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Linear layers of 32 x 32 at most, here and in PyTorch: the draws of VGG in a second."""
    packages = [cresset.nn]
    if "torch" in sys.modules and hasattr(sys.modules["torch"], "_C"):
        packages.append(sys.modules["torch"].nn)
    for package in packages:

        class Small(package.Linear):  # type: ignore[name-defined, misc]
            def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
                super().__init__(min(inputs, 32), min(outputs, 32), bias)

        monkeypatch.setattr(package, "Linear", Small)
    yield
