"""Models by name, their published weights, and the interface before torchvision 0.13."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision

import cresset as torch
from cresset import hub, nn
from cresset.vision import models
from cresset.vision.models import _utils
from cresset.vision.models._api import WeightsEnum

pytestmark = pytest.mark.usefixtures("without_draws")


def test_models_are_found_by_name() -> None:
    assert models.list_models(include="resnet*") == [
        "resnet101", "resnet152", "resnet18", "resnet34", "resnet50",
    ]  # fmt: skip
    both = models.list_models(include=["*net1_?", "vgg11*"], exclude="*_bn")
    assert both == ["mnasnet1_0", "mnasnet1_3", "squeezenet1_0", "squeezenet1_1", "vgg11"]
    assert models.list_models(module=models) == models.list_models()
    assert models.list_models(module=torch) == []
    assert models.get_model_builder("ResNet18") is models.resnet18
    assert models.get_model("SQUEEZENET1_1", num_classes=3).num_classes == 3
    with pytest.raises(ValueError, match="Unknown model resnet19"):
        models.get_model("ResNet19")


def test_weights_are_found_by_name() -> None:
    v2 = models.ResNet50_Weights.IMAGENET1K_V2
    assert models.get_weight("ResNet50_Weights.IMAGENET1K_V2") is v2
    assert models.get_weight("ResNet50_Weights.DEFAULT") is v2
    assert models.get_model_weights("resnet50") is models.ResNet50_Weights
    assert models.get_model_weights(models.resnet50) is models.ResNet50_Weights
    assert str(v2) == repr(v2) == "ResNet50_Weights.IMAGENET1K_V2"
    for wrong, text in [
        ("ResNet50_Weights", "Invalid weight name provided: 'ResNet50_Weights'."),
        ("a.b.c", "Invalid weight name provided: 'a.b.c'."),
        ("resnet50.DEFAULT", "The weight enum 'resnet50' for the specific method couldn't"),
    ]:
        with pytest.raises(ValueError, match=text):
            models.get_weight(wrong)
    with pytest.raises(ValueError, match="missing the 'weights' argument"):
        models.get_model_weights(models.ResNet)


def test_every_model_has_weights_of_its_own() -> None:
    seen = set()
    for name in models.list_models():
        kind = models.get_model_weights(name)
        assert issubclass(kind, models.WeightsEnum) and kind.__name__ in models.__dict__
        assert "DEFAULT" in kind.__members__
        for weight in kind:
            assert weight.url.startswith("https://download.pytorch.org/models/")
            assert hub.HASH_IN_NAME.search(weight.url), weight.url
            seen.add(weight.url)
    assert len(seen) == 74


def test_weights_say_what_they_are() -> None:
    meta = models.ResNet50_Weights.IMAGENET1K_V2.meta
    assert meta["num_params"] == 25_557_032
    assert meta["min_size"] == (1, 1)
    assert meta["_metrics"] == {"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}
    assert len(meta["categories"]) == 1000
    assert (meta["categories"][0], meta["categories"][999]) == ("tench", "toilet tissue")
    assert models.VGG16_Weights.IMAGENET1K_FEATURES.meta["categories"] is None


def test_what_is_said_of_weights_is_what_torchvision_says() -> None:
    _, torchvision = load_torchvision()
    for name in models.list_models():
        ours, theirs = (m.get_model_weights(name) for m in (models, torchvision.models))
        assert ours.__name__ == theirs.__name__
        assert list(ours.__members__) == list(theirs.__members__)
        for member, value in theirs.__members__.items():
            mine = ours[member]
            assert (mine.name, mine.url) == (value.name, value.url)
            meta = {key: x for key, x in value.meta.items() if key != "_docs"}
            if meta["categories"] is None:  # its accuracies are not numbers
                assert mine.meta.keys() == meta.keys()
            else:
                assert mine.meta == meta
            assert repr(mine.transforms()) == repr(value.transforms())


def test_weights_come_with_their_transform() -> None:
    pytest.importorskip("PIL")
    preset = models.EfficientNet_B4_Weights.DEFAULT.transforms()
    assert (preset.crop_size, preset.resize_size) == ([380], [384])
    assert preset.interpolation.value == "bicubic"
    out = models.ResNet18_Weights.DEFAULT.transforms()(
        torch.full((3, 300, 260), 255, dtype=torch.uint8)
    )
    assert out.shape == (3, 224, 224) and out.dtype == torch.float32
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(out[:, 100, 100].numpy(), expected, rtol=1e-6)


def test_weights_are_themselves_after_pickle_and_copy() -> None:
    weight = models.VGG16_Weights.IMAGENET1K_FEATURES
    assert pickle.loads(pickle.dumps(weight)) is weight
    assert copy.deepcopy({"w": weight})["w"] is weight


def test_a_builder_says_what_it_takes() -> None:
    parameters = inspect.signature(models.resnet18).parameters
    assert list(parameters) == ["weights", "progress", "kwargs"]
    assert models.resnet18.__name__ == "resnet18" and models.resnet18.__doc__
    with pytest.raises(TypeError, match="unexpected keyword argument 'clases'"):
        models.resnet18(clases=3)


def test_what_makes_a_model_what_it_is_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="The parameter 'groups' expected value 32 but got 16"):
        models.resnext50_32x4d(groups=16)


def test_models_need_no_pillow() -> None:
    program = """
