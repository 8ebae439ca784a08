"""Whole modules, and other things whose classes belong to the program."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest

import cresset
from cresset import nn
from cresset.serialization import safe_globals

from .checkpoints import loaded, saved

PROGRAM = """
import sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
        self.count = 3

    def forward(self, x):
        return self.layers(x)

x = torch.linspace(0, 1, 32).view(2, 1, 4, 4)
if sys.argv[2] == "save":
    torch.manual_seed(0)
    net = Net()
    torch.save({"net": net, "optimizer": torch.optim.Adam(net.parameters())}, sys.argv[1])
try:
    torch.load(sys.argv[1])
    print("loaded without being trusted")
except Exception as error:
    print(type(error).__name__)
found = torch.load(sys.argv[1], weights_only=False)
net, optimizer = found["net"], found["optimizer"]
print(type(net) is Net, net.count, net(x).sum().item().hex())
net(x).sum().backward()
optimizer.step()
print(torch.__name__, net(x).sum().item().hex())
"""


def run(path: Path, script: Path, what: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cresset", str(script), str(path), what], capture_output=True,
        text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(cresset.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_script_loads_its_whole_module_in_the_same_process_and_in_the_next(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    first = run(tmp_path / "net.pt", script, "save")
    assert first[:3] == ["UnpicklingError", "True", "3"] and first[4] == "cresset"
    assert run(tmp_path / "net.pt", script, "load") == first


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Dropout(0.5)})
        self.register_buffer("seen", cresset.zeros(1))
        self.shared = self.inner["a"].weight
        self.notes = ["x", {"y": 1}]

    def forward(self, x):
        return self.inner["a"](x)


def test_a_module_of_ones_own_comes_back_whole():
    net = Net()
    again = loaded(saved(net), weights_only=False)
    assert type(again) is Net and again.notes == net.notes
    assert again.shared is again.inner["a"].weight and again.shared.requires_grad
    x = cresset.ones(1, 2)
    assert cresset.equal(again(x), net(x))
    assert again.state_dict().keys() == net.state_dict().keys()


#: How to make a module, and the shapes of what it takes.
MODULES = [
    (lambda nn: nn.Linear(2, 3), [(1, 2)]),
    (lambda nn: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), [(1, 1, 4, 4)]),
    (lambda nn: nn.Conv1d(1, 2, 4, padding="same", padding_mode="circular"), [(1, 1, 8)]),
    (lambda nn: nn.ConvTranspose2d(1, 2, 3), [(1, 1, 4, 4)]),
    (lambda nn: nn.Sequential(nn.BatchNorm1d(3), nn.ReLU6(), nn.Dropout(0.1)), [(2, 3)]),
    (lambda nn: nn.MultiheadAttention(4, 2), [(3, 1, 4)] * 3),
    (lambda nn: nn.LSTM(2, 3, num_layers=2), [(4, 1, 2)]),
    (lambda nn: nn.GRU(2, 3, bidirectional=True), [(4, 1, 2)]),
    (lambda nn: nn.RNN(2, 3, bias=False), [(4, 1, 2)]),
    (lambda nn: nn.LSTMCell(2, 3), [(1, 2)]),
    (lambda nn: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), [(1, 3, 4)]),
    (lambda nn: nn.Sequential(nn.LayerNorm(4), nn.GroupNorm(1, 3)), [(2, 3, 4)]),
    (lambda nn: nn.AdaptiveAvgPool2d(2), [(1, 1, 4, 4)]),
    (lambda nn: nn.Upsample(scale_factor=2), [(1, 1, 2, 2)]),
    (lambda nn: nn.MaxPool2d(2), [(1, 1, 4, 4)]),
    (lambda nn: nn.MSELoss(), [(2, 2), (2, 2)]),
]


def outcome(torch, module, shapes) -> list:
    """What the module makes of numbers that are the same everywhere."""
    inputs = [torch.linspace(-1, 1, int(np.prod(shape))).view(shape) for shape in shapes]
    found = module.eval()(*inputs)
    return (found[0] if isinstance(found, tuple) else found).tolist()


@pytest.mark.parametrize("make, shapes", MODULES)
def test_whole_modules_of_pytorch_load_and_work(make, shapes):
    torch = pytest.importorskip("torch")
    theirs, f = make(torch.nn), io.BytesIO()
    torch.save(theirs, f)
    ours = loaded(f.getvalue(), weights_only=False)
    assert type(ours) is type(make(nn)) and repr(ours) == repr(make(nn))
    expected = outcome(torch, theirs, shapes)
    assert np.allclose(outcome(cresset, ours, shapes), expected, atol=1e-6)
    again = loaded(saved(ours), weights_only=False)
    assert outcome(cresset, again, shapes) == outcome(cresset, ours, shapes)


@pytest.mark.parametrize("make, shapes", MODULES)
def test_whole_modules_of_ours_load_in_pytorch_and_work(make, shapes):
    torch = pytest.importorskip("torch")
    ours = make(nn)
    theirs = torch.load(io.BytesIO(saved(ours)), weights_only=False)
    assert type(theirs) is type(make(torch.nn)) and repr(theirs) == repr(make(torch.nn))
    expected = outcome(torch, theirs, shapes)
    assert np.allclose(outcome(cresset, ours, shapes), expected, atol=1e-6)


def numpy_globals() -> list:
    module = "numpy._core" if hasattr(np, "_core") else "numpy.core"
    return [
        (np.ones(1).__reduce__()[0], f"{module}.multiarray._reconstruct"),
        (np.float32(1).__reduce__()[0], f"{module}.multiarray.scalar"),
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in ("f4", "f8", "i8", "c8", "?")},
    ]


@pytest.mark.parametrize(
    "value",
    [np.arange(6).reshape(2, 3), np.ones(3, "f4")[::2], np.zeros((0, 2)), np.array(1j, "c8"),
     np.float32(1.5), np.int64(-7), np.bool_(True)],
)  # fmt: skip
def test_numpy_values_load_where_they_are_allowed_or_trusted(value):
    data = saved({"value": value})
    with pytest.raises(UnpicklingError, match="numpy.* was not an allowed global"):
        loaded(data)
    trusted = loaded(data, weights_only=False)["value"]
    with safe_globals(numpy_globals()):
        allowed = loaded(data)["value"]
    for found in (trusted, allowed):
        assert type(found) is type(value) and found.dtype == value.dtype
        assert np.array_equal(found, value)
    torch = pytest.importorskip("torch")
    with torch.serialization.safe_globals(numpy_globals()):
        assert np.array_equal(torch.load(io.BytesIO(data))["value"], value)


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64", "complex32", "float8_e4m3fn"])
@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_a_dtype_that_is_not_there_is_named(name):
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    torch.save({"x": torch.zeros(2, dtype=getattr(torch, name))}, f)
    for weights_only in (True, False):
        with pytest.raises(RuntimeError, match=f"a tensor of torch.{name}, a dtype which Cresset"):
            loaded(f.getvalue(), weights_only=weights_only)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda torch: torch.zeros(2, device="meta"), "a tensor without values"),
        (lambda torch: torch.eye(2).to_sparse(), "layout torch.sparse_coo is not supported"),
    ],
)
def test_a_kind_of_tensor_that_is_not_there_is_named(make, words):
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    torch.save(make(torch), f)
    with pytest.raises(RuntimeError, match=words):
        loaded(f.getvalue())
