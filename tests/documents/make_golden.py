"""Writes golden.json: what PyTorch makes of the five documents, block by block.

PyTorch 2.13 no longer takes a few idioms of the documents' time; ``MODERN`` replaces them, for
PyTorch alone. Run where PyTorch and torchvision are installed: ``python make_golden.py [path]``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.documents import harness  # noqa: E402

#: (what a document writes, what PyTorch 2.13 takes in its place)
MODERN = [
    ("dataiter.next()", "next(dataiter)"),
    (".creator", ".grad_fn"),
    (".previous_functions", ".next_functions"),
    (".data[0]", ".data"),
    ("predicted[j][0]", "predicted[j]"),
    ("net.cuda()", "net"),
    ("inputs.cuda()", "inputs"),
    ("labels.cuda()", "labels"),
    # The same batches, without the seconds that its worker processes take to end.
    ("num_workers=2", "num_workers=0"),
]

#: What a document has imported before its first block.
PRELUDE = {"lenet_zh": "import torch\nimport numpy as np"}


def modern(code: str) -> str:
    for old, new in MODERN:
        code = code.replace(old, new)
    return code


def namespace(name: str) -> dict[str, Any]:
    """Fresh globals, and PyTorch's random numbers from the seed that the comparison uses."""
    made: dict[str, Any] = {"__name__": "documents_main"}
    exec("import torch; torch.manual_seed(0); del torch", made)
    np.random.seed(0)
    exec(PRELUDE.get(name, ""), made)
    return made


def results() -> dict[str, list[dict[str, Any]]]:
    import matplotlib
    import pytest
    from tests.vision.oracle import load_torchvision

    torch, torchvision = load_torchvision()
    CIFAR10 = torchvision.datasets.CIFAR10  # noqa: N806
    matplotlib.use("Agg")
    torch.set_num_threads(1)
    found = {}
    for name in harness.DOCUMENTS:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
            harness.furnish(Path(folder), monkeypatch, CIFAR10)
            found[name] = [asdict(s) for s in harness.run(name, namespace(name), modern)]
    return found


if __name__ == "__main__":
    default = Path(__file__).with_name("golden.json")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    path.write_text(json.dumps(results(), indent=0) + "\n")
