"""``python -m cresset``: run a PyTorch program on Cresset. See ``compat/runner.py``."""

from __future__ import annotations

import sys

from cresset.compat.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
