"""The examples in the docstrings of elementwise functions run and print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

FAMILIES = ("pointwise", "math", "rounding", "binary", "compare", "select", "softmax", "activation")
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _documented() -> list:
    found = {}
    for family in FAMILIES:
        module = importlib.import_module("cresset.ops." + family)
        for name in module.TORCH:
            public, _, source = name.partition("=")
            function = vars(module)[source or public]
            if not public.endswith("_"):
                found.setdefault(id(function), pytest.param(function, id=public))
    return list(found.values())


@pytest.mark.parametrize("function", _documented())
def test_example_prints_what_it_says(function):
    text = function.__doc__ or ""
    assert ">>>" in text, "no example"
    test = doctest.DocTestParser().get_doctest(text, {}, function.__name__, None, None)
    report: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=report.append)
    assert outcome.failed == 0, "".join(report)
