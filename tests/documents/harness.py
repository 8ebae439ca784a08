"""Reads the five documents, mends what typesetting broke, and runs their code in order.

A document is a list of code blocks run in one namespace. What the documents lost on their way (an
asterisk, indentation, HTML around a listing) is mended here and listed in ``MENDS``; the product
never learns of it. Blocks that show output are left out by ``is_output``.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import html
import io
import math
import pickle
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# The stand-in files in the real formats are made by the tests of vision.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vision"))
from standins import accept_cifar, make_cifar10, make_mnist  # noqa: E402

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
DOCUMENTS = {
    "blitz_zh": "000_4d40b80ac20565aa.txt",
    "basics_zh": "001_476057700161b3ba.txt",
    "old_blitz_zh": "002_da0f827daff81050.txt",
    "lenet_zh": "003_8db7a84a1e79ed9e.txt",
    "nn_tutorial_zh": "004_155dbac5d0c2e13f.txt",
}

#: (document, broken text, mended text, what was lost)
MENDS = [
    ("blitz_zh", "y = x  2\nwhile y.data.norm() < 1000:\ny = y  2\n",
     "y = x * 2\nwhile y.data.norm() < 1000:\n    y = y * 2\n", "asterisks and indentation"),
    ("blitz_zh", "for i in range(10):\nprint('Accuracy of %5s : %2d %%' % (\n",
     "for i in range(10):\n    print('Accuracy of %5s : %2d %%' % (\n", "indentation"),
    ("blitz_zh", "forepochinrange(2):# loop over the dataset multiple times\n\n```\n",
     "```\nfor epoch in range(2):  # loop over the dataset multiple times\n#: indent\n",
     "the loop's first line, and its body's indentation"),
    ("blitz_zh", "```\n\nnet = Net()\n\n\n\n", "```\n\n```\nnet = Net()\n```\n",
     "the fence around a line"),
    ("blitz_zh", "```\n\nprint('Finished Training')\n",
     "```\n\n```\nprint('Finished Training')\n```\n", "the fence around a line"),
    ("old_blitz_zh", "%matplotlib inline\n", "", "a notebook command, not Python"),
    ("old_blitz_zh", "```ptyhon\n", "```python\n", "a misspelt language tag"),
    ("lenet_zh", "100\\. *", "100. *", "a Markdown escape inside code"),
    ("lenet_zh", "#输出：", "-------------------------------------------------------------------------",  # noqa: E501
     "the rule before the output"),
]  # fmt: skip

_NET_HEAD = """```
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

#: indent
"""

#: Beginnings of blocks that show output rather than code.
_OUTPUT = (
    "tensor(", "torch.Size", "Net(", "Files already", "Downloading", "Extracting", "<", "True",
    "False", "None", "Accuracy", "Predicted", "GroundTruth", "input ->", "conv1.bias.grad",
    "In Model", "Let's use", "# on 2 GPUs", "[1,", "cuda:0", "Finished", "bird truck", "10\n", ">",
    "2.", "0 ", "[2", "(50000", "cat plane", "[1.",
)  # fmt: skip

#: A rule drawn inside a block, between the code and what it printed.
_RULE = re.compile(r"^-{10,}$", re.M)


@dataclass
class Block:
    """A piece of code, the line of the document where it starts, and what it printed there."""

    line: int
    code: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Step:
    """What one block did: printed text, the globals it changed (see ``digest``), its error."""

    line: int
    printed: str
    values: dict[str, Any]
    error: str | None


def available() -> bool:
    return SEEDS.is_dir()


def read(name: str) -> str:
    text = (SEEDS / DOCUMENTS[name]).read_text(encoding="utf-8")
    for document, broken, mended, _ in MENDS:
        if document == name:
            assert broken in text, f"the document no longer holds {broken!r}"
            text = text.replace(broken, mended)
    if name == "blitz_zh":
        # The head of the second network was folded into one line of prose without spaces.
        text, count = re.subn(r"importtorch\.nnasnn.*?```\n", _NET_HEAD, text, flags=re.S)
        assert count == 1
    return text


def pieces(name: str) -> list[Block]:
    """Everything that is set as code in a document, output included, as it stands."""
    text = read(name)
    return _indented(text) if name == "nn_tutorial_zh" else _fenced(text)


def blocks(name: str) -> list[Block]:
    """The code blocks of a document, in order, each with the output that follows it."""
    kept: list[Block] = []
    for piece in pieces(name):
        code, *shown = _RULE.split(_clean(piece.code), maxsplit=1)
        if not code.strip():
            continue
        if is_output(code):
            kept[-1].shown.append(code)
        else:
            kept.append(Block(piece.line, code, shown))
    return kept


def _fenced(text: str) -> list[Block]:
    found, start, lines = [], None, text.splitlines()
    for i, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = i
        else:
            if lines[start][3:].strip() not in ("shell", "text"):
                found.append(Block(start + 2, "\n".join(lines[start + 1 : i]) + "\n"))
            start = None
    return found


def _indented(text: str) -> list[Block]:
    found: list[Block] = []
    current: list[str] = []
    start = 0
    for i, line in enumerate([*text.splitlines(), "end"]):
        if line.startswith("    ") or (not line.strip() and current):
            if not current:
                start = i
            current.append(line[4:])
        elif current:
            found.append(Block(start + 1, "\n".join(current) + "\n"))
            current = []
    return found


