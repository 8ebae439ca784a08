"""Samples as nested containers: their images, labels and so on in a row, and put back.

Tuples (named ones too), lists, dictionaries and deques are containers; anything else is a leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

_SEQUENCES = (tuple, list, deque)
_MAPPINGS = (dict, OrderedDict, defaultdict)


def _is_named_tuple(node: Any) -> bool:
    return isinstance(node, tuple) and type(node) is not tuple and hasattr(node, "_fields")


def leaves(sample: Any) -> list[Any]:
    """Everything that is no container, in order."""
    if type(sample) in _MAPPINGS:
        return [leaf for value in sample.values() for leaf in leaves(value)]
    if type(sample) in _SEQUENCES or _is_named_tuple(sample):
        return [leaf for value in sample for leaf in leaves(value)]
    return [sample]


def rebuilt(sample: Any, new: Iterator[Any]) -> Any:
    """The same containers with ``new`` leaves."""
    if type(sample) in _MAPPINGS:
        pairs = [(key, rebuilt(value, new)) for key, value in sample.items()]
        if type(sample) is defaultdict:
            return defaultdict(sample.default_factory, pairs)
        return type(sample)(pairs)
    if _is_named_tuple(sample):
        return type(sample)(*(rebuilt(value, new) for value in sample))
    if type(sample) is deque:
        return deque((rebuilt(value, new) for value in sample), maxlen=sample.maxlen)
    if type(sample) in _SEQUENCES:
        return type(sample)(rebuilt(value, new) for value in sample)
    return next(new)
