"""The words for names that Cresset lacks."""

from __future__ import annotations

from types import ModuleType

import pytest

from cresset.compat.missing import as_written, attach, missing, nearest


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cresset", "torch"),
        ("cresset.nn", "torch.nn"),
        ("cresset.vision", "torchvision"),
        ("cresset.vision.transforms", "torchvision.transforms"),
        ("cresset.visionary", "torch.visionary"),
        ("numpy", "numpy"),
    ],
)
def test_modules_are_named_as_the_user_wrote_them(ours: str, theirs: str) -> None:
    assert as_written(ours) == theirs


def test_the_message_begins_with_pytorchs_words_and_ends_with_the_nearest_name() -> None:
    error = missing("cresset.nn", "Conv2D", ["Conv1d", "Conv2d", "Linear"])
    assert str(error) == (
        "module 'torch.nn' has no attribute 'Conv2D' "
        "(Cresset does not have it; the nearest it has: 'Conv2d')"
    )
    assert error.name == "Conv2D"


def test_nothing_is_suggested_when_nothing_is_near() -> None:
    text = "module 'torch' has no attribute 'zzzz' (Cresset does not have it)"
    assert str(missing("cresset", "zzzz", ["add", "mul"])) == text


def test_private_names_are_suggested_for_private_names_only() -> None:
    assert nearest("relu6", ["_relu6", "relu"]) == "relu"
    assert nearest("_relu6", ["_relu6_", "relu"]) == "_relu6_"


def test_probing_for_a_dunder_name_searches_nothing() -> None:
    class Unreadable(list):
        def __iter__(self):
            raise AssertionError("searched")

    assert str(missing("cresset", "__wrapped__", Unreadable())) == (
        "module 'torch' has no attribute '__wrapped__'"
    )


def test_attach_keeps_the_lazy_names_that_a_module_had() -> None:
    module = ModuleType("cresset.thing")

    def lazily(name: str) -> int:
        if name == "lazy":
            return 7
        raise AttributeError(name)

    module.__getattr__ = lazily  # type: ignore[method-assign]
    module.linear = 1  # type: ignore[attr-defined]
    attach(module)
    assert module.lazy == 7
    with pytest.raises(AttributeError, match=r"module 'torch\.thing'.*nearest it has: 'linear'"):
        _ = module.linaer