def _clean(code: str) -> str:
    """Drop HTML and common indentation."""
    code = code.replace("\u00a0", " ")  # non-breaking spaces
    if "</span>" in code:
        code = html.unescape(re.sub(r"<[^>]+>", "", code))
    lines = code.splitlines()
    filled = [line for line in lines if line.strip()]
    if filled and all(line.startswith(" ") for line in filled):
        width = min(len(line) - len(line.lstrip()) for line in filled)
        lines = [line[width:] for line in lines]
    if "#: indent" in lines:  # a mended head stands before a body that lost its indentation
        at = lines.index("#: indent")
        lines = lines[:at] + ["    " + line for line in lines[at + 1 :]]
    return "\n".join(lines) + "\n"


def is_output(code: str) -> bool:
    if code.lstrip().startswith(_OUTPUT):
        return True
    try:
        ast.parse(code)
    except SyntaxError:
        return not re.search(r"^(import|from|class|def|for|with|\w+ = )", code, re.M)
    return False


def run(
    name: str, namespace: dict[str, Any], edit: Callable[[str], str] = lambda code: code
) -> list[Step]:
    """Execute every block of a document in order. A block that fails is a step with an error."""
    steps, before = [], digests(namespace)
    for block in blocks(name):
        printed, error = io.StringIO(), None
        try:
            with contextlib.redirect_stdout(printed):
                code = compile(edit(block.code), f"{name}:{block.line}", "exec", dont_inherit=True)
                exec(code, namespace)
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
        after = digests(namespace)
        # repr: what nobody filled may hold NaN, which equals nothing.
        changed = {k: v for k, v in after.items() if k not in before or repr(before[k]) != repr(v)}
        steps.append(Step(block.line, printed.getvalue(), changed, error))
        before = after
    return steps


def digests(namespace: dict[str, Any]) -> dict[str, Any]:
    found = {k: digest(v) for k, v in list(namespace.items()) if not k.startswith("__")}
    return {k: v for k, v in found.items() if v is not None}


def digest(value: Any) -> Any:
    """What of a global must agree between two runs, as JSON; None: nothing."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value) if math.isnan(value) or math.isinf(value) else value
    if isinstance(value, (list, tuple)):
        return [digest(v) for v in value[:12]]
    if isinstance(value, type):
        return None
    if hasattr(value, "named_parameters"):
        return {k: digest(p) for k, p in value.named_parameters()}
    if hasattr(value, "requires_grad"):
        kind = [str(value.dtype), list(value.shape), value.requires_grad]
        array = value.detach().cpu().numpy()
    elif isinstance(value, np.ndarray) and value.dtype != object:
        kind, array = [str(value.dtype), list(value.shape)], value
    else:
        return None
    flat = array.reshape(-1).astype(np.float64)
    return [*kind, flat[:6].tolist(), float(flat.sum()), float(np.abs(flat).sum())]


# -- what the documents expect around them ---------------------------------------------------------


def furnish(folder: Path, monkeypatch: Any, cifar10: Any) -> None:
    """A working directory with small data sets in the real formats, which ``cifar10`` accepts."""
    monkeypatch.chdir(folder)
    make_cifar10(folder / "data", 8, 16)
    accept_cifar(monkeypatch, cifar10, folder / "data")
    make_mnist(folder / "data", 256, 128)
    (folder / "pretrained").mkdir()
    write_pickled_mnist(folder / "data" / "mnist")
    stand_in_modules(monkeypatch)


def stand_in_modules(monkeypatch: Any) -> None:
    """Small stand-ins for packages that the documents import and tests need not install."""
    made = {}
    for name in ("requests", "IPython", "IPython.core", "IPython.core.debugger", "sklearn",
                 "sklearn.datasets", "seaborn", "pandas"):  # fmt: skip
        module = types.ModuleType(name)
        made[name] = module
        monkeypatch.setitem(sys.modules, name, module)
    made["IPython"].get_ipython = lambda: None  # type: ignore[attr-defined]
    made["IPython"].version_info = (8, 24)  # type: ignore[attr-defined]
    made["IPython.core.debugger"].set_trace = lambda: None  # type: ignore[attr-defined]

    def make_regression(n_samples: int, n_features: int, noise: float, coef: bool) -> tuple:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((n_samples, n_features))
        w = np.array(42.0)
        return x, x[:, 0] * w + noise * rng.standard_normal(n_samples), w

    made["sklearn.datasets"].make_regression = make_regression  # type: ignore[attr-defined]
    made["seaborn"].set = lambda: None  # type: ignore[attr-defined]
    made["seaborn"].lmplot = lambda *a, **k: None  # type: ignore[attr-defined]
    made["pandas"].DataFrame = lambda data: data  # type: ignore[attr-defined]


def write_pickled_mnist(root: Path, count: int = 256) -> None:
    """data/mnist/mnist.pkl.gz in the format of the nn tutorial."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)

    def part(n: int) -> tuple:
        labels = rng.integers(0, 10, n)
        images = rng.random((n, 784), np.float32) * 0.2
        images[np.arange(n), labels * 70] = 1.0  # something to learn
        return images, labels

    with gzip.open(root / "mnist.pkl.gz", "wb") as f:
        pickle.dump((part(count), part(count // 2), part(16)), f)
