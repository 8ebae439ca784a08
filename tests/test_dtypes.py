"""Dtypes as objects: names, properties, limits, aliases, the default dtype and promotion rules."""

from __future__ import annotations

import pickle

import pytest

import cresset

from .ops.programs import same_program

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")

PROPERTIES = [
    f"d = t.{d}; (d, str(d), d.itemsize, d.is_floating_point, d.is_complex, d.is_signed,"
    " d.to_real())"
    for d in DTYPES
]
COMPLEX = [f"t.{d}.to_complex()" for d in DTYPES if d != "float16"]
LIMITS = [
    *(f"f = t.finfo(t.{d}); (f.bits, f.eps, f.max, f.min, f.tiny, f.smallest_normal,"
      " f.resolution, f.dtype, f)" for d in FLOATS),
    *(f"i = t.iinfo(t.{d}); (i.bits, i.max, i.min, i.dtype, i)" for d in INTEGERS),
    "t.finfo()",
    "t.finfo(type=t.float64).max",
    "t.iinfo(t.bool)",
    "t.finfo('a')",
    "t.iinfo(3)",
    "t.finfo(t.float32) == t.finfo(t.float32), t.finfo(t.float32) == t.finfo(t.float64)",
    "t.iinfo(t.int8) != t.iinfo(t.int16)",
]  # fmt: skip
RULES = [
    "[t.promote_types(a, b) for a in D for b in D]",
    "[t.can_cast(a, b) for a in D for b in D]",
    "[t.result_type(t.ones(1, dtype=a), b) for a in D for b in (True, 1, 1.5)]",
    "[t.result_type(t.ones((), dtype=a), t.ones((), dtype=b)) for a in D for b in D]",
    "t.result_type(1, 2.5), t.result_type(True, 1), t.result_type(1j, 1)",
    "t.promote_types(t.float32, 3)",
    "t.can_cast(t.float32, 'a')",
]
ALIASES = [
    "t.float is t.float32, t.double is t.float64, t.half is t.float16, t.int is t.int32",
    "t.long is t.int64, t.short is t.int16, t.cfloat is t.complex64, t.cdouble is t.complex128",
    "t.bool is t.tensor(True).dtype, t.uint8 is t.tensor(1).byte().dtype",
    "t.float32 == t.float32, t.float32 == t.float64, t.float32 != t.int8, t.float32 == 'float32'",
    "hash(t.float32) == hash(t.float), len({t.float, t.float32, t.int})",
    "isinstance(t.float32, t.dtype), isinstance(3, t.dtype)",
    "copy.deepcopy(t.float32) is t.float32, pickle.loads(pickle.dumps(t.int8)) is t.int8",
]
DEFAULT = [
    "t.get_default_dtype()",
    "t.set_default_dtype(t.float64); r = (t.tensor(1.).dtype, t.ones(1).dtype, t.rand(1).dtype,"
    " t.arange(1.).dtype, t.tensor(1j).dtype, (t.ones(1, dtype=t.int64) / 2).dtype,"
    " t.linspace(0, 1, 2).dtype, t.eye(1).dtype, t.full((1,), 1.).dtype, t.tensor([]).dtype,"
    " t.empty(1).dtype, t.Tensor(1).dtype, (t.ones(1, dtype=t.int32) * 1.5).dtype,"
    " t.ones(1, dtype=t.int32).mean(dtype=t.float32).dtype, t.sqrt(t.ones(1, dtype=t.int8)).dtype,"
    " t.nn.Linear(1, 1).weight.dtype, t.tensor(1).dtype); t.set_default_dtype(t.float32); r",
    "t.set_default_dtype(t.float16); r = (t.tensor(1.).dtype, t.tensor(1j).dtype);"
    " t.set_default_dtype(t.float32); r[0]",
    "t.set_default_dtype(t.int64)",
    "t.set_default_dtype('float32')",
    "t.set_default_dtype(t.complex64)",
    "t.set_default_tensor_type(t.DoubleTensor); r = t.ones(1).dtype;"
    " t.set_default_tensor_type(t.FloatTensor); r",
    "t.set_default_tensor_type('torch.DoubleTensor'); r = t.ones(1).dtype;"
    " t.set_default_tensor_type('torch.FloatTensor'); r",
    "t.set_default_tensor_type(t.LongTensor)",
    "t.set_default_tensor_type('torch.NoTensor')",
]
_EVERY = f"D = [getattr(t, d) for d in {DTYPES}]; "


@pytest.mark.parametrize("program", [*PROPERTIES, *COMPLEX, *LIMITS, *ALIASES, *DEFAULT])
def test_goes_as_in_pytorch(program):
    same_program(program)


@pytest.mark.parametrize("program", RULES)
def test_promotion_rules_are_pytorchs(program):
    same_program(_EVERY + program)


@pytest.mark.parametrize("program", ["t.finfo(t.int8)", "t.iinfo(t.float32)"])
def test_limits_of_the_other_kind_are_refused(program):
    same_program(program, words=False)  # PyTorch names the class where the dtype belongs


def test_limits_are_the_formats_own():
    assert cresset.finfo(cresset.float32).eps == 2**-23
    assert cresset.finfo(cresset.bfloat16).eps == 2**-7
    assert cresset.finfo(cresset.float16).max == 65504
    assert cresset.iinfo(cresset.int64).max == 2**63 - 1
    assert cresset.iinfo(cresset.uint8).min == 0


@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_is_one_object_however_it_travels(name):
    d = getattr(cresset, name)
    assert pickle.loads(pickle.dumps(d)) is d
    assert cresset.zeros(1, dtype=d).dtype is d
    assert repr(d) == f"torch.{name}"
