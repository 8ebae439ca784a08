"""All code of the five documents runs, in order, unchanged, and does what it does in PyTorch.

golden.json holds what PyTorch 2.13 makes of every block (printed text, changed variables, errors);
``make_golden.py`` wrote it. Every block is compared: none is left out, and the few fragments that
fail (they name what the document defines only later) must fail with PyTorch's words.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cresset import compat
from cresset.compat import legacy

from . import harness
from .make_golden import namespace

pytestmark = pytest.mark.skipif(
    not harness.available(), reason="the documents (../shared/seeds) are not here"
)

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())

#: Blocks in each document. A lost block would go unseen otherwise.
COUNTS = {
    "blitz_zh": 59, "basics_zh": 49, "old_blitz_zh": 21, "lenet_zh": 28, "nn_tutorial_zh": 54,
}  # fmt: skip

#: Blocks that look at memory which nobody filled: only shapes can agree.
UNFILLED = {("blitz_zh", 42), ("basics_zh", 51), ("lenet_zh", 34), ("lenet_zh", 43)}

#: Documents that need ``--legacy``: ``dataiter.next()``, ``.creator``, ``loss.data[0]``.
LEGACY = {"blitz_zh", "basics_zh", "old_blitz_zh", "lenet_zh"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with small data sets in the real formats; ``torch`` bound to Cresset."""
    import matplotlib

    from cresset.vision.datasets import CIFAR10

    matplotlib.use("Agg")
    # The old documents never install PyTorch beside Cresset; here the oracle may be loaded.
    for name in [n for n in sys.modules if n.split(".")[0] in ("torch", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    harness.furnish(tmp_path, monkeypatch, CIFAR10)
    compat.install()
    yield tmp_path
    legacy.disable()
    compat.uninstall()


def _run(name: str, devices: int, monkeypatch: pytest.MonkeyPatch) -> list[harness.Step]:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", str(devices))
    if name in LEGACY:
        legacy.enable()
    return harness.run(name, namespace(name))


# -- agreement with PyTorch ------------------------------------------------------------------------

_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]\d+)?|-?nan|-?inf")
_ADDRESS = re.compile(r"0x[0-9a-f]+")
#: The documents show this line of torchvision; 0.28 no longer prints it, Cresset does.
_NO_LONGER_SAID = "Files already downloaded and verified\n"


def _close(ours: float, theirs: float, digits: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=2e-4, abs_tol=digits) or ours != ours != theirs


def _same_text(ours: str, theirs: str) -> bool:
    """Equal but for addresses and the last digit of numbers."""
    ours, theirs = _ADDRESS.sub("0x", ours), _ADDRESS.sub("0x", theirs)
    return _NUMBER.sub("#", ours) == _NUMBER.sub("#", theirs) and all(
        _close(float(a), float(b), 1.01e-4)
        for a, b in zip(_NUMBER.findall(ours), _NUMBER.findall(theirs))
    )


def _same_value(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float) and isinstance(ours, (int, float)):
        return _close(ours, theirs, 1e-5)
    if isinstance(theirs, list):
        return (
            isinstance(ours, list)
            and len(ours) == len(theirs)
            and all(map(_same_value, ours, theirs))
        )
    if isinstance(theirs, dict):
        return (
            isinstance(ours, dict)
            and list(ours) == list(theirs)
            and all(_same_value(ours[k], theirs[k]) for k in theirs)
        )
    return bool(ours == theirs)


def _differences(name: str, steps: list[harness.Step]) -> list[str]:
    found = []
    for step, theirs in zip(steps, GOLDEN[name], strict=True):
        at = f"{name}:{step.line}"
        assert step.line == theirs["line"]
        if step.error != theirs["error"]:
            found.append(f"{at}: error {step.error!r}, in PyTorch {theirs['error']!r}")
        if (name, step.line) in UNFILLED:
            continue
        if not _same_text(step.printed.replace(_NO_LONGER_SAID, ""), theirs["printed"]):
            found.append(f"{at}: printed\n{step.printed}\nin PyTorch\n{theirs['printed']}")
        for key in sorted(step.values.keys() | theirs["values"].keys()):
            pair = step.values.get(key), theirs["values"].get(key)
            if not _same_value(*pair):
                found.append(f"{at}: {key} = {pair[0]}\nin PyTorch {pair[1]}")
    return found


