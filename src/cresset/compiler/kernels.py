"""Kernels as machine code: one module of text each, made once in a process.

Plans share kernels: what a script trains by hand, by modules and by an optimiser are different
plans of mostly the same steps. The text of a kernel says all that it does, so equal texts are one
kernel, in whatever plan, and the cache on disk keeps each by itself: a change in one layer of a
model costs the kernels of that layer.
"""

from __future__ import annotations

import hashlib
from weakref import WeakValueDictionary

from cresset.compiler.code import Code
from cresset.compiler.host import Module, written_in_vectors


class Kernel:
    """A kernel's text, and where its machine code begins."""

    __slots__ = ("name", "ir", "address", "module", "__weakref__")

    def __init__(self, name: str, ir: str) -> None:
        self.name = name
        self.ir = ir
        self.address = 0
        #: Keeps the code in memory.
        self.module: Module | None = None


#: The kernels of living plans, by their texts.
_KNOWN: WeakValueDictionary[str, Kernel] = WeakValueDictionary()


class Kernels:
    """The kernels of a plan while it is built."""

    def __init__(self) -> None:
        self._numbers: dict[Kernel, int] = {}

    def write(self, op: str, code: Code, arguments: list[str]) -> int:
        """The number of the kernel with this code, which reads and writes at ``arguments``."""
        alone = "" if code.aliased else " noalias"
        given = [f"ptr{alone} {name}" for name in arguments]
        given += ["ptr %shared", f"ptr{alone} %scratch"]
        if code.pieces > 1:
            given.append("i64 %piece")
        text = code.function("kernel", given)
        name = f"{op}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        text = text.replace("@kernel(", f"@{name}(", 1) + "\n\n" + _entry(name, given)
        ir = "\n\n".join(["\n".join(sorted(code.declared)), text, _attributes(text)])
        kernel = _KNOWN.get(ir)
        if kernel is None:
            kernel = _KNOWN[ir] = Kernel(name, ir)
        return self._numbers.setdefault(kernel, len(self._numbers))

    def made(self) -> list[Kernel]:
        """All of them, by their numbers, with machine code."""
        new = [kernel for kernel in self._numbers if kernel.module is None]
        if new:
            module = Module(*(kernel.ir for kernel in new))
            for kernel in new:
                kernel.module, kernel.address = module, module.address(f"{kernel.name}.entry")
        return list(self._numbers)


def _entry(name: str, arguments: list[str]) -> str:
    """The function that a segment calls: it takes a kernel's arguments from a list of addresses."""
    lines = [f"define i1 @{name}.entry(ptr %list, i64 %piece) #1 {{"]
    passed = []
    for n, argument in enumerate(arguments):
        if argument.startswith("ptr"):
            lines.append(f"  %at{n} = getelementptr ptr, ptr %list, i64 {n}")
            lines.append(f"  %p{n} = load ptr, ptr %at{n}")
            passed.append(f"ptr %p{n}")
        else:
            passed.append("i64 %piece")
    lines.append(f"  %failed = call i1 @{name}({', '.join(passed)})")
    return "\n".join([*lines, "  ret i1 %failed", "}"])


def _attributes(text: str) -> str:
    """What a text ends with.

    A kernel in vectors becomes part of its entry: one function less to go through. Others stay
    functions of their own, where LLVM sees best that their arguments lie apart.
    """
    apart = "alwaysinline" if written_in_vectors(text) else "noinline"
    wide = '"prefer-vector-width"="512"'
    return f"attributes #0 = {{ {apart} nounwind {wide} }}\nattributes #1 = {{ nounwind {wide} }}"
