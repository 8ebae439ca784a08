"""What machine code calls outside of itself.

LLVM calls functions that nobody wrote where a processor lacks an instruction: ``__truncdfhf2`` for
a float64 that becomes a float16, which no library of this process has. MCJIT gives what it does not
find the address 0. So such functions are provided here, and an object that calls another one is
refused before it can run: its plan then stays on the first tier.
"""

from __future__ import annotations

import struct
from typing import Any

#: A float64 as a float16. By way of a float32 that is rounded to odd: where it is not the same
#: number, its last bit is set, so that the second rounding cannot take it for a tie
#: (Boldo and Melquiond, 2008).
HALF_OF_DOUBLE = """
declare double @llvm.fabs.f64(double)

define half @cresset_half(double %x) {
  %near = fptrunc double %x to float
  %back = fpext float %near to double
  %differs = fcmp one double %back, %x
  %bits = bitcast float %near to i32
  %last = trunc i32 %bits to i1
  %even = xor i1 %last, true
  %moves = and i1 %differs, %even
  %size = call double @llvm.fabs.f64(double %x)
  %found = call double @llvm.fabs.f64(double %back)
  %beyond = fcmp ogt double %found, %size
  %step = select i1 %beyond, i32 -1, i32 1
  %other = add i32 %bits, %step
  %odd = select i1 %moves, i32 %other, i32 %bits
  %float = bitcast i32 %odd to float
  %half = fptrunc float %float to half
  ret half %half
}
"""
#: Names that LLVM may call, with the function that does it and its text.
PROVIDED = {"__truncdfhf2": ("cresset_half", HALF_OF_DOUBLE)}

_SYMBOL = struct.Struct("<IBBHQQ")
#: The linker's own.
_LINKER = {"_GLOBAL_OFFSET_TABLE_"}


def called(binding: Any, code: bytes) -> set[str]:
    """The functions that an object calls and does not hold; nothing if it is no ELF object."""
    if code[:4] != b"\x7fELF":
        return set()
    sections = {s.name(): s.data() for s in binding.ObjectFileRef.from_data(code).sections()}
    symbols, names = sections.get(b".symtab", b""), sections.get(b".strtab", b"")
    found = set()
    for name, _, _, section, _, _ in _SYMBOL.iter_unpack(symbols):
        if name and not section:
            found.add(names[name : names.index(b"\0", name)].decode())
    return found - _LINKER
