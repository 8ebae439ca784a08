"""How near the convolutions of the tutorials' nets come to what a core can do.

The peak is measured: fused multiply-adds on vectors in registers, with nothing to load. Kernels are
timed by ``cresset.compiler.report``, one by one on one thread.
"""

from __future__ import annotations

import ctypes
import time
from typing import NamedTuple

import workloads

import cresset
from cresset.compiler import report
from cresset.compiler.code import Code
from cresset.compiler.host import Module, vector_bytes, vector_registers


class Row(NamedTuple):
    """A kernel of a net's training step."""

    net: str
    kernel: str
    shape: tuple[int, ...]
    gflops: float


def peak(seconds: float = 0.2) -> float:
    """Billions of float32 operations per second that one core does in registers."""
    lanes, count, rounds = vector_bytes() // 4, vector_registers() * 3 // 4, 100_000
    vector = f"<{lanes} x float>"
    c = Code()
    sums = [c.slot(vector, c.splat("float", lanes, f"{float(i)}")) for i in range(count)]
    factor = c.splat("float", lanes, c.load("float", "%x"))
    with c.loop(rounds):
        for total in sums:
            c.set(vector, total, c.fma(vector, factor, factor, c.get(vector, total)))
    for i, total in enumerate(sums):
        c.store(vector, c.get(vector, total), "%x", i * lanes, align=4)
    text = "\n".join([*sorted(c.declared), c.function("inner", ["ptr %x"])])
    text += (
        "\ndefine i32 @run(ptr %x) #0 {\n  %f = call i1 @inner(ptr %x)\n  ret i32 0\n}\n"
        'attributes #0 = { "prefer-vector-width"="512" }\n'
    )
    module = Module(text)
    run = module.function("run", ctypes.c_void_p)
    room = (ctypes.c_float * (count * lanes))()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run(ctypes.addressof(room))
        best = max(best, 2 * lanes * count * rounds / (time.perf_counter() - start) / 1e9)
    return best


def rows() -> list[Row]:
    """The convolution kernels of the three nets' training steps."""
    nets = {
        "CIFAR-10 net, batch 4": workloads.cifar(4),
        "LeNet with dropout, batch 64": workloads.lenet,
        "3-conv CNN, batch 64": workloads.three_convolutions,
    }
    found = []
    for net, build in nets.items():
        step = build(cresset)
        for _ in range(5):
            step().item()
        for kernel in report().kernels:
            if kernel.ops[0].startswith("convolution"):
                found.append(Row(net, kernel.ops[0], kernel.writes[0], kernel.gflops))
    return found


if __name__ == "__main__":
    top = peak()
    print(f"peak of one core: {top:.0f} GFLOP/s")
    for row in rows():
        shape = "x".join(map(str, row.shape))
        print(f"{row.net:30s} {row.kernel:24s} {shape:14s} {row.gflops:6.1f} GFLOP/s "
              f"{row.gflops / top:4.0%}")  # fmt: skip
