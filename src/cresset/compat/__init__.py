"""Running programs written for PyTorch: the names ``torch`` and ``torchvision``, bound to Cresset.

``importhook`` binds the names in one process, ``children`` passes the binding on to the processes
that it starts, ``runner`` is ``python -m cresset script.py``, ``missing`` words the errors for what
Cresset lacks, ``info`` is ``python -m cresset info``, ``legacy`` brings back PyTorch 0.1 to 0.4.

>>> import cresset.compat
>>> cresset.compat.install()
>>> import torch
>>> torch is cresset
True
>>> cresset.compat.uninstall()
"""

from __future__ import annotations

from cresset.compat.importhook import install, uninstall
from cresset.compat.missing import attach, missing

__all__ = ["attach", "install", "missing", "uninstall"]
