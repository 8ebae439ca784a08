"""Parameters and buffers have torchvision's names, order, shapes and dtypes: checkpoints load.

``make_golden.py`` wrote what is compared here; where torchvision is installed, the reprs are
compared too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from names import summary
from oracle import load_torchvision

from cresset.vision import models

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())

pytestmark = [
    pytest.mark.usefixtures("without_draws"),
    pytest.mark.filterwarnings("ignore:The default weight init:FutureWarning"),
]


def test_every_model_of_the_families_is_there() -> None:
    assert models.list_models() == sorted(GOLDEN)
    assert all(name in models.__dict__ for name in GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_state_of_a_model_is_torchvisions(name: str) -> None:
    assert summary(models.get_model(name)) == GOLDEN[name]


def test_some_numbers_of_parameters_are_the_published_ones() -> None:
    found = {name: GOLDEN[name]["parameters"] for name in ("alexnet", "resnet50", "vit_b_16")}
    assert found == {"alexnet": 61_100_840, "resnet50": 25_557_032, "vit_b_16": 86_567_656}
    assert summary(models.resnet18())["parameters"] == 11_689_512


@pytest.mark.parametrize("name", GOLDEN)
def test_the_weights_enum_knows_the_number_of_parameters(name: str) -> None:
    weights = models.get_model_weights(name).DEFAULT
    without_aux = {"googlenet": 6_380_000}  # what its auxiliary classifiers hold, about
    extra = without_aux.get(name, 0)
    if name == "vit_h_14":  # the default checkpoint is for larger images: more positions
        extra = 1280 * (16**2 - 37**2)
    assert weights.meta["num_params"] + extra == pytest.approx(
        GOLDEN[name]["parameters"], abs=2000 if name == "googlenet" else 0
    )


@pytest.mark.parametrize(
    "name",
    ["alexnet", "convnext_tiny", "densenet121", "efficientnet_b5", "efficientnet_v2_s", "googlenet",
     "inception_v3", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "resnet18", "resnet50",
     "shufflenet_v2_x1_0", "squeezenet1_1", "vgg16_bn", "vit_b_16"],
)  # fmt: skip
def test_a_model_prints_as_torchvisions(name: str) -> None:
    torch, torchvision = load_torchvision()
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name)
    ours = models.get_model(name)
    assert repr(ours) == repr(theirs)
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
