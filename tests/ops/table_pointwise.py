"""The op table's elementwise rows: arithmetic and powers."""

from __future__ import annotations

from .harness import OpRow

ROWS: list[OpRow] = [
    OpRow("add", values=("any", "any"), in_place=True, out=True),
    OpRow("sub", values=("any", "any"), in_place=True, out=True),
    OpRow(
        "mul",
        values=("any", "any"),
        grad=("float64", "complex128"),
        grad_values=("real", "real"),
        in_place=True,
        out=True,
    ),
    OpRow("exp", in_place=True, out=True, grad_values=("real",)),
]
