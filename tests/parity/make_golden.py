"""Writes golden.json: what PyTorch gives for every program. Run where PyTorch is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.parity.programs import PROGRAMS  # noqa: E402

if __name__ == "__main__":
    import torch
    import torch.utils.data

    torch.set_num_threads(1)
    results = {name: program(torch) for name, program in PROGRAMS.items()}
    for result in results.values():
        result["losses"] = [round(v, 7) for v in result["losses"]]
    path = Path(__file__).with_name("golden.json")
    path.write_text(json.dumps({"torch": torch.__version__, "programs": results}) + "\n")
