"""The host processor: what LLVM makes machine code for, and the BLAS that plans call.

llvmlite is imported here and nowhere else, when the first plan is compiled: ``import cresset`` must
not pay for it.
"""

from __future__ import annotations

import ctypes
import functools
import re
from typing import Any

from cresset.compiler import cache
from cresset.version import __version__


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


def llvmlite_version() -> str:
    """The versions of llvmlite and of the LLVM inside it."""
    import llvmlite

    return f"{llvmlite.__version__} {'.'.join(map(str, llvm().llvm_version_info))}"


def _machine() -> Any:
    name, features = processor()
    target = llvm().Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3, jit=True)


def vector_bytes() -> int:
    """The width of this processor's vector registers."""
    features = processor()[1].split(",")
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


@functools.cache
def is_arm() -> bool:
    return llvm().get_default_triple().startswith(("aarch64", "arm64"))


@functools.cache
def scales_floats() -> bool:
    """Whether the processor multiplies vectors by powers of two in one instruction."""
    return {"+avx512f", "+avx512vl"} <= set(processor()[1].split(","))


def vector_registers() -> int:
    """How many vector registers there are."""
    return 32 if is_arm() or "+avx512f" in processor()[1].split(",") else 16


#: What LLVM is asked to do; part of the name of what is kept on disk.
_PASSES = "functions at level 1; without vectors all at level 3"
_VECTOR = re.compile(r"<\d+ x ")


def written_in_vectors(text: str) -> bool:
    """Whether a text goes through its loops in vectors, and not by single elements."""
    return _VECTOR.search(text) is not None


class Module:
    """Compiled code, from the cache on disk where it is there; keeps its memory alive.

    Texts given together are compiled and kept each by itself, and lie side by side in memory.
    """

    def __init__(self, *texts: str) -> None:
        binding = llvm()
        self.texts = texts
        #: Whether all of it was on disk.
        self.cached = True
        codes = [self._code(text) for text in texts]
        if any("@cresset_sgemm" in text for text in texts):
            binding.add_symbol("cresset_sgemm", blas("sgemm"))
        self.engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
        for code in codes:
            self.engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self.engine.finalize_object()

    def _code(self, text: str) -> bytes:
        """The object code of a text."""
        name = cache.key(
            text, _PASSES, *processor(), llvm().get_default_triple(), llvmlite_version(),
            __version__,
        )  # fmt: skip
        code = cache.load(name)
        if code is None:
            self.cached = False
            machine = _machine()
            code = machine.emit_object(_optimised(machine, text))
            cache.store(name, code)
        return code

    def address(self, name: str) -> int:
        """Where a function of the module begins."""
        return int(self.engine.get_function_address(name))

    def function(self, name: str, *arguments: Any) -> Any:
        """A function of the module as a ctypes function that returns an int."""
        return ctypes.CFUNCTYPE(ctypes.c_int32, *arguments)(self.address(name))


def _optimised(machine: Any, text: str) -> Any:
    """LLVM's module of a text, after LLVM's passes.

    What is written in vectors is written unrolled as well, and LLVM's passes over modules and
    loops do nothing for it: a training step takes as long with the first level of those over
    functions, and less than half of the time to compile. Loops over single elements are different:
    a sort is half again as fast with all passes.
    """
    binding = llvm()
    module = binding.parse_assembly(text)
    module.verify()
    whole = not written_in_vectors(text)
    options = binding.create_pipeline_tuning_options(speed_level=3 if whole else 1)
    options.loop_unrolling = whole
    builder = binding.create_pass_builder(machine, options)
    if whole:
        builder.getModulePassManager().run(module, builder)
        return module
    inline = binding.create_new_module_pass_manager()
    inline.add_always_inliner_pass()
    inline.run(module, builder)
    simplify = builder.getFunctionPassManager()
    for function in module.functions:
        if not function.is_declaration:
            simplify.run(function, builder)
    return module


def assembly(text: str) -> str:
    """A text's machine code as text."""
    machine = _machine()
    return str(machine.emit_assembly(_optimised(machine, text)))


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
