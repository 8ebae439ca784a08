"""Loops over arrays of any layout."""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import Code
from cresset.compiler.layout import collapse
from cresset.compiler.vectormath.lanes import Lanes


def walk(
    c: Code, shape: tuple[int, ...], strides: list[tuple[int, ...]],
    body: Callable[[list[str]], None], shared: bool = False,
) -> None:  # fmt: skip
    """Run the body at every place of a shape: it gets each array's offset there, in elements.

    Places come in row-major order. With ``shared`` the pieces of the kernel divide the outermost
    loop among them.
    """
    dims = collapse(shape, strides)

    def nest(level: int, offsets: list[str]) -> None:
        if level == len(dims):
            body(offsets)
            return
        count, steps = dims[level]
        with c.share(count) if shared and level == 0 else c.loop(count) as i:
            further = [c.plus(o, c.times(i, s)) for o, s in zip(offsets, steps, strict=True)]
            nest(level + 1, further)

    nest(0, ["0"] * len(strides))


def index_at(c: Code, kind: str, pointer: str, place: str) -> Lanes:
    """An index of any integer dtype as an int64; ``kind`` is its dtype."""
    width = {"int64": "i64", "int32": "i32", "uint8": "i8"}[kind]
    value = Lanes(c, width, 0, c.load(width, pointer, place))
    if width == "i64":
        return value
    return value._convert("zext" if kind == "uint8" else "sext", "i64")
