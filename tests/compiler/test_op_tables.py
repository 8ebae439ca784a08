"""Every op of the op tables as machine code against its kernel: one dtype, shape and layout each.

Which ones follows from the row's name, so that all dtypes have their turn in every family.
"""

from __future__ import annotations

import importlib
import warnings
import zlib

import numpy as np
import pytest
from tests.ops import harness

import cresset as torch
from cresset.compiler import native
from cresset.core import graph
from cresset.core.modes import PROCESS

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

TABLES = (
    "pointwise",
    "compare",
    "activation",
    "reduce",
    "select",
    "sort",
    "index",
    "join",
    "matmul",
)
#: Rows that are compiled as one plan.
_BATCH = 25


def _rows(table):
    module = importlib.import_module(f"tests.ops.table_{table}")
    found = {}
    for value in vars(module).values():
        if isinstance(value, (list, tuple)):
            found.update({id(r): r for r in value if isinstance(r, harness.OpRow)})
    return list(found.values())


def _case(row):
    """A call without arguments, and the dtype; None if the kernel refuses it."""
    real = [d for d in row.dtypes if not d.startswith("complex")]
    if not real:
        return None
    pick = zlib.crc32(row.name.encode())
    dtype = real[pick % len(real)]
    layout = ("contiguous", "transposed", "sliced")[pick // 7 % 3]
    operands = harness.operands(row, row.samples()[0], dtype, layout)

    def call():
        torch.manual_seed(0)
        return harness.flatten(row.run(torch, harness.tensors(torch, operands)))

    try:
        held = call()
        graph.flush()
        del held
    except Exception:
        return None
    return call, dtype


@pytest.mark.parametrize("table", TABLES)
def test_machine_code_gives_what_the_kernel_gives(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for case in map(_case, _rows(table)) if case is not None]
        assert len(cases) > 10
        for start in range(0, len(cases), _BATCH):
            _compare(cases[start : start + _BATCH])


def _compare(cases):
    expected = [_values(call()) for call, _ in cases]
    native.LAST.plan = None
    compiled = torch.compile(lambda: [call() for call, _ in cases])()
    for results, wanted, (_, dtype) in zip(compiled, expected, cases, strict=True):
        rtol, atol = harness.TOLERANCE.get(dtype, (0, 0))
        for got, want in zip(_values(results), wanted, strict=True):
            if want.dtype.kind in "fc":
                np.testing.assert_allclose(got, want, rtol or 1e-6, atol or 1e-6)
            else:
                np.testing.assert_array_equal(got, want)
    assert native.LAST.plan is not None


def _values(results):
    return [np.asarray(x.tolist() if isinstance(x, torch.Tensor) else x) for x in results]