import sys
sys.modules["PIL"] = None
from cresset.vision import models
print(len(models.list_models()))
try:
    models.AlexNet_Weights.DEFAULT.transforms()
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    count, text = done.stdout.splitlines()
    assert int(count) == len(models.list_models())
    assert "needs Pillow: pip install 'cresset[vision]'" in text


# -- loading ---------------------------------------------------------------------------------------


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Weights come from a fresh model full of ones, and not from the network."""
    calls = []

    def get_state_dict(self: WeightsEnum, **options: Any) -> Any:
        calls.append((self, options))
        model = type(self).__name__.removesuffix("_Weights").lower()
        keywords = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
        fresh = models.get_model(model, **keywords)
        return {name: torch.ones_like(value) for name, value in fresh.state_dict().items()}

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    return calls


def test_weights_are_given_as_a_member_or_its_name(published: list[Any]) -> None:
    weight = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    for given in (weight, "IMAGENET1K_V1", "DEFAULT", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        model = models.squeezenet1_1(weights=given, progress=False)
        assert all(bool((p == 1).all()) for p in model.parameters())
        assert published.pop() == (weight, {"progress": False, "check_hash": True})
    assert models.squeezenet1_1().num_classes == 1000 and not published
    with pytest.raises(TypeError, match="expected SqueezeNet1_1_Weights but received Sque"):
        models.squeezenet1_1(weights=models.SqueezeNet1_0_Weights.DEFAULT)
    with pytest.raises(KeyError, match="IMAGENET1K_V7"):
        models.squeezenet1_1(weights="IMAGENET1K_V7")
    with pytest.raises(ValueError, match="'num_classes' expected value 1000 but got 10 instead"):
        models.squeezenet1_1(weights=weight, num_classes=10)


def test_a_file_in_the_hub_folder_is_loaded(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_dir", str(tmp_path))
    state = {k: torch.ones_like(v) for k, v in models.squeezenet1_1().state_dict().items()}
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    model = models.get_model("squeezenet1_1", weights="DEFAULT")
    assert bool((model.classifier[1].weight == 1).all())


def test_auxiliary_classifiers_stay_only_where_asked_for(published: list[Any]) -> None:
    plain = models.googlenet(weights="DEFAULT")
    assert plain.aux1 is plain.aux2 is None and not plain.aux_logits and plain.transform_input
    with pytest.warns(UserWarning, match="auxiliary heads in the pretrained googlenet model are"):
        whole = models.googlenet(weights="DEFAULT", aux_logits=True, transform_input=False)
    assert whole.aux2 is not None and whole.aux_logits and not whole.transform_input
    inception = models.inception_v3(weights="DEFAULT")
    assert inception.AuxLogits is not None and inception.transform_input
    inception = models.inception_v3(weights="DEFAULT", aux_logits=False)
    assert inception.AuxLogits is None and not inception.aux_logits
    with pytest.raises(ValueError, match="'init_weights' expected value False but got True"):
        models.inception_v3(weights="DEFAULT", init_weights=True)


def test_a_transformers_weights_fix_the_size_of_its_images(published: list[Any]) -> None:
    with pytest.raises(ValueError, match="'image_size' expected value 224 but got 384 instead"):
        models.vit_b_32(weights="DEFAULT", image_size=384)


# -- before torchvision 0.13 -----------------------------------------------------------------------


def messages(call: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_pretrained_still_means_the_first_weights(published: list[Any]) -> None:
    for call in (
        lambda: models.mobilenet_v2(True),
        lambda: models.mobilenet_v2(pretrained=True),
        lambda: models.mobilenet_v2(weights=True),
    ):
        texts = messages(call)
        assert published.pop()[0] is models.MobileNet_V2_Weights.IMAGENET1K_V1
        assert texts[-1] == (
            "Arguments other than a weight enum or `None` for 'weights' are deprecated since 0.13 "
            "and may be removed in the future. The current behavior is equivalent to passing "
            "`weights=MobileNet_V2_Weights.IMAGENET1K_V1`. You can also use "
            "`weights=MobileNet_V2_Weights.DEFAULT` to get the most up-to-date weights."
        )
    assert messages(lambda: models.mobilenet_v2(pretrained=True))[0] == (
        "The parameter 'pretrained' is deprecated since 0.13 and may be removed in the future, "
        "please use 'weights' instead."
    )
    assert messages(lambda: models.mobilenet_v2(True, False))[0] == (
        "Using 'weights' and 'progress' as positional parameter(s) is deprecated since 0.13 and "
        "may be removed in the future. Please use keyword parameter(s) instead."
    )


def test_not_pretrained_still_means_fresh_weights(published: list[Any]) -> None:
    for call in (
        lambda: models.squeezenet1_1(False),
        lambda: models.squeezenet1_1(pretrained=False, num_classes=3),
    ):
        assert "equivalent to passing `weights=None`." in messages(call)[-1]
    assert messages(lambda: models.squeezenet1_1(weights=None)) == []
    assert published == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="No weights available for model vit_h_14"):
            models.vit_h_14(pretrained=True)


# -- parts that programs import --------------------------------------------------------------------


def test_intermediate_layers_are_given_by_name() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Tanh())
    part = _utils.IntermediateLayerGetter(net, {"0": "first", "2": "last"})
    out = part(torch.ones(1, 4))
    assert list(out) == ["first", "last"] and len(part) == 3
    assert torch.equal(out["last"], net[2](net[1](out["first"])))
    with pytest.raises(ValueError, match="return_layers are not present in model"):
        _utils.IntermediateLayerGetter(net, {"5": "x"})


@pytest.mark.parametrize(("value", "rounded"), [(32, 32), (11.2, 16), (12, 16), (33.6, 32), (5, 8)])
def test_channels_are_rounded_to_multiples_of_eight(value: float, rounded: int) -> None:
    assert _utils._make_divisible(value, 8) == rounded


def test_impossible_models_are_refused() -> None:
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: models.ResNet(models.resnet.BasicBlock, [1] * 4, groups=2), ValueError,
         "BasicBlock only supports groups=1 and base_width=64"),
        (lambda: models.resnet.BasicBlock(4, 4, dilation=2), NotImplementedError,
         "Dilation > 1 not supported in BasicBlock"),
        (lambda: models.resnet50(replace_stride_with_dilation=[True]), ValueError,
         "replace_stride_with_dilation should be None or a 3-element tuple, got [True]"),
        (lambda: models.SqueezeNet("2_0"), ValueError,
         "Unsupported SqueezeNet version 2_0: 1_0 or 1_1 expected"),
        (lambda: models.MobileNetV2(inverted_residual_setting=[[1, 2]]), ValueError,
         "inverted_residual_setting should be non-empty or a 4-element list, got [[1, 2]]"),
        (lambda: models.MobileNetV3([], 8), ValueError,
         "The inverted_residual_setting should not be empty"),
        (lambda: models.MobileNetV3([1], 8), TypeError,
         "The inverted_residual_setting should be List[InvertedResidualConfig]"),
        (lambda: models.EfficientNet([1], 0.1), TypeError,
         "The inverted_residual_setting should be List[MBConvConfig]"),
        (lambda: models.ConvNeXt([]), ValueError, "The block_setting should not be empty"),
        (lambda: models.ShuffleNetV2([1], [1]), ValueError,
         "expected stages_repeats as list of 3 positive ints"),
        (lambda: models.shufflenetv2.InvertedResidual(4, 6, 1), ValueError,
         "Invalid combination of stride 1, inp 4 and oup 6 values. If stride == 1 then inp should "
         "be equal to oup // 2 << 1."),
        (lambda: models.MNASNet(0.0), ValueError,
         "alpha should be greater than 0.0 instead of 0.0"),
        (lambda: models.vit_b_16(image_size=30), AssertionError,
         "Input shape indivisible by patch size!"),
        (lambda: models.GoogLeNet(init_weights=False, blocks=[nn.Linear]), ValueError,
         "blocks length should be 3 instead of 1"),
    ]  # fmt: skip
    for call, error, text in cases:
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == text
