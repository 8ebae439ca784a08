"""``python -m cresset script.py``: what ``python script.py`` does, with torch bound to Cresset.

The one aim is that the program cannot tell the difference: ``sys.argv``, ``sys.path[0]``, a fresh
``__main__`` (so classes of the script pickle), exit codes, and tracebacks that begin in the script.
``runpy`` is not used because it puts the old ``__main__`` back when the program ends, which is
before its threads and exit handlers run.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any

from cresset.compat import importhook

USAGE = """\
usage: python -m cresset [--legacy] script.py [arguments]
       python -m cresset [--legacy] -m module [arguments]
       python -m cresset [--legacy] -c code [arguments]
       python -m cresset [--legacy] -            (the program comes from standard input)
       python -m cresset info
       python -m cresset cache [--clear]
       python -m cresset --version

Runs a program written for PyTorch on Cresset: in its process, and in the processes that it starts,
the names torch and torchvision mean Cresset. Otherwise as plain `python script.py`.

  --legacy   also accept the idioms of PyTorch 0.1 to 0.4 (Variable(volatile=...), x.data[0], ...)
  info       print versions, CPU, threads, devices, mode and cache, for bug reports
  cache      print where compiled code is kept between runs, and how much; --clear removes it
  -h, --help print this
"""

# Where a program comes from: fills in __main__, sets argv[0] and sys.path[0], gives the code.
_Source = Callable[[ModuleType], CodeType]


class _CannotStart(Exception):
    """The program cannot be found or read: a line for stderr and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: Sequence[str]) -> int | None:
    """Act on the command line after ``python -m cresset``; the result is for ``sys.exit``."""
    rest = list(arguments)
    legacy = "--legacy" in rest[:1]
    if legacy:
        del rest[0]
    if not rest:
        sys.stderr.write(USAGE)
        return 2
    first, rest = rest[0], rest[1:]
    if first in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if first in ("info", "--version", "-V"):
        from cresset.compat import info

        print(info.report() if first == "info" else f"cresset {info.own_version()}")
        return 0
    if first == "cache":
        return _cache(rest)
    source: _Source
    if first in ("-m", "-c"):
        if not rest:
            sys.stderr.write(f"Argument expected for the {first} option\n{USAGE}")
            return 2
        what, rest = rest[0], rest[1:]
        source = _module(what) if first == "-m" else _text(what, "<string>")
        sys.argv = [first, *rest]
    elif first == "-":
        source = _text(sys.stdin.read(), "<stdin>")
        sys.argv = [first, *rest]
    elif first.startswith("-"):
        sys.stderr.write(f"unknown option: {first}\n{USAGE}")
        return 2
    else:
        source = _script(first)
        sys.argv = [first, *rest]
    importhook.install(legacy=legacy, children=True)
    return _run(source)


def _cache(arguments: Sequence[str]) -> int:
    from cresset.compiler import cache

    if not arguments:
        print(cache.describe())
    elif list(arguments) == ["--clear"]:
        print(f"{cache.folder()}: {cache.count(cache.clear())} removed")
    else:
        sys.stderr.write(f"unknown option: {' '.join(arguments)}\n{USAGE}")
        return 2
    return 0


def _run(source: _Source) -> int | None:
    """Run a program as ``__main__``; 1 if it ended with an exception, which has been printed."""
    module = _fresh_main()
    try:
        code = source(module)
        exec(code, module.__dict__)
    except _CannotStart as error:
        sys.stderr.write(f"{sys.executable}: {error}\n")
        return error.status
    except SystemExit:
        raise  # the interpreter knows what to do with each kind of argument
    except BaseException as error:
        _print_uncaught(error)
        if isinstance(error, KeyboardInterrupt):
            # Only from the interpreter's own hands does the process end by the signal, as the
            # shell expects. The exception has been printed already.
            sys.excepthook = lambda *_: None
            raise
        return 1
    return None


def _fresh_main() -> ModuleType:
    module = ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __loader__=BuiltinImporter, __annotations__={})
    sys.modules["__main__"] = module
    return module


def _set_first_path(entry: str) -> None:
    """Replace what ``python -m`` put there; under ``python -P`` it put nothing there."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = entry


def _script(path: str) -> _Source:
    """A file of source, or a directory or zip archive that holds a ``__main__.py``."""

    def source(module: ModuleType) -> CodeType:
        full = os.path.join(os.getcwd(), path)
        archive = PathFinder.find_spec("__main__", [full])
        if archive is not None:
            sys.path[0] = full
            return _code_of(archive, module)
        if os.path.isdir(full):
            raise _CannotStart(f"can't find '__main__' module in {full!r}", 1)
        _set_first_path(os.path.dirname(os.path.realpath(full)))
        loader = SourceFileLoader("__main__", full)
        try:
            text = loader.get_data(full)
        except OSError as error:
            message = f"can't open file {full!r}: [Errno {error.errno}] {error.strerror}"
            raise _CannotStart(message, 2) from None
        module.__dict__.update(__file__=full, __cached__=None, __loader__=loader)
        return compile(text, full, "exec", dont_inherit=True)

    return source


def _module(name: str) -> _Source:
    """``-m name``: a module, or a package with a ``__main__``."""

    def source(module: ModuleType) -> CodeType:
        _set_first_path(os.getcwd())
        spec = _find(name)
        if spec is not None and spec.submodule_search_locations is not None:
            package, spec = name, _find(name + ".__main__")
            if spec is None:
                raise _CannotStart(
                    f"No module named {package}.__main__; {package!r} is a package and cannot be "
                    "directly executed",
                    1,
                )
        if spec is None:
            raise _CannotStart(f"No module named {name}", 1)
        if spec.origin is not None:
            sys.argv[0] = spec.origin
        return _code_of(spec, module)

    return source


def _text(text: str, filename: str) -> _Source:
    """``-c text``, or a program from standard input."""

    def source(module: ModuleType) -> CodeType:
        _set_first_path("")
        return compile(text, filename, "exec", dont_inherit=True)

    return source


def _find(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        # A parent of `name` is missing, or is no package. Anything else is the program's own error.
        if error.name is not None and name.startswith(error.name):
            return None
        raise


def _code_of(spec: ModuleSpec, module: ModuleType) -> CodeType:
    """The code of a module that the import system found, with ``__main__`` named after it."""
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise _CannotStart(f"No code object available for {spec.name}", 1)
    module.__dict__.update(
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    return code


def _print_uncaught(error: BaseException) -> None:
    """What the interpreter does with an exception that nobody caught, less our frames."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = _without_ours(link.__traceback__)
        link = link.__cause__ or link.__context__
    kind, trace = type(error), error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    sys.last_exc = error  # type: ignore[attr-defined]  # debuggers of Python 3.12 and later
    sys.excepthook(kind, error, trace)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of the runner and of the import hook."""
    kept = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename not in _OURS:
            kept.append(trace)
        trace = trace.tb_next
    for earlier, later in zip(kept, [*kept[1:], None]):
        earlier.tb_next = later
    return kept[0] if kept else None


_OURS = {__file__, importhook.__file__}
