"""Automatic differentiation: ``backward``, ``grad``, grad modes, custom functions and checks."""

from __future__ import annotations

from cresset.autograd.backward import backward, grad

__all__ = ["backward", "grad"]
