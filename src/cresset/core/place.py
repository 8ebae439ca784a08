"""Where in the user's program an op was recorded: for errors that come later, when it runs.

Noting the place must cost next to nothing, so it is a code object and how far it had come; a file
and a line are made of that only when an error is told.
"""

from __future__ import annotations

import sys
from threading import get_ident
from types import CodeType
from typing import Any

#: The code that called the package, the offset of the call in it, and the thread.
Place = tuple[CodeType | None, int, int]

#: Namespaces of this package's modules, by identity: they stay as long as the process.
_ours: set[int] = set()


def user_place() -> Place:
    """The nearest frame outside this package; called by ``graph.record``."""
    frame: Any = sys._getframe(3)  # whoever records is ours, and so is what the user called
    while frame is not None:
        space = frame.f_globals
        if id(space) not in _ours:
            name = space.get("__name__", "")
            if name == "__main__" or not f"{name}.".startswith(__name__.split(".")[0] + "."):
                return frame.f_code, frame.f_lasti, get_ident()
            _ours.add(id(space))
        frame = frame.f_back
    return None, 0, get_ident()


def line_of(place: Place) -> str:
    """``file:line``."""
    code, offset, _ = place
    if code is None:
        return "?:0"
    lines = (line for start, end, line in code.co_lines() if start <= offset < end)
    return f"{code.co_filename}:{next(lines, 0)}"
