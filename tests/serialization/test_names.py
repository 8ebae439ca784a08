from __future__ import annotations

import pytest

import cresset
from cresset.serialization import names


@pytest.mark.parametrize(
    "module, name, public",
    [
        ("torch.nn.modules.linear", "Linear", "torch.nn.Linear"),
        ("torch.nn.parameter", "Parameter", "torch.nn.Parameter"),
        ("torch.optim.sgd", "SGD", "torch.optim.SGD"),
        ("torch.optim.lr_scheduler", "StepLR", "torch.optim.lr_scheduler.StepLR"),
        ("torch.utils.data.dataset", "Subset", "torch.utils.data.Subset"),
        ("torch", "Size", "torch.Size"),
        ("collections", "OrderedDict", "collections.OrderedDict"),
    ],
)
def test_inner_places_have_one_public_name(module, name, public):
    assert names.canonical(module, name) == public


def test_every_dtype_has_pytorchs_storage_name():
    torch = pytest.importorskip("torch")
    for dtype, storage in names.STORAGE_TYPES.items():
        assert getattr(torch, storage.name).dtype is getattr(torch, dtype.name)


def test_every_name_of_the_table_exists_in_pytorch():
    torch = pytest.importorskip("torch")
    for full in names.OBJECTS:
        found = torch
        for part in full.split(".")[1:]:
            found = getattr(found, part)


def test_names_lead_to_our_objects_and_back():
    for full in ("torch.Size", "torch.device", "torch.float32", "torch.Tensor"):
        module, _, name = full.rpartition(".")
        assert names.pytorch_name(names.resolve(module, name)) == (module, name)
    assert names.resolve("torch", "tensor") is cresset.tensor


def test_things_of_others_have_no_name_here():
    assert names.pytorch_name(len) is None and names.pytorch_name(pytest.fixture) is None


def test_an_unknown_name_says_so():
    with pytest.raises(AttributeError, match="Can't get attribute 'Nothing' on 'torch.nn'"):
        names.resolve("torch.nn", "Nothing")
