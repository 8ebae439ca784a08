"""Models in training mode: what they return, and a fine-tuning script of everyday shape."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import cresset as torch
from cresset import nn
from cresset.vision import models


def test_googlenet_returns_its_auxiliary_outputs_while_training() -> None:
    model = models.googlenet(num_classes=5, init_weights=False)
    out = model(torch.zeros(2, 3, 32, 32))
    assert out._fields == ("logits", "aux_logits2", "aux_logits1")
    assert isinstance(out, models.GoogLeNetOutputs) and isinstance(out, models._GoogLeNetOutputs)
    assert [tuple(t.shape) for t in out] == [(2, 5)] * 3
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    plain = models.googlenet(num_classes=5, init_weights=False, aux_logits=False)
    assert plain(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert plain.aux1 is None and not any("aux" in name for name in plain.state_dict())


def test_inception_returns_its_auxiliary_outputs_while_training() -> None:
    model = models.inception_v3(num_classes=5, init_weights=False)
    # The auxiliary classifier needs images of 299 pixels; a smaller one in its place does not.
    model.AuxLogits = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(768, 5))
    out = model(torch.zeros(2, 3, 75, 75))
    assert out._fields == ("logits", "aux_logits")
    assert [tuple(t.shape) for t in out] == [(2, 5)] * 2
    assert model.eval()(torch.zeros(1, 3, 75, 75)).shape == (1, 5)
    aux = models.inception.InceptionAux(768, 5)
    assert aux(torch.zeros(2, 768, 17, 17)).shape == (2, 5)


def test_the_old_default_of_the_inception_models_warns() -> None:
    with pytest.warns(FutureWarning, match="please set init_weights=True"):
        models.googlenet(num_classes=2)


def test_a_step_of_training_changes_every_parameter_that_takes_part() -> None:
    torch.manual_seed(0)
    model = models.mobilenet_v3_small(num_classes=3, width_mult=0.25)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    loss = nn.functional.cross_entropy(model(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    optimiser.step()
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    # A batch norm after a bias-free convolution hides no parameter here; every one gets a gradient.
    assert still == []


def test_memory_efficient_densenets_have_the_same_gradients() -> None:
    def gradients(memory_efficient: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = models.DenseNet(
            4, (2, 2), 8, num_classes=3, memory_efficient=memory_efficient
        ).double()
        model(torch.randn(2, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
        return [p.grad for p in model.parameters()]

    for plain, again in zip(gradients(False), gradients(True)):
        torch.testing.assert_close(plain, again)


def test_checkpoints_with_densenets_old_names_load() -> None:
    model = models.DenseNet(4, (2,), 8, num_classes=3)
    state = model.state_dict()
    old = {
        name.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.").replace("conv2.", "conv.2."): torch.ones_like(value)
        for name, value in state.items()
    }  # fmt: skip
    assert "features.denseblock1.denselayer2.norm.1.weight" in old
    model.load_state_dict(old)
    assert all(bool((value == 1).all()) for value in model.state_dict().values())


def test_mnasnets_of_version_1_load_with_the_stem_of_their_time() -> None:
    old = models.mnasnet0_5(num_classes=2)
    wide = [*models.mnasnet._stem(32, 16), models.mnasnet._stack(16, 16, 3, 2, 3, 3, 0.1)]
    for i, layer in enumerate(wide):
        old.layers[i] = layer
    old._version = 1
    new = models.mnasnet0_5(num_classes=2)
    with pytest.warns(UserWarning, match="previous version"):
        new.load_state_dict(old.state_dict())
    assert new.layers[0].weight.shape == (32, 3, 3, 3) and new._version == 1
    with pytest.raises(ValueError, match="version should be set to 1 or 2 instead of None"):
        new.load_state_dict(dict(old.state_dict()))


def test_vision_transformers_read_the_names_of_version_1() -> None:
    block = models.vision_transformer.MLPBlock(2, 3, 0.0)
    old = {f"linear_{i}.{kind}": block[3 * (i - 1)].state_dict()[kind] + 1
           for i in (1, 2) for kind in ("weight", "bias")}  # fmt: skip
    expected = old["linear_2.bias"].clone()
    block.load_state_dict(old)
    assert torch.equal(block[3].bias, expected)


SCRIPT = """
    import torch
    import torch.nn as nn
    import torchvision
    import torchvision.models as models
    from torchvision import models as same
    from torchvision.models import ResNet18_Weights, resnet18
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.models.vgg import make_layers
    from torchvision.ops.misc import FrozenBatchNorm2d
    from torch.hub import load_state_dict_from_url
    assert models is same is torchvision.models

    torch.manual_seed(0)
    model = resnet18()
    for p in model.parameters():
        p.requires_grad = False
    model.fc = nn.Linear(model.fc.in_features, 2)
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.001, momentum=0.9)
    x, y = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        print(f"{loss.item():.4f}")
    assert model.conv1.weight.grad is None and model.fc.weight.grad is not None
"""


def test_a_fine_tuning_script_runs_unchanged(tmp_path) -> None:
    script = tmp_path / "tune.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, "-m", "cresset", str(script)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    # PyTorch's and torchvision's numbers for the same script.
    assert done.stdout.split() == ["0.7457", "0.7302", "0.7026"]
