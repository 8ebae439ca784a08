"""Writes golden/*.pt with PyTorch (run by hand where it is installed)."""

from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent / "golden"
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64", "complex64", "complex128")  # fmt: skip


def content() -> dict:
    base = torch.arange(6).reshape(2, 3)
    weights = torch.arange(12.0).reshape(3, 4)
    return {
        "dtypes": {name: base.to(getattr(torch, name)) for name in DTYPES},
        "whole": weights,
        "view": weights.t()[1:],
        "row": weights[1],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "expanded": torch.ones(1).expand(4),
        "conj": torch.tensor([1 + 2j]).conj(),
        "state": OrderedDict(bias=torch.full((2,), 0.5)),
        "plain": [1, -5, 2**70, 1.5, "é", b"a\xff", None, True, (1, 2), {3}, 1j],
        "torch": [torch.Size([2, 3]), torch.device("cuda", 1), torch.bfloat16, torch.strided],
    }


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    torch.save(content(), HERE / "zip.pt")
    plain = {name: part for name, part in content().items() if name != "conj"}
    torch.save(plain, HERE / "legacy.t7", _use_new_zipfile_serialization=False)
