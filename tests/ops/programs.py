"""Short programs that must go the same way in Cresset and in PyTorch.

A program is source text over ``t`` (the library), ``np``, ``copy``, ``pickle`` and ``math``. Its
last line is an expression; the value's ``repr`` must be equal, or both must fail with the same type
of error and the same first line of words.
"""

from __future__ import annotations

import ast
import copy
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest

import cresset

from .harness import attempt, same_failure


def outcome(torch: Any, program: str) -> tuple[str | None, Exception | None]:
    """The ``repr`` of the last line's value, or the error."""
    *body, last = ast.parse(program.strip()).body
    names = {
        "t": torch, "np": np, "copy": copy, "pickle": pickle, "math": math,
        "nan": math.nan, "inf": math.inf,
    }  # fmt: skip
    assert isinstance(last, ast.Expr), program

    def run() -> str:
        exec(compile(ast.Module(body, []), "<program>", "exec"), names)
        return repr(eval(compile(ast.Expression(last.value), "<program>", "eval"), names))

    result, error = attempt(run)
    return result, error


def same_program(program: str, words: bool = True) -> None:
    """Assert that ``program`` has the same outcome in both libraries."""
    torch = pytest.importorskip("torch")
    theirs, error = outcome(torch, program)
    ours, mine = outcome(cresset, program)
    if not same_failure(mine, error, program, words=words):
        assert _neutral(ours) == _neutral(theirs), f"{program}\n{ours}\nPyTorch gives\n{theirs}"


def _neutral(text: str | None) -> str:
    """Without module names and addresses, which differ."""
    text = re.sub(r" at 0x[0-9a-f]+", "", text or "")
    return re.sub(r"<class '[\w.]+\.(\w+)'>", r"<class '\1'>", text)
