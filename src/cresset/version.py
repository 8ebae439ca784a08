"""``torch.version``: the version of Cresset; ``cuda`` and ``hip`` are None in a build without."""

from __future__ import annotations

__version__ = "0.1.0"
cuda: str | None = None
hip: str | None = None
git_version = ""
