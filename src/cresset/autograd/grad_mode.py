"""Switches for recording on the tape: context managers that are decorators too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from cresset.core.modes import PROCESS, THREAD


class _Mode:
    """A context manager usable as ``@mode``, ``@mode()`` and on generators."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and callable(args[0]) and not isinstance(args[0], bool):
            return cls._made()(args[0])
        return object.__new__(cls)

    @classmethod
    def _made(cls) -> Any:
        mode = object.__new__(cls)
        mode.__init__()  # type: ignore[misc]
        return mode

    def __call__(self, function: Any) -> Any:
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)
            return function
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return wrapped

    def _generator(self, function: Callable) -> Callable:
        """Each step of the generator runs inside the mode, the caller's code outside it."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            try:
                with self._again():
                    item = generator.send(None)
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        with self._again():
                            generator.close()
                        raise
                    except BaseException as error:
                        with self._again():
                            item = generator.throw(error)
                    else:
                        with self._again():
                            item = generator.send(sent)
            except StopIteration as stop:
                return stop.value

        return wrapped

    def _again(self) -> Any:
        """A fresh manager with the same settings."""
        return self._made()

    def clone(self) -> Any:
        return self._again()

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *exc: Any) -> None:
        raise NotImplementedError


class no_grad(_Mode):
    """Ops inside are not recorded on the tape.

    >>> import cresset as torch
    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __enter__(self) -> None:
        self.previous = THREAD.grad
        THREAD.grad = False

    def __exit__(self, *exc: Any) -> None:
        THREAD.grad = self.previous


class enable_grad(_Mode):
    """Ops inside are recorded on the tape, even within ``no_grad``."""

    def __enter__(self) -> None:
        self.previous = THREAD.grad
        THREAD.grad = True

    def __exit__(self, *exc: Any) -> None:
        THREAD.grad = self.previous


class set_grad_enabled(_Mode):
    """Recording on or off by ``mode``: takes effect at once, undone at the end of a ``with``."""

    def __new__(cls, mode: bool) -> Any:
        return object.__new__(cls)

    def __init__(self, mode: bool) -> None:
        self.previous = THREAD.grad
        self.mode = bool(mode)
        THREAD.grad = self.mode

    def __call__(self, function: Any) -> Any:
        THREAD.grad = self.previous
        return super().__call__(function)

    def _again(self) -> Any:
        previous = THREAD.grad
        mode = set_grad_enabled(self.mode)
        THREAD.grad = previous
        return mode

    def __enter__(self) -> None:
        THREAD.grad = self.mode

    def __exit__(self, *exc: Any) -> None:
        THREAD.grad = self.previous


class inference_mode(_Mode):
    """As ``no_grad``, and the tensors made inside can never take part in recording later."""

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode) and not isinstance(mode, bool):
            return cls._made()(mode)
        return object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def _again(self) -> Any:
        return inference_mode(self.mode)

    def __enter__(self) -> None:
        self.previous = (THREAD.grad, THREAD.inference)
        THREAD.inference = self.mode
        PROCESS.unusual = True
        if self.mode:
            THREAD.grad = False

    def __exit__(self, *exc: Any) -> None:
        THREAD.grad, THREAD.inference = self.previous


def is_grad_enabled() -> bool:
    """Whether ops are being recorded on the tape in this thread."""
    return THREAD.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in inference mode."""
    return THREAD.inference
