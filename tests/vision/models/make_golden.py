"""Writes golden.json: names, shapes and dtypes of torchvision's models, each as a digest.

Run where PyTorch and torchvision are installed: ``python make_golden.py``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from names import summary  # noqa: E402
from oracle import load_torchvision  # noqa: E402

FAMILIES = (
    "alexnet", "convnext", "densenet", "efficientnet", "googlenet", "inception", "mnasnet",
    "mobilenetv2", "mobilenetv3", "resnet", "shufflenetv2", "squeezenet", "vgg",
    "vision_transformer",
)  # fmt: skip


def main() -> None:
    torch, torchvision = load_torchvision()
    warnings.simplefilter("ignore", FutureWarning)
    golden = {}
    with torch.device("meta"):  # shapes without memory
        for name in torchvision.models.list_models(torchvision.models):
            build = torchvision.models.get_model_builder(name)
            if build.__module__.rpartition(".")[2] in FAMILIES:
                golden[name] = summary(build())
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in golden.items())
    (HERE / "golden.json").write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    main()