@pytest.mark.parametrize("name", [n for n in COUNTS if n != "old_blitz_zh"])
def test_every_block_does_what_it_does_in_pytorch(
    name: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differences = _differences(name, _run(name, 0, monkeypatch))
    assert not differences, "\n".join(differences)


def test_the_blitz_of_0_1_12_does_what_it_does_in_pytorch(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It ends with net.cuda(), so it needs a device. The same numbers must come out.
    differences = _differences("old_blitz_zh", _run("old_blitz_zh", 1, monkeypatch))
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("name", COUNTS)
def test_every_block_runs_where_there_is_a_device(
    name: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {step.line: step.error for step in _run(name, 1, monkeypatch)}
    assert found == {theirs["line"]: theirs["error"] for theirs in GOLDEN[name]}


def test_the_golden_file_is_what_pytorch_gives(tmp_path: Path) -> None:
    if not all(importlib.util.find_spec(name) for name in ("torch", "torchvision")):
        pytest.skip("needs PyTorch and torchvision")
    script = Path(__file__).with_name("make_golden.py")
    path = tmp_path / "golden.json"
    subprocess.run([sys.executable, script, path], check=True, capture_output=True)
    fresh = json.loads(path.read_text())
    for name, steps in fresh.items():
        assert _differences(name, [harness.Step(**step) for step in steps]) == []


# -- agreement with what the documents show --------------------------------------------------------

#: Blocks that show what hangs on no random number and on no data: equal to the last digit.
EXACT = {
    "blitz_zh": (79, 96, 138, 247, 307, 321, 335, 347, 364, 392, 448, 506, 564, 652),
    "basics_zh": (87, 161, 316, 366, 387, 408, 431, 564, 593, 615, 637, 660, 690, 712, 738, 810,
                  877, 988),
    # Random numbers, or stand-in data: equal but for the digits.
    "nn_tutorial_zh": (),
}  # fmt: skip
ALIKE = {
    "blitz_zh": (60, 109, 160, 177, 193, 211, 235, 262, 411, 431, 579, 968, 992),
    "basics_zh": (68, 106, 125, 237, 265, 341, 900, 1468, 1503),
    "nn_tutorial_zh": (55, 145, 177, 201, 259, 296, 344, 402, 434, 449, 494, 559, 612, 668, 752,
                       800, 841, 926),
}  # fmt: skip


def _as_shown(text: str, digits: bool) -> str:
    """Without what changed since: spaces in printed tensors, the 0 that ends a node's name."""
    text = re.sub(r"Backward0?\b", "Backward", _ADDRESS.sub("0x", text))
    return re.sub(r"\s+", "", text if digits else _NUMBER.sub("#", text))


@pytest.mark.parametrize("name", EXACT)
def test_what_is_printed_is_what_the_document_shows(
    name: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {block.line: "".join(block.shown) for block in harness.blocks(name)}
    printed = {step.line: step.printed for step in _run(name, 0, monkeypatch)}
    for lines, digits in ((EXACT[name], True), (ALIKE[name], False)):
        for line in lines:
            ours, theirs = (_as_shown(t[line], digits) for t in (printed, shown))
            assert ours == theirs, f"{name}:{line}\n{printed[line]}\n{shown[line]}"


def _by_batch(text: str) -> list[Counter[str]]:
    """Lines up to each "Outside" as a bag: replicas print in any order."""
    lines = [line.strip() for line in text.splitlines() if "size" in line]
    groups: list[Counter[str]] = [Counter()]
    for line in lines:
        groups[-1][line] += 1
        if line.startswith("Outside"):
            groups.append(Counter())
    return groups[:-1]


@pytest.mark.parametrize("devices", [2, 3, 8])
def test_data_parallel_splits_batches_as_the_blitz_shows(
    devices: int, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {step.line: step.printed for step in _run("blitz_zh", devices, monkeypatch)}
    shown = harness.blocks("blitz_zh")[-1].shown
    expected = next(text for text in shown if f"Let's use {devices} GPUs!" in text)
    assert f"Let's use {devices} GPUs!" in steps[1187]
    assert _by_batch(steps[1207]) == _by_batch(expected)


def test_the_basics_print_a_tensor_of_a_device_as_shown(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = {step.line: step.printed for step in _run("basics_zh", 1, monkeypatch)}
    assert _NUMBER.sub("#", printed[462]) == (
        "tensor([#], device='cuda:#')\ntensor([#], dtype=torch.float#)\n"
    )
    assert printed[1554] == "cuda:0\n"


# -- nothing is left out ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", COUNTS)
def test_every_block_of_code_is_found(name: str) -> None:
    assert len(harness.blocks(name)) == COUNTS[name]
    codes = "\n".join(block.code for block in harness.blocks(name))
    for line in UNFILLED:
        if line[0] == name:
            assert "torch.empty(" in codes or "torch.Tensor(" in codes


@pytest.mark.parametrize("name", COUNTS)
def test_what_is_taken_for_output_holds_no_statement(name: str) -> None:
    for block in harness.blocks(name):
        for text in block.shown:
            try:
                body = ast.parse(text).body
            except SyntaxError:
                continue
            harmless = (ast.Expr, ast.AnnAssign)  # "cuda:0" reads as an annotation
            assert all(isinstance(node, harmless) for node in body), f"{name}:{block.line}\n{text}"
            assert "print(" not in text and "backward(" not in text


def test_code_outside_the_fences_of_the_old_blitz_repeats_code_inside() -> None:
    # Three copies of the article were pasted into it as plain text.
    inside = {line.strip() for b in harness.blocks("old_blitz_zh") for line in b.code.splitlines()}
    outside = re.sub(r"^```.*?^```", "", harness.read("old_blitz_zh"), flags=re.S | re.M)
    statement = re.compile(
        r"^\s*(?:from|import|class|def|for|print\(|[\w., ]+ \+?= |\w+\.\w+\()", re.A
    )
    repeated = [line.strip() for line in outside.splitlines() if statement.match(line)]
    repeated = [line for line in repeated if "\\frac" not in line]  # formulas
    assert len(repeated) > 200
    assert set(repeated) - inside == {
        "from __future__ import print_function",
        "weight = weight - learning_rate * gradient",  # a formula in the prose
    }
