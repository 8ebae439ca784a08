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


#: Per Call how deep the user's frame was when it was recorded last, and which code ran in it.
_last: dict[Any, tuple[int, CodeType]] = {}
_MOST = 1_024


def user_place(call: Any) -> Place:
    """The nearest frame outside this package; called by ``graph.record``.

    A loop comes from the same place every time: that is looked at first, without the frames between
    (so where the same function calls the same op once directly and once by way of a function that
    is given to this package, the direct call may be told for both).
    """
    depth, code = _last.get(call, (0, None))
    if code is not None:
        try:
            frame: Any = sys._getframe(depth)
        except ValueError:  # there are not as many
            frame = None
        if frame is not None and frame.f_code is code:
            return code, frame.f_lasti, get_ident()
    return _search(call)


def _search(call: Any) -> Place:
    depth, frame = 3, sys._getframe(3)
    while frame is not None:
        space = frame.f_globals
        if id(space) not in _ours:
            name = space.get("__name__", "")
            if name == "__main__" or not f"{name}.".startswith(__name__.split(".")[0] + "."):
                if len(_last) >= _MOST:
                    _last.clear()
                _last[call] = depth - 1, frame.f_code
                return frame.f_code, frame.f_lasti, get_ident()
            _ours.add(id(space))
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    return None, 0, get_ident()


def line_of(place: Place) -> str:
    """``file:line``."""
    code, offset, _ = place
    if code is None:
        return "?:0"
    lines = (line for start, end, line in code.co_lines() if start <= offset < end)
    return f"{code.co_filename}:{next(lines, 0)}"
