"""Calling a module with other parameters and buffers than its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cresset.core.modes import op_by_op
from cresset.nn.module import Module
from cresset.tensor import Tensor

__all__ = ["functional_call"]


def _tied(module: Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The given values under all names of the tensors they stand for."""
    names: dict[int, set[str]] = {}
    for listed in (module.named_parameters, module.named_buffers):
        for name, value in listed(remove_duplicate=False):
            names.setdefault(id(value), set()).add(name)
    result = dict(given)
    for group in names.values():
        present = sorted(group & set(given))
        if len(group) < 2 or not present:
            continue
        if len({id(given[name]) for name in present}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(group)}, which are tied. "
                "Consider using tie_weights=False"
            )
        result.update((name, given[present[0]]) for name in group)
    return result


def _table(module: Module, name: str) -> tuple[dict[str, Any], str] | None:
    """Where a dotted name is kept, and under which last part."""
    path, _, last = name.rpartition(".")
    try:
        owner = module.get_submodule(path)
    except AttributeError:
        return None
    for table in (owner._parameters, owner._buffers):
        if last in table:
            return table, last
    return None


def _check_names(module: Module, given: dict[str, Tensor]) -> None:
    known = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    known |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    words = []
    for what, names in (("Unexpected", set(given) - known), ("Missing", known - set(given))):
        if names:
            words.append(f"{what} key(s): {', '.join(map(repr, sorted(names)))}.")
    if words:
        raise RuntimeError(
            "Error(s) in reparametrizing for {}:\n\t{}".format(
                type(module).__name__, "\n\t".join(words)
            )
        )


@contextmanager
def _swapped(module: Module, given: dict[str, Tensor], tie: bool, strict: bool) -> Iterator[None]:
    values = _tied(module, given) if tie else given
    if strict:
        _check_names(module, values)
    kept: list[tuple[dict[str, Any], str, str, Any]] = []
    try:
        for name, value in values.items():
            found = _table(module, name)
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            table, last = found
            kept.append((table, last, name, table[last]))
            table[last] = value
        yield
    finally:
        for table, last, name, value in reversed(kept):
            # What the module wrote to its buffers belongs to the caller.
            if name in given:
                given[name] = table[last]
            table[last] = value


def functional_call(
    module: Module, parameters_and_buffers: dict[str, Tensor], args: Any = None,
    kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """``module(*args, **kwargs)`` with the given values in place of its parameters and buffers.

    Args:
        parameters_and_buffers: values by name; names that are absent keep the module's own.
        tie_weights: a value given for one name of a shared parameter counts for all of them.
        strict: RuntimeError unless the names are exactly the module's.

    >>> import cresset as torch, warnings
    >>> warnings.simplefilter("ignore")
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> call = torch.nn.utils.stateless.functional_call
    >>> call(layer, {"weight": torch.tensor([[3.]])}, torch.tensor([2.]))
    tensor([6.])
    """
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be "
        "removed in a future version of PyTorch. Please use `torch.func.functional_call` instead "
        "which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    given = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, parameters_and_buffers, tie_weights, strict), op_by_op():
        return module(*given, **(kwargs or {}))
