"""Conversions: every pair of dtypes, also of values that do not fit; ``to`` in all its forms."""

from __future__ import annotations

import pytest

import cresset

from .programs import same_program

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
#: Values by kind of the source dtype; those beyond the target's range are ``EDGES`` below.
VALUES = {
    "bool": "[True, False]",
    "uint8": "[0, 1, 127, 128, 255]",
    "int": "[0, 1, -1, 100, -128, 127]",
    "float": "[0.0, -0.0, 1.0, -1.5, 0.1, 2.9, -2.9, 100.5, 1e-8]",
    "complex": "[0j, 1 + 2j, -1.5 - 0.5j, 100.25 + 0j]",
}


def _values(dtype: str) -> str:
    return next(v for k, v in VALUES.items() if dtype.startswith(k) or k in dtype)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_every_pair_of_dtypes_converts(source, target):
    if target == "uint8" and source not in ("bool", "uint8"):
        same_program(f"x = t.tensor({_values(source)}).abs().to(t.{source}); x.to(t.{target})")
    else:
        same_program(f"x = t.tensor({_values(source)}, dtype=t.{source}); x.to(t.{target})")


#: Overflow, infinities and NaN. Floats beyond an integer type's range are undefined in C++ and so
#: not compared.
EDGES = """
t.tensor([300, -1, 256, 2**40 + 5]).to(t.uint8)
t.tensor([300, -129, 128, 2**40 + 5]).to(t.int8)
t.tensor([2**15, -2**15 - 1, 2**31]).to(t.int16)
t.tensor([2**31, -2**31 - 1, 2**32 + 7]).to(t.int32)
t.tensor([200], dtype=t.uint8).to(t.int8)
t.tensor([-1], dtype=t.int8).to(t.uint8)
t.tensor([1e5, -1e5, 65504., 65520., inf, -inf, nan]).to(t.float16)
t.tensor([1e39, -1e39, inf, nan], dtype=t.float64).to(t.float32)
t.tensor([1e39, 3.4e38, inf, nan], dtype=t.float64).to(t.bfloat16)
t.tensor([1 + 2.0**-8, 1 + 2.0**-9, 1 + 3 * 2.0**-9, 1e-40, 3.39e38]).to(t.bfloat16)
t.tensor([1 + 2.0**-11, 1 + 2.0**-12, 1 + 3 * 2.0**-11, 6e-8, 3e-8, 2e-8]).to(t.float16)
t.tensor([0., -0., nan, inf, 1e-45, 0.5]).to(t.bool)
t.tensor([nan, inf, -inf]).to(t.complex64)
t.tensor([0j, 1j, complex(nan, 0)]).to(t.bool)
t.tensor([2**53 + 1, 2**62]).to(t.float64)
t.tensor([2**24 + 1, 2**62 + 1]).to(t.float32)
t.tensor([2049, 70000]).to(t.float16)
t.tensor([3e9, -3e9, 1e19, nan, inf, 300.7, -1.5], dtype=t.float64).to(t.int32)
t.tensor([3e9, -3e9, 1e19, nan, inf, 300.7, 40000.], dtype=t.float64).to(t.int16)
t.tensor([3e9, 2.0**31 + 77, nan, inf, 300.7, -1.5], dtype=t.float64).to(t.int8)
t.tensor([3e9, 2.0**31 + 77, nan, inf, 300.7, -1.5], dtype=t.float64).to(t.uint8)
t.tensor([1 + 2.0**-11 + 2.0**-40], dtype=t.float64).to(t.float16)
t.nn.functional.elu(t.tensor([-0., nan, inf, -inf]))
t.tensor([257, 2**20 + 1]).to(t.bfloat16)
t.tensor([1.5 + 2j]).to(t.float32)
t.tensor([1 + 2j], dtype=t.complex128).to(t.complex64)
t.tensor([1e300 + 1e300j], dtype=t.complex128).to(t.complex64)
t.tensor([nan]).to(t.float16).to(t.bfloat16).to(t.float64)
t.tensor([]).to(t.int64)
t.tensor(2.7).to(t.int8)
t.ones(2, 3).t().to(t.int64).stride()
t.ones(3).expand(2, 3).to(t.int64).stride()
t.arange(12.).view(3, 4)[:, ::2].to(t.float64).stride()
""".strip().split("\n")
FORMS = """
x = t.ones(2); x.to(t.float32) is x
x = t.ones(2); x.to('cpu') is x
x = t.ones(2); x.to(t.float32, copy=True) is x
x = t.ones(2); x.to(x) is x
x = t.ones(2); x.to(device='cpu', dtype=t.float64)
x = t.ones(2); x.to('cpu', t.float64)
x = t.ones(2); x.to(t.device('cpu'), t.float64, True, True)
x = t.ones(2); x.to(t.float64, non_blocking=True)
x = t.ones(2); x.to(dtype=None) is x
x = t.ones(2); x.to(t.ones(1, dtype=t.int8))
x = t.ones(2); x.to(int)
x = t.ones(2); x.to(float)
x = t.ones(2); x.to(bool)
x = t.ones(2); x.to()
x = t.ones(2); x.to('float64')
x = t.ones(2); x.to(3)
x = t.ones(2); x.to(None)
x = t.ones(2); x.to(t.float32, t.float64)
x = t.ones(2); x.to([1])
x = t.ones(2); x.type()
x = t.ones(2); x.type(t.int64)
x = t.ones(2); x.type('torch.LongTensor')
x = t.ones(2); x.type(t.DoubleTensor)
x = t.ones(2); x.type('LongTensor')
x = t.ones(2); x.type(t.float32) is x
x = t.ones(2); x.type_as(t.ones(1, dtype=t.int8))
x = t.ones(2); x.double(), x.float() is x, x.half(), x.bfloat16(), x.long(), x.int(), x.short()
x = t.ones(2); x.char(), x.byte(), x.bool(), x.cfloat(), x.cdouble()
x = t.ones(2); x.cpu() is x
x = t.ones(2); x.clone() is x, x.clone()
x = t.ones(2, 3).t(); x.clone().stride(), x.clone(memory_format=t.contiguous_format).stride()
x = t.ones(3).expand(2, 3); x.clone().stride()
x = t.ones(2, 3, 4, 5); x.to(memory_format=t.channels_last).stride()
x = t.ones(2, 3); x.to(memory_format=t.channels_last)
x = t.ones(2, 3, 4, 5); x.clone(memory_format=t.channels_last).is_contiguous()
x = t.ones(2, requires_grad=True); x.to(t.float64)
x = t.ones(2, requires_grad=True); x.to(t.int64)
x = t.ones(2, requires_grad=True); x.clone()
x = t.ones(2, requires_grad=True); x.detach()
x = t.ones(2, requires_grad=True); x.double().sum().backward(); x.grad
x = t.ones(2, requires_grad=True); x.half().sum().backward(); x.grad
x = t.ones(2, requires_grad=True); x.to(t.complex64).abs().sum().backward(); x.grad
x = t.ones(2, dtype=t.cfloat, requires_grad=True); x.cdouble().abs().sum().backward(); x.grad
x = t.ones(2); x.copy_(t.tensor([1, 2]))
x = t.zeros(2, dtype=t.int64); x.copy_(t.tensor([1.9, -1.9]))
x = t.zeros(2); x.copy_(t.tensor([1 + 2j, 3j]))
x = t.zeros(2); x.copy_([1, 2])
x = t.zeros(2); x.copy_(3)
x = t.zeros(2, dtype=t.bool); x.copy_(t.tensor([0.5, 0.]))
x = t.ones(2); x.numpy().dtype, x.double().numpy().dtype
t.ones(2).to('xyz')
""".strip().split("\n")
#: What depends on the machine, or words that list all forms of ``to``.
OTHER_WORDS = {
    "x = t.ones(2); x.to()", "x = t.ones(2); x.to(3)", "x = t.ones(2); x.to([1])",
    "x = t.ones(2); x.to(None)", "x = t.ones(2); x.to(t.float32, t.float64)",
}  # fmt: skip


@pytest.mark.parametrize("program", [*EDGES, *FORMS])
def test_converts_as_in_pytorch(program):
    same_program(program, words=program not in OTHER_WORDS)


def test_rounding_to_bfloat16_is_to_nearest_even():
    values = cresset.tensor([1 + 2**-8, 1 + 3 * 2**-8]).to(cresset.bfloat16)
    assert values.tolist() == [1.0, 1.015625]


def test_floats_become_integers_towards_zero():
    assert cresset.tensor([2.9, -2.9]).long().tolist() == [2, -2]


def test_integers_wrap():
    assert cresset.tensor([300, -1]).to(cresset.uint8).tolist() == [44, 255]
    assert cresset.tensor([200]).to(cresset.int8).tolist() == [-56]
