"""The host processor: what LLVM makes machine code for, and the BLAS that plans call.

llvmlite is imported here and nowhere else, when the first plan is compiled: ``import cresset`` must
not pay for it.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any


@functools.cache
def llvm() -> Any:
    """``llvmlite.binding`` with the native target ready."""
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@functools.cache
def processor() -> tuple[str, str]:
    """LLVM's name of this processor and its feature string."""
    binding = llvm()
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


def vector_bytes() -> int:
    """The width of this processor's vector registers."""
    features = processor()[1].split(",")
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


def vector_registers() -> int:
    """How many vector registers there are."""
    features = processor()[1]
    arm = llvm().get_default_triple().startswith(("aarch64", "arm64"))
    return 32 if arm or "+avx512f" in features.split(",") else 16


class Module:
    """Compiled code; keeps the memory it lies in alive."""

    def __init__(self, ir: str) -> None:
        binding = llvm()
        name, features = processor()
        target = binding.Target.from_default_triple()
        machine = target.create_target_machine(cpu=name, features=features, opt=3, jit=True)
        module = binding.parse_assembly(ir)
        module.verify()
        options = binding.create_pipeline_tuning_options(speed_level=3)
        builder = binding.create_pass_builder(machine, options)
        passes = builder.getModulePassManager()
        passes.run(module, builder)
        self.ir = ir
        self.machine = machine
        self.engine = binding.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        self._module = module

    def address(self, name: str) -> int:
        """Where a function of the module begins."""
        return int(self.engine.get_function_address(name))

    def function(self, name: str, *arguments: Any) -> Any:
        """A function of the module as a ctypes function that returns an int."""
        return ctypes.CFUNCTYPE(ctypes.c_int32, *arguments)(self.address(name))

    def assembly(self) -> str:
        """The machine code as text."""
        return self.machine.emit_assembly(self._module)


@functools.cache
def blas(name: str) -> int:
    """The address of a routine of SciPy's BLAS, by its Fortran name."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get_pointer(capsule, get_name(capsule))
