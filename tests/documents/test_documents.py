"""All code of the five documents runs, in order, unchanged, and says what the documents say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cresset import compat
from cresset.compat import legacy

from . import harness
from .harness import accept_cifar10, make_cifar10, make_mnist

pytestmark = pytest.mark.skipif(
    not harness.available(), reason="the documents (../shared/seeds) are not here"
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> Any:
    """A folder with small data sets in the real formats; ``torch`` bound to Cresset."""
    # The old documents never install PyTorch beside Cresset; here the oracle may be loaded.
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] in ("torch", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    make_cifar10(tmp_path / "data", 8, 16)
    accept_cifar10(monkeypatch, tmp_path / "data")
    make_mnist(tmp_path / "data", 256, 128)
    (tmp_path / "pretrained").mkdir()
    harness.write_pickled_mnist(tmp_path / "data" / "mnist")
    harness.stand_in_modules(monkeypatch)
    compat.install()
    yield tmp_path
    compat.uninstall()


def _namespace() -> dict[str, Any]:
    import sys
    import types

    module = types.ModuleType("__main__")
    sys.modules["documents_main"] = module
    module.__dict__["__name__"] = "documents_main"
    return module.__dict__


def _run(name: str, skip: Any = lambda code: False) -> dict[str, Any]:
    import matplotlib

    matplotlib.use("Agg")
    namespace = _namespace()
    count = harness.run(name, namespace, skip)
    assert count >= 15, f"only {count} blocks ran"
    return namespace


def _devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", str(count))


@pytest.mark.parametrize("devices", [0, 2])
def test_the_60_minute_blitz_of_1_0(
    world: Path, monkeypatch: Any, capsys: Any, devices: int
) -> None:
    _devices(monkeypatch, devices)
    # The first three lines of the data-parallel part refer to a model that is defined after them.
    early = ('device = torch.device("cuda:0")\nmodel.to(device)', "mytensor = my_tensor",
             "model = nn.DataParallel(model)\n")  # fmt: skip
    legacy.enable()  # dataiter.next()
    try:
        namespace = _run("blitz_zh", lambda code: code.lstrip().startswith(early))
    finally:
        legacy.disable()
    shown = capsys.readouterr().out
    assert "(fc1): Linear(in_features=400, out_features=120, bias=True)" in shown
    assert re.search(
        r"<MseLossBackward0 object.*\n<AddmmBackward0 object.*\n<AccumulateGrad", shown
    )
    assert "tensor([[4.5000, 4.5000],\n        [4.5000, 4.5000]])" in shown
    assert "Finished Training" in shown
    if devices:
        assert "Let's use 2 GPUs!" in shown
        assert "In Model: input size torch.Size([15, 5])" in shown
    assert namespace["total"] == 16


@pytest.mark.parametrize("devices", [0, 2])
def test_the_basics(world: Path, monkeypatch: Any, capsys: Any, devices: int) -> None:
    _devices(monkeypatch, devices)
    legacy.enable()  # dataiter.next()
    try:
        _run("basics_zh")
    finally:
        legacy.disable()
    shown = capsys.readouterr().out
    assert "tensor([2., 2., 2., 2., 2.])\n[2. 2. 2. 2. 2.]" in shown
    assert "tensor([2., 2., 2., 2., 2.], dtype=torch.float64)" in shown
    assert "grad_fn=<MulBackward0>" in shown and "<AddBackward0 object at 0x" in shown
    assert (world / "cifar_net.pth").exists()


def test_the_blitz_of_0_1_12(world: Path, monkeypatch: Any, capsys: Any) -> None:
    _devices(monkeypatch, 1)
    legacy.enable()
    try:
        _run("old_blitz_zh")
    finally:
        legacy.disable()
    shown = capsys.readouterr().out
    assert "conv1.bias.grad after backward" in shown
    assert shown.count("Accuracy of") >= 10


@pytest.mark.parametrize("devices", [0, 1])
def test_lenet_of_0_2(world: Path, monkeypatch: Any, capsys: Any, devices: int) -> None:
    import numpy as np

    _devices(monkeypatch, devices)
    legacy.enable()  # loss.data[0]
    try:
        namespace = _namespace()
        # The document imports both before its first line.
        exec("import torch\nimport numpy as np", namespace)
        assert harness.run("lenet_zh", namespace) >= 15
    finally:
        legacy.disable()
    shown = capsys.readouterr().out
    assert "(conv2_drop): Dropout2d(p=0.5, inplace=False)" in shown
    assert "Average loss" in shown
    assert (world / "pretrained" / "MNIST_net.t7").exists()
    predicted = namespace["predicted"]
    target = np.asarray(namespace["y_torch"])
    assert np.abs(predicted - target).mean() < 12


@pytest.mark.parametrize("devices", [0, 1])
def test_what_is_torch_nn(world: Path, monkeypatch: Any, capsys: Any, devices: int) -> None:
    _devices(monkeypatch, devices)
    # Fragments shown for comparison: loop bodies whose variables are not defined yet, and an update
    # before the new model has gradients (PyTorch fails there too).
    fragments = ("with torch.no_grad():\n    for p in model.parameters(): p -=", "xb = x_train[start_i:end_i]\nyb", "xb,yb = train_ds[i*bs", "opt.step()\nopt.zero",  # noqa: E501
                 "for i in range((n-1)//bs + 1):\n    xb,yb", "for xb,yb in train_dl:\n    pred = model(xb)\n")  # fmt: skip  # noqa: E501
    namespace = _run("nn_tutorial_zh", lambda code: code.lstrip().startswith(fragments))
    shown = capsys.readouterr().out
    assert "torch.Size([64, 10])" in shown
    assert "grad_fn=<NegBackward0>" in shown and "grad_fn=<NllLossBackward0>" in shown
    first, last = (float(v) for v in (re.findall(r"tensor\((\d\.\d+), grad_fn=<NllLoss", shown)[i] for i in (1, 2)))  # noqa: E501  # fmt: skip
    assert last < first
    assert namespace["model"] is not None
