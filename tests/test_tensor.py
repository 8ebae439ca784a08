"""The tensor object: attributes, Python's protocols, numbers in and out, copies, pickles."""

from __future__ import annotations

import copy
import pickle

import pytest

import cresset
from cresset.core.modes import PROCESS
from cresset.tensor import is_at_hand

from .ops.programs import same_program

PROGRAMS = """
x = t.ones(2, 3); x.shape, x.size(), x.size(0), x.size(-1), x.size(dim=1)
x = t.ones(2, 3); x.size(2)
x = t.ones(2, 3); x.dim(), x.ndim, x.ndimension(), x.numel(), x.nelement(), len(x)
x = t.ones(2, 3); x.stride(), x.stride(0), x.stride(-1), x.stride(dim=0), x.storage_offset()
x = t.ones(2, 3); x.stride(5)
x = t.ones(2, 3); x.element_size(), x.itemsize, x.nbytes, t.ones(2, dtype=t.int8).nbytes
x = t.ones(2, 3); x.dtype, x.device, x.layout, x.is_cuda, x.is_cpu, x.is_sparse, x.is_quantized
x = t.ones(2, 3); x.is_floating_point(), x.is_complex(), x.is_signed(), x.is_contiguous()
x = t.ones(2, 3); x.requires_grad, x.is_leaf, x.grad, x.grad_fn, x.output_nr, x._version
x = t.ones(2, 3); x.get_device(), x.is_pinned(), x.is_shared(), x.is_meta, x.names
x = t.ones(2, 3); x.T.is_contiguous(), x.is_contiguous(memory_format=t.channels_last)
x = t.ones(2, 3); x.is_same_size(t.zeros(2, 3)), x.is_set_to(x), x.is_set_to(x.clone())
x = t.ones(2, 3); x.dim_order(), x.t().dim_order()
x = t.ones(2, 3); x.foo
x = t.ones(2, 3); x.foo = 3; x.foo
x = t.ones(2, 3); x.shape = 3; x
x = t.ones(2, 3); x.dtype = 3; x
x = t.ones(2, 3); x.requires_grad = True; x.requires_grad
x = t.ones(2, dtype=t.int64); x.requires_grad = True; 0
x = t.ones(2, dtype=t.int64); x.requires_grad_()
x = t.ones(2, requires_grad=True) * 2; x.requires_grad = False; 0
x = t.ones(2, requires_grad=True) * 2; x.requires_grad_(False)
x = t.ones(2); x.grad = t.ones(2); x.grad
x = t.ones(2); x.grad = t.ones(3); 0
x = t.ones(2); x.grad = 3; 0
x = t.ones(2); x.grad = t.ones(2, dtype=t.int64); 0
x = t.ones(2); x.grad = None; x.grad
x = t.ones(2); x.data = t.zeros(3); x
x = t.ones(2); x.data = 3; 0
x = t.ones(2); x.data.add_(1); x
t.tensor(3).item(), t.tensor(2.5).item(), t.tensor([[True]]).item(), t.tensor(1j).item()
type(t.tensor(3).item()), type(t.tensor(2.5).item()), type(t.tensor(True).item())
t.ones(2).item()
t.ones(0).item()
t.ones(1, 1, 1).item()
t.tensor([1, 2]).tolist(), t.tensor(3).tolist(), t.tensor([]).tolist(), t.ones(2, 0).tolist()
t.tensor([[True], [False]]).tolist(), t.tensor([1j]).tolist()
t.tensor([0.1]).tolist(), t.tensor([0.1], dtype=t.float64).tolist()
t.tensor([nan, inf]).tolist()
float(t.tensor(3)), int(t.tensor(2.7)), complex(t.tensor(2)), bool(t.tensor(0))
float(t.tensor([[2.5]])), int(t.tensor([3])), bool(t.tensor([1]))
float(t.ones(2))
int(t.ones(2))
bool(t.ones(2))
bool(t.ones(0))
bool(t.tensor(nan))
int(t.tensor(nan))
int(t.tensor(inf))
float(t.tensor(1j))
int(t.tensor(1 + 0j))
complex(t.tensor(1j))
list(range(5))[t.tensor(2)]
[1, 2, 3][t.tensor(2.)]
[1, 2, 3][t.tensor([1])]
[1, 2, 3][t.tensor([1, 2])]
range(t.tensor(3))
[0] * t.tensor(3)
'a' * t.tensor(2)
round(t.tensor(2.567), decimals=1)
round(t.tensor(2.5)), math.floor(t.tensor(2.7)), math.ceil(t.tensor(2.1)), math.trunc(t.tensor(2.7))
abs(t.tensor(-2)), -t.tensor(2), +t.tensor(2), ~t.tensor(2), ~t.tensor(True)
-t.tensor(True)
~t.tensor(2.)
divmod(t.tensor(7), 2)
t.tensor(7) // 2, t.tensor(-7) // 2, t.tensor(7) % 3, t.tensor(-7) % 3
7 // t.tensor(2), 7 % t.tensor(4)
2 ** t.tensor(3), t.tensor(2) ** 3, t.tensor(2.) ** t.tensor(0.5), 2 / t.tensor(4), 2 - t.tensor(3)
1 << t.tensor(3), t.tensor(8) >> 1, 6 & t.tensor(3), 6 | t.tensor(1), 6 ^ t.tensor(3)
t.ones(2, 2) @ t.ones(2), t.ones(2) @ t.ones(2)
t.ones(2) @ 3
t.ones(2) + 'a'
t.ones(2) + None
t.ones(2) + [1, 2]
[1, 2] + t.ones(2)
'a' + t.ones(2)
t.ones(2) < 'a'
t.ones(2) == 'a', t.ones(2) != None, t.ones(2) == [1, 1]
t.ones(2) is None, t.ones(2) == None
t.ones(2) and 3
t.tensor(0) or 5
not t.tensor(0)
1 < t.tensor(2) < 3
max(t.tensor(1), t.tensor(2)), min([t.tensor(3), t.tensor(2)]), sum(t.tensor([1, 2, 3]))
sorted([t.tensor(3), t.tensor(1)])
any(t.tensor([0, 1])), all(t.tensor([0, 1]))
len(t.tensor(3))
len(t.ones(0))
list(t.tensor([1, 2]))
list(t.tensor(3))
[x.shape for x in t.ones(2, 3)]
a, b = t.tensor([1, 2]); a, b
a, b = t.tensor([1, 2, 3]); 0
[*t.tensor([1, 2])]
dict(zip('ab', t.tensor([1, 2])))
list(enumerate(t.tensor([1, 2])))
list(reversed(t.tensor([1, 2, 3])))
next(iter(t.ones(2, 2)))
2 in t.tensor([1, 2]), 3 in t.tensor([1, 2]), t.tensor(1) in t.tensor([1, 2])
1.0 in t.tensor([[1, 2]]), None in t.tensor([1])
'a' in t.tensor([1])
t.tensor(1) in [t.tensor(1), t.tensor(2)]
t.ones(2) in [t.ones(2)]
x = t.ones(2); x == x, x.eq(x).all(), x.equal(x), t.equal(x, t.zeros(2)), t.equal(x, t.ones(3))
x = t.ones(2); {x: 1}[x]
x = t.ones(2); y = copy.copy(x); y is x, y.data_ptr() == x.data_ptr()
x = t.ones(2); y = copy.deepcopy(x); y[0] = 5; x, y
x = t.ones(2, requires_grad=True); y = copy.deepcopy(x); y.requires_grad, y.is_leaf
x = t.ones(2, requires_grad=True) * 2; copy.deepcopy(x)
x = t.ones(2, 3).t(); copy.deepcopy(x).stride()
x = t.ones(4); y = copy.deepcopy([x, x[:2]]); y[0][0] = 7; y
x = t.ones(2); x.grad = t.zeros(2); copy.deepcopy(x).grad
x = t.arange(6.).view(2, 3).t(); y = pickle.loads(pickle.dumps(x)); y, y.stride()
x = t.ones(2, requires_grad=True); pickle.loads(pickle.dumps(x))
x = t.ones(2, dtype=t.bfloat16); pickle.loads(pickle.dumps(x))
pickle.loads(pickle.dumps(t.Size([2, 3])))
pickle.loads(pickle.dumps(t.nn.Parameter(t.ones(2))))
f'{t.tensor(2.5):.2f}|{t.tensor(3):4d}|{t.tensor(True)}|{t.ones(2)}'
'{:>8}'.format(t.tensor(3))
f'{t.ones(2):d}'
format(t.tensor(1.23456), '.3f'), format(t.tensor(10), 'x'), format(t.tensor(1j))
str(t.tensor(3)), repr(t.tensor([1.]))
'%s' % t.tensor(3), '%d' % t.tensor(3), '%.1f' % t.tensor(2.55)
isinstance(t.ones(1), t.Tensor), isinstance(t.nn.Parameter(t.ones(1)), t.Tensor)
issubclass(t.nn.Parameter, t.Tensor), t.is_tensor(t.ones(1)), t.is_tensor(3)
t.Size([2, 3]) == (2, 3), t.Size((2, 3)) + (4,), (1,) + t.Size([2])
t.Size([2, 3])[0], t.Size([2, 3])[1:]
t.Size([2, 3]).numel(), len(t.Size([2, 3])), t.Size([2]) * 2, t.Size(), list(t.Size([2, 3]))
t.Size(3)
t.Size([-1]), hash(t.Size([2])) == hash((2,)), 2 in t.Size([2])
isinstance(t.Size([2]), tuple), t.Size([2, 3]).index(3), t.Size([2, 2]).count(2)
x = t.ones(2); x.detach_() is x, x.detach() is x
x = t.ones(2); x.retain_grad()
x = t.ones(2); x.backward()
x = t.ones(2, requires_grad=True); x.backward()
x = t.ones(2); x.register_hook(lambda g: g)
x = t.zeros(2); t.is_nonzero(t.tensor(1)), t.is_nonzero(t.tensor([0.]))
t.is_nonzero(t.ones(2))
t.numel(t.ones(2, 3)), t.is_floating_point(t.ones(1)), t.is_complex(t.ones(1))
t.is_signed(t.ones(1))
t.numel(3)
t.is_floating_point(3)
x = t.ones(3); x.untyped_storage().nbytes(), len(x.untyped_storage())
x = t.ones(3); x.storage().size(), x.storage().tolist(), x[1:].storage().tolist()
x = t.ones(2); hash(x) == hash(x), len({x, x, t.ones(2)})
t.typename(t.ones(1)), t.typename(3)
x = t.ones(3); x[1:].untyped_storage().data_ptr() == x.data_ptr()
x = t.ones(3); x.data_ptr() == x.clone().data_ptr(), x[1:].data_ptr() - x.data_ptr()
x = t.ones(2, 3); x.apply_(lambda v: v + 1)
x = t.ones(2); x.new_zeros(3), x.new_tensor([1]), x.new_full((2,), 3)
t.ones(2).device.type, t.ones(2).device.index, t.ones(2).is_inference()
x = t.ones(2); x.volatile if hasattr(x, 'volatile') else False
x = t.ones(2, 3); x.mean(), x.mean(0), x.sum(dim=1, keepdim=True), x.max(), x.argmax()
x = t.ones(2); del x.grad; x.grad
x = t.ones(3); x[5]
x = t.ones(3); x['a']
x = t.ones(3); x[None, 0]
x = t.ones(3); del x[0]; 0
x = t.ones(3); x()
with_ = t.ones(1).expand(3); with_.is_contiguous(), with_.numel(), with_.nbytes
""".strip().split("\n")
WORDS_OF_PYTHON = {
    "x = t.ones(2, 3); x.shape = 3; x", "x = t.ones(2, 3); x.dtype = 3; x",
    "x = t.ones(2, 3); x.foo",
    "x = t.ones(3); del x[0]; 0", "t.ones(2) @ 3", "t.Size(3)",
    "x = t.ones(2); x.grad = t.ones(2, dtype=t.int64); 0",
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_goes_as_in_pytorch(program):
    same_program(program, words=program not in WORDS_OF_PYTHON)


def test_a_copy_is_apart_and_a_view_is_not():
    x = cresset.ones(3)
    deep, view = copy.deepcopy(x), x[:]
    x[0] = 5
    assert deep.tolist() == [1, 1, 1]
    assert view.tolist() == [5, 1, 1]


def test_a_pickle_keeps_values_geometry_and_requires_grad():
    x = cresset.arange(6.0).view(2, 3).t().requires_grad_()
    y = pickle.loads(pickle.dumps(x))
    assert y.tolist() == x.tolist()
    assert y.stride() == x.stride() == (1, 3)
    assert y.requires_grad


def test_numbers_come_out_as_pythons_own():
    assert cresset.tensor([1, 2]).tolist() == [1, 2]
    assert type(cresset.tensor(1).item()) is int
    assert type(cresset.tensor(1.0).item()) is float
    assert type(cresset.tensor(True).item()) is bool


#: Modules that users look at: what their source imports for itself is no name of the API.
@pytest.mark.parametrize(
    "path",
    ["", "nn", "nn.init", "optim", "autograd", "linalg", "special", "utils", "cuda"],
)  # fmt: skip
def test_public_modules_show_no_names_of_their_source(path):
    import importlib
    import types

    module = importlib.import_module(f"cresset.{path}".rstrip("."))
    shown = {n for n in vars(module) if not n.startswith("_")}
    assert not shown & {"Any", "annotations", "TYPE_CHECKING", "np", "sys"}
    strangers = {
        n for n in shown
        if isinstance(vars(module)[n], types.ModuleType)
        and not vars(module)[n].__name__.startswith("cresset")
    }  # fmt: skip
    assert not strangers


def test_an_operand_of_what_has_run_is_at_hand_and_one_of_what_waits_is_not():
    x = cresset.ones(3) * 1
    (x + 1).data_ptr()
    assert is_at_hand(x)
    y = x + 1
    assert is_at_hand(y) is PROCESS.eager
    assert not is_at_hand(x.requires_grad_())
