"""Functions that LLVM calls by itself are there, or the object is refused."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from cresset.compiler import externals, host

HALVES = """
declare half @__truncdfhf2(double)

define i32 @halves(ptr %from, ptr %to, i64 %count) {
  br label %loop
loop:
  %i = phi i64 [0, %0], [%next, %loop]
  %source = getelementptr double, ptr %from, i64 %i
  %x = load double, ptr %source
  %half = call half @__truncdfhf2(double %x)
  %target = getelementptr half, ptr %to, i64 %i
  store half %half, ptr %target
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}
"""


def halves(values):
    found = np.empty(len(values), np.float16)
    module = host.Module(HALVES)  # its code goes away with it
    function = module.function("halves", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    function(values.ctypes.data, found.ctypes.data, len(values))
    return found


def test_doubles_are_rounded_to_halves_once():
    rng = np.random.default_rng(0)
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = np.sort(every[np.isfinite(every)].astype(np.float64))
    middles = (finite[1:] + finite[:-1]) / 2  # ties, and what is next to them
    moves = (0, 2**-52, -(2**-52), 2**-26, -(2**-26), 2**-25, -(2**-25))
    near = [middles * (1 + move) for move in moves]
    wild = rng.standard_normal(50_000) * 10.0 ** rng.integers(-12, 8, 50_000)
    special = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        65504.0,
        65519.99,
        65520.0,
        1e300,
        -1e300,
        5e-324,
        2**-25,
    ]
    values = np.concatenate([finite, *near, wild, special])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    assert (halves(values).view(np.uint16) == expected.view(np.uint16)).all()
    assert np.isnan(halves(np.array([np.nan]))).all()


def test_what_an_object_calls_is_seen():
    text = HALVES.replace("__truncdfhf2", "cresset_nobody_has_this")
    (code,) = host.objects([text])
    if code[:4] == b"\x7fELF":
        assert externals.called(host.llvm(), code) == {"cresset_nobody_has_this"}
        with pytest.raises(RuntimeError, match="LLVM calls cresset_nobody_has_this"):
            host.Module(text)


def test_a_new_process_finds_what_the_system_has():
    """LLVM knows the process's functions only once an engine was made."""
    text = """
declare double @sin(double)
declare ptr @memcpy(ptr, ptr, i64)

define i32 @f(ptr %a, ptr %b, i64 %n) {
  %c = call ptr @memcpy(ptr %a, ptr %b, i64 %n)
  %x = load double, ptr %a
  %y = call double @sin(double %x)
  store double %y, ptr %a
  ret i32 0
}
"""
    program = (
        "import ctypes, numpy as np\nfrom cresset.compiler import host\n"
        f"module = host.Module({text!r})\n"
        "f = module.function('f', ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)\n"
        "a, b = np.zeros(1), np.full(1, 0.5)\nf(a.ctypes.data, b.ctypes.data, 8)\n"
        "assert a[0] == np.sin(0.5)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
