"""The host processor: what LLVM makes machine code for, and the BLAS that plans call.

llvmlite is imported here and nowhere else, when the first plan is compiled: ``import cresset`` must
not pay for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Any

from cresset.compiler import cache, externals
from cresset.core.modes import PROCESS
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


@functools.cache
def _apart(features: str) -> frozenset[str]:
    return frozenset(features.split(","))


def vector_bytes() -> int:
    """The width of this processor's vector registers."""
    features = _apart(processor()[1])
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


@functools.cache
def is_arm() -> bool:
    return llvm().get_default_triple().startswith(("aarch64", "arm64"))


@functools.cache
def scales_floats() -> bool:
    """Whether the processor multiplies vectors by powers of two in one instruction."""
    return {"+avx512f", "+avx512vl"} <= _apart(processor()[1])


def vector_registers() -> int:
    """How many vector registers there are."""
    return 32 if is_arm() or "+avx512f" in _apart(processor()[1]) else 16


#: What LLVM is asked to do; part of the name of what is kept on disk.
_PASSES = "functions at level 2; without vectors all at level 3"
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
        names = [
            cache.key(
                text, _PASSES, *processor(), binding.get_default_triple(), llvmlite_version(),
                __version__,
            )
            for text in texts
        ]  # fmt: skip
        codes = [cache.load(name) for name in names]
        missing = [n for n, code in enumerate(codes) if code is None]
        #: Whether all of it was on disk.
        self.cached = not missing
        for n, code in zip(missing, objects([texts[n] for n in missing]), strict=True):
            cache.store(names[n], code)
            codes[n] = code
        if any("@cresset_sgemm" in text for text in texts):
            binding.add_symbol("cresset_sgemm", blas("sgemm"))
        self.engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
        for name in {name for code in codes for name in externals.called(binding, code or b"")}:
            if binding.address_of_symbol(name) is None:
                _provide(name)
        for code in codes:
            self.engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self.engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function of the module begins."""
        return int(self.engine.get_function_address(name))

    def function(self, name: str, *arguments: Any) -> Any:
        """A function of the module as a ctypes function that returns an int."""
        return ctypes.CFUNCTYPE(ctypes.c_int32, *arguments)(self.address(name))


@functools.cache
def _provide(name: str) -> Module:
    """Have a function that LLVM calls; RuntimeError if nobody has it."""
    if name not in externals.PROVIDED:
        raise RuntimeError(f"LLVM calls {name}, which this process does not have")
    function, text = externals.PROVIDED[name]
    module = Module(text)
    llvm().add_symbol(name, module.address(function))
    return module


def objects(texts: list[str]) -> list[bytes]:
    """The object code of each text, made by as many threads as plans run on."""
    found: list[Any] = [None] * len(texts)
    waiting = deque(sorted(range(len(texts)), key=lambda n: len(texts[n])))
    llvm()

    def work() -> None:
        while waiting:
            try:
                n = waiting.pop()  # the longest that is left
            except IndexError:  # another thread was quicker
                return
            try:
                found[n] = _made(texts[n], _emitted)
            except BaseException as error:
                found[n] = error
                waiting.clear()

    helpers: list[Thread] = []
    with contextlib.suppress(RuntimeError):  # while the interpreter ends there are no new threads
        while len(helpers) < min(PROCESS.threads(), len(texts)) - 1:
            helper = Thread(target=work)
            helper.start()
            helpers.append(helper)
    work()
    for helper in helpers:
        helper.join()
    for code in found:
        if isinstance(code, BaseException):
            raise code
    return found


def _made(text: str, form: Callable[[Any, Any], Any]) -> Any:
    """What ``form`` makes of a machine and LLVM's module of a text, after LLVM's passes."""
    binding, machine = llvm(), _machine()
    # Closed by hand: a module must not outlive its context, as it might after an error.
    with binding.create_context() as context, binding.parse_assembly(text, context) as module:
        module.verify()
        _optimise(machine, module, text)
        return form(machine, module)


def _optimise(machine: Any, module: Any, text: str) -> None:
    """LLVM's passes.

    What is written in vectors is written unrolled as well, and LLVM's passes over modules and
    loops do nothing for it: a training step takes as long with those over functions alone, and
    half of the time to compile. (With their first level it were a tenth less, and one convolution
    of LeNet's 6 % slower.) Loops over single elements are different: a sort is half again as fast
    with all passes.
    """
    binding = llvm()
    whole = not written_in_vectors(text)
    options = binding.create_pipeline_tuning_options(speed_level=3 if whole else 2)
    options.loop_unrolling = whole
    builder = binding.create_pass_builder(machine, options)
    if whole:
        _free("LLVMPY_RunNewModulePassManager")(builder.getModulePassManager(), module, builder)
        return
    inline = binding.create_new_module_pass_manager()
    inline.add_always_inliner_pass()
    inline.run(module, builder)
    simplify = builder.getFunctionPassManager()
    for function in module.functions:
        if not function.is_declaration:
            _free("LLVMPY_RunNewFunctionPassManager")(simplify, function, builder)


def _emitted(machine: Any, module: Any) -> bytes:
    """``machine.emit_object(module)``."""
    ffi = llvm().ffi
    with ffi.OutputString() as error:
        memory = _free("LLVMPY_TargetMachineEmitToMemory")(machine, module, 1, error)
        if not memory:
            raise RuntimeError(str(error))
    try:
        size = ffi.lib.LLVMPY_GetBufferSize(memory)
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(memory), size)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


def _free(name: str) -> Any:
    """One of LLVM's functions, without the lock that llvmlite holds around each.

    LLVM itself compiles modules side by side if each has a context and a machine of its own.
    llvmlite runs one call at a time, whatever it works on, and two of them take nearly all of the
    time. Where llvmlite should come to look different inside, its own function is taken.
    """
    function = getattr(llvm().ffi.lib, name)
    return getattr(function, "_cfn", function)


def assembly(text: str) -> str:
    """A text's machine code as text."""
    return str(_made(text, lambda machine, module: machine.emit_assembly(module)))


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
