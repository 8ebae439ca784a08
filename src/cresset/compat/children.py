"""Passing the binding on to child processes, however they are started.

A forked child has it by inheritance. Every other child (``subprocess``, multiprocessing's spawn and
forkserver, ``os.exec*``) is a new interpreter that knows only its environment. Python runs a module
called ``sitecustomize`` at start-up if it finds one, so a private directory with such a file goes
to the front of ``PYTHONPATH``. That file binds lazily (a child that never imports torch pays
nothing) and then runs the ``sitecustomize`` that it hides, if there is one.

Out of reach, as they ignore the environment: children started with ``python -I``, ``-E`` or ``-S``,
or with an ``env=`` of their own.
"""

from __future__ import annotations

import os

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_child")
BIND = "CRESSET_BIND_TORCH"
LEGACY = "CRESSET_LEGACY"


def bind(*, legacy: bool = False) -> None:
    """Have children started from now on bind ``torch`` to Cresset."""
    os.environ[BIND] = "1"
    if legacy:
        os.environ[LEGACY] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([DIRECTORY, *_other_entries()])


def release() -> None:
    """Undo ``bind``; harmless if it was never called."""
    if os.environ.pop(BIND, None) is None:
        return
    entries = _other_entries()
    if entries:
        os.environ["PYTHONPATH"] = os.pathsep.join(entries)
    else:
        os.environ.pop("PYTHONPATH", None)


def _other_entries() -> list[str]:
    # An unset variable must not turn into an empty entry: that means the current directory.
    value = os.environ.get("PYTHONPATH")
    return [entry for entry in value.split(os.pathsep) if entry != DIRECTORY] if value else []
