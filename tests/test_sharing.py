"""Memory shared with NumPy and, through DLPack, with other libraries: both ways, live, and safe.

The cases are short programs that have to go as in PyTorch (``programs.py``); what concerns Cresset
and PyTorch together, or the lifetime of a buffer, is written out below them.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import cresset

from .ops.programs import same_program

NUMPY = [
    # tensor -> array -> tensor
    "x = t.zeros(3); a = x.numpy(); a[1] = 5; x",
    "x = t.zeros(3); a = x.numpy(); x[1] = 5; a",
    "x = t.zeros(3); a = x.numpy(); x.add_(1); a",
    "x = t.zeros(3); a = x.numpy(); y = x + 1; a[0] = 7; y",
    "x = t.zeros(2, 3); a = x.t().numpy(); a[2, 1] = 5; (x, a.strides)",
    "x = t.arange(6); a = x[1::2].numpy(); a += 10; (x, a)",
    "x = t.zeros(2, 2); a = x[1].numpy(); x.fill_(3); a",
    "x = t.zeros(2); y = x.view(2, 1); a = y.numpy(); x[0] = 4; a",
    "x = t.zeros(3); a = x.numpy(); x = x + 1; a",
    "x = t.tensor(2.5); a = x.numpy(); (a, a.shape, a.dtype)",
    "x = t.empty(0, 3); a = x.numpy(); (a, a.shape)",
    "x = t.tensor(True); a = x.numpy(); x.logical_not_(); a",
    "[t.zeros(1, dtype=d).numpy().dtype for d in (t.bool, t.uint8, t.int8, t.int16, t.int32,"
    " t.int64, t.float16, t.float32, t.float64, t.complex64, t.complex128)]",
    "t.zeros(1, dtype=t.bfloat16).numpy()",
    "t.zeros(1, requires_grad=True).numpy()",
    "t.zeros(1, requires_grad=True).detach().numpy()",
    "t.zeros(1, requires_grad=True).numpy(force=True)",
    "(t.zeros(1, requires_grad=True) * 2).numpy()",
    "x = t.ones(2, requires_grad=True); a = x.detach().numpy(); a[0] = 9; x",
    # array -> tensor -> array
    "a = np.zeros(3); x = t.from_numpy(a); a[1] = 5; x",
    "a = np.zeros(3); x = t.from_numpy(a); x[1] = 5; a",
    "a = np.zeros(3, np.float32); x = t.from_numpy(a); x.mul_(2).add_(1); a",
    "a = np.zeros(3); x = t.from_numpy(a); y = x * 2; a[0] = 9; y",
    "a = np.zeros((2, 3)); x = t.from_numpy(a.T); x[2, 0] = 5; (a, x.stride())",
    "a = np.arange(6); x = t.from_numpy(a[1::2]); x += 10; (a, x.stride())",
    "a = np.arange(24).reshape(2, 3, 4); t.from_numpy(a)[:, 1, ::2]",
    "a = np.zeros(4); x = t.from_numpy(a); y = x.view(2, 2); y[1] = 3; a",
    "a = np.ones(3); b = t.from_numpy(a).numpy(); b[0] = 5; a",
    "t.from_numpy(np.array(3.5))",
    "t.from_numpy(np.zeros((0, 2)))",
    "t.from_numpy(np.zeros((0, 2))).stride()",
    "t.from_numpy(np.ones(3)[::-1])",
    "t.from_numpy(np.ones((2, 3))[:, ::-1])",
    "t.tensor(np.arange(3)[::-1])",
    "t.as_tensor(np.arange(3)[::-1])",
    "t.tensor(np.arange(3)[::-1].copy())",
    "t.from_numpy(np.arange(3).astype('>i4'))",
    "t.tensor(np.arange(3).astype('>f8'))",
    "t.from_numpy([1, 2])",
    "t.from_numpy(3)",
    "t.from_numpy(np.float32(3))",
    "t.from_numpy(t.ones(2))",
    "t.from_numpy(None)",
    "t.from_numpy(np.broadcast_to(np.ones(1), (2, 3))).stride()",
    "a = np.zeros(9, np.uint8)[1:].view(); t.from_numpy(a).sum()",
    "t.from_numpy(np.ones(2, np.float64)).dtype",
    "t.from_numpy(np.zeros(4, dtype=[('a', 'f4'), ('b', 'f4')])['b']).stride()",
    "a = np.ones(2); a.flags.writeable = False; t.from_numpy(a)",
    "a = np.ones(2); a.flags.writeable = False; t.tensor(a).add_(1)",
    # as_tensor, asarray, tensor, Tensor
    "a = np.zeros(2); t.as_tensor(a)[0] = 1; a",
    "a = np.zeros(2); t.as_tensor(a, dtype=t.float32)[0] = 1; a",
    "a = np.zeros(2); t.tensor(a)[0] = 1; a",
    "a = np.zeros(2); t.asarray(a)[0] = 1; a",
    "a = np.zeros(2); t.asarray(a, copy=True)[0] = 1; a",
    "t.asarray([1, 2], dtype=t.float64)",
    "t.asarray(3)",
    "t.asarray(np.float32(3))",
    "x = t.zeros(2); t.asarray(x)[0] = 1; x",
    "x = t.zeros(2); t.asarray(x, copy=True)[0] = 1; x",
    "t.asarray(t.zeros(2), dtype=t.int64, copy=False)",
    "t.asarray(np.zeros(2), requires_grad=True)",
    "t.tensor([np.float32(1), np.float32(2)])",
    "t.tensor([np.float64(1), 2])",
    "t.tensor([np.int32(1), np.int32(2)])",
    "t.tensor([np.array([1, 2]), np.array([3, 4])])",
    "t.tensor(np.float16(1.5))",
    "t.tensor(np.bool_(True))",
    "t.tensor([np.bool_(True), False])",
    "t.tensor(np.complex64(1 + 2j))",
    "t.tensor([[np.int8(3)], [4]])",
    "t.Tensor(np.ones((2, 2)))",
    "t.Tensor(np.ones((2, 2), np.float32)) + 1",
    "t.LongTensor(np.arange(3))",
    "t.FloatTensor(np.arange(3.0))",
    "t.ones(2).new_tensor(np.arange(2))",
    # the array protocols
    "np.array(t.ones(2))",
    "np.asarray(t.ones(2, dtype=t.int32)).dtype",
    "np.asarray(t.ones(2), dtype=np.float64)",
    "x = t.zeros(2); np.asarray(x)[0] = 1; x",
    "x = t.zeros(2); np.array(x)[0] = 1; x",
    "np.asarray(t.ones(1, requires_grad=True))",
    "np.array([t.tensor(1.), t.tensor(2.)])",
    "np.array([1.0, t.tensor(2.)])",
    "np.stack([t.ones(2), t.zeros(2)])",
    "np.concatenate([t.ones(2), np.zeros(1, np.float32)])",
    "np.exp(t.zeros(2))",
    "np.add(t.ones(2), 1)",
    "np.maximum(t.ones(2), np.zeros(2))",
    "np.allclose(t.ones(2), np.ones(2))",
    "np.sqrt(t.tensor(4.))",
    "float(np.float32(t.tensor(2.5)))",
    "np.float64(t.tensor([2.5]))",
    "np.int64(t.tensor(3))",
    "np.zeros(t.tensor(3)).shape",
    "np.arange(5)[t.tensor(2)]",
    "np.arange(5)[t.tensor([0, 3])]",
    "np.arange(5)[t.tensor([True, False, True, False, True])]",
    "list(range(5))[t.tensor(2)]",
    "np.ones(3)[t.tensor(1):]",
    "t.ones(2).__array__()",
    "t.ones(2).__array__(np.float64)",
    "isinstance(t.ones(2).__array_interface__, dict) if hasattr(t.ones(2), '__array_interface__')"
    " else False",
    "(t.ones(2).__array_priority__)",
    # operators with NumPy scalars and arrays
    "t.ones(2) + np.float64(1.5)",
    "np.float64(1.5) + t.ones(2)",
    "np.float32(1.5) * t.ones(2)",
    "t.ones(2, dtype=t.int64) * np.float64(1.5)",
    "np.float64(1.5) * t.ones(2, dtype=t.int64)",
    "t.ones(2, dtype=t.int64) + np.int32(2)",
    "np.int64(2) - t.ones(2)",
    "np.int64(2) ** t.tensor([1., 3.])",
    "t.ones(2) / np.int64(2)",
    "np.float64(3) / t.tensor([2., 4.])",
    "np.float64(3) > t.tensor([2., 4.])",
    "t.tensor([2., 4.]) >= np.float64(3)",
    "t.ones(2) == np.float32(1)",
    "x = t.ones(2); x += np.float64(2); x",
    "x = t.ones(2, dtype=t.int64); x *= np.int64(3); x",
    "x = t.ones(2, dtype=t.int64); x += np.float64(0.5); x",
    "t.full((2,), np.float64(1.5))",
    "t.full((2,), np.int64(2))",
    "t.arange(np.int64(3))",
    "t.arange(np.float64(2.5))",
    "t.zeros(np.int64(2), np.int32(3)).shape",
    "t.ones(4)[np.int64(2)]",
    "t.arange(4)[np.array([0, 2])]",
    "t.arange(4)[np.array([True, False, True, False])]",
    "x = t.zeros(4); x[np.array([0, 2])] = 1; x",
    "x = t.zeros(4); x[1:3] = t.from_numpy(np.ones(2)); x",
    "x = t.zeros(4); x[1] = np.float64(2); x",
    "t.ones(2, 3).sum(np.int64(1))",
    "t.ones(2, 3).view(np.int64(3), 2).shape",
    "t.ones(2, 3).reshape((np.int64(6),)).shape",
    "t.clamp(t.arange(4.), np.float32(1), np.float64(2))",
    "t.pow(t.arange(3.), np.float64(2))",
    "t.add(t.ones(2), np.float32(2), alpha=2)",
    "t.where(t.tensor([True, False]), np.float64(1), t.zeros(2))",
    "t.ones(2).fill_(np.float64(3))",
    "a = np.ones(2); a += t.ones(2).numpy(); a",
    "a = np.zeros(2); a[:] = t.ones(2); a",
    "a = np.zeros((2, 2)); a[0] = t.ones(2); a",
    # buffers
    "t.frombuffer(bytearray(b'\\x01\\x02\\x03\\x04'), dtype=t.uint8)",
    "b = bytearray(4); t.frombuffer(b, dtype=t.uint8)[1] = 7; b",
    "t.frombuffer(bytearray(16), dtype=t.float32, count=2, offset=4)",
    "t.frombuffer(bytearray(6), dtype=t.int32)",
    "t.frombuffer(bytearray(8), dtype=t.int32, count=4)",
    "t.frombuffer(bytearray(8), dtype=t.int32, offset=8)",
    "t.frombuffer(bytearray(0), dtype=t.int32)",
    "t.frombuffer(bytearray(8), dtype=t.int32, count=0)",
    "t.frombuffer(3, dtype=t.int32)",
    "t.tensor(bytearray(b'ab'))",
    "t.tensor(memoryview(b'ab'))",
    "import array; t.tensor(array.array('f', [1, 2]))",
    "import array; t.frombuffer(array.array('i', [1, 2]), dtype=t.int32)",
    # DLPack
    "x = t.zeros(3); y = t.from_dlpack(x); y[0] = 5; x",
    "x = t.zeros(3); a = np.from_dlpack(x); x[0] = 5; a",
    "a = np.zeros(3); x = t.from_dlpack(a); x[0] = 5; a",
    "a = np.arange(6.)[::2]; x = t.from_dlpack(a); (x, x.stride())",
    "x = t.arange(6).view(2, 3).t(); a = np.from_dlpack(x); (a, a.strides)",
    "x = t.ones(2, 3)[:, 1]; np.from_dlpack(x)",
    "t.zeros(2).__dlpack_device__()",
    "type(t.zeros(2).__dlpack__()).__name__",
    "t.zeros(2, requires_grad=True).__dlpack__()",
    "t.from_dlpack(t.zeros(2, requires_grad=True))",
    "t.from_dlpack(t.ones(2, dtype=t.complex64))",
    "t.from_dlpack(t.ones(2, dtype=t.bool))",
    "t.from_dlpack(t.ones(2, dtype=t.float16))",
    "t.from_dlpack(t.ones(2, dtype=t.bfloat16))",
    "t.from_dlpack(t.tensor(3.))",
    "t.from_dlpack(t.zeros(0, 2))",
    "t.utils.dlpack.from_dlpack(t.utils.dlpack.to_dlpack(t.ones(2)))",
    "t.from_dlpack(t.ones(2).__dlpack__())",
    "t.from_dlpack(3)",
    "t.ones(2).__dlpack__(stream=3)",
    "t.ones(2).__dlpack__(stream='a')",
    "x = t.zeros(2); t.from_dlpack(x, copy=True)[0] = 1; x",
    "c = t.ones(2).__dlpack__(); t.from_dlpack(c); t.from_dlpack(c)",
    "x = t.zeros(2); y = t.from_dlpack(x); z = y + 1; x[0] = 5; (y, z)",
    "t.asarray(t.ones(2).__dlpack__())",
    "t.asarray([1, 2], copy=False)",
    "t.asarray(np.float32(3), copy=False)",
    "t.asarray(t.ones(2, requires_grad=True) * 2)",
    "t.asarray(t.ones(2, requires_grad=True), copy=True)",
    "t.asarray([1., 2.], requires_grad=True)",
    "t.asarray(bytearray(b'abcd'), dtype=t.int32)",
]

#: Refused alike; PyTorch's sentence goes on to list dtypes that Cresset has not (uint16 and up).
FOREIGN = [
    "t.from_numpy(np.array(['a', 'b']))",
    "t.tensor(np.array(['a', 'b']))",
    "t.from_numpy(np.array([object()]))",
    "t.from_numpy(np.array(['2020-01-01'], dtype='datetime64[D]'))",
    "t.from_numpy(np.ones(2, np.longdouble))",
    "t.from_numpy(np.zeros(2, dtype=[('a', 'f4'), ('b', 'i4')]))",
]


@pytest.mark.parametrize("program", FOREIGN)
def test_elements_without_a_dtype_are_refused(program):
    same_program(program, words=False)


@pytest.mark.parametrize("program", NUMPY)
def test_goes_as_in_pytorch(program):
    same_program(program)


def test_sharing_is_seen_on_both_sides_at_once():
    x = cresset.zeros(3)
    array = x.numpy()
    array[0] = 1
    x[1] = 2
    x += 10
    assert array.tolist() == [11, 12, 10]
    assert x.tolist() == [11, 12, 10]


def test_a_result_recorded_before_a_write_from_numpy_keeps_the_old_value():
    array = np.array([1.0, 2.0])
    x = cresset.from_numpy(array)
    y = x * 2
    array[:] = 100
    assert y.tolist() == [2, 4]
    assert (x * 2).tolist() == [200, 200]


def test_a_large_shared_array_is_read_before_it_changes():
    array = np.ones(1 << 19)
    total = cresset.from_numpy(array).sum()
    array[:] = 2
    assert total.item() == 1 << 19


def test_the_tensor_keeps_the_array_alive_and_the_array_the_tensor():
    array = np.ones(4)
    x = cresset.from_numpy(array)
    del array
    gc.collect()
    assert x.sum().item() == 4
    view = x.numpy()
    del x
    gc.collect()
    assert view.sum() == 4


def test_memory_is_given_back_when_nobody_shows_it():
    class Memory(np.ndarray):
        pass

    array = np.ones(4).view(Memory)
    alive = weakref.ref(array)
    x = cresset.from_numpy(array)
    del array
    assert x[0] == 1
    del x
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float32",
                                   "float64", "complex64", "complex128"])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_dlpack_shares_memory_with_pytorch_both_ways(dtype, shape):
    torch = pytest.importorskip("torch")
    theirs = torch.zeros(shape, dtype=getattr(torch, dtype))
    mine = cresset.from_dlpack(theirs)
    assert mine.dtype is getattr(cresset, dtype)
    mine.fill_(1)
    cresset.ones(1).sum().item()
    assert np.array_equal(theirs.numpy(), mine.numpy())
    mine = cresset.zeros(shape, dtype=getattr(cresset, dtype))
    theirs = torch.from_dlpack(mine)
    theirs.fill_(1)
    assert np.array_equal(theirs.numpy(), mine.numpy())


def test_dlpack_carries_bfloat16_to_pytorch_and_back():
    torch = pytest.importorskip("torch")
    mine = cresset.tensor([1.5, -2.0], dtype=cresset.bfloat16)
    theirs = torch.from_dlpack(mine)
    assert theirs.dtype is torch.bfloat16
    assert theirs.tolist() == [1.5, -2.0]
    theirs[0] = 3.0
    assert mine.tolist() == [3.0, -2.0]
    back = cresset.from_dlpack(torch.tensor([0.5], dtype=torch.bfloat16))
    assert back.dtype is cresset.bfloat16
    assert back.tolist() == [0.5]


def test_strides_go_through_dlpack():
    torch = pytest.importorskip("torch")
    mine = cresset.arange(12.0).view(3, 4).t()[1:, ::2]
    theirs = torch.from_dlpack(mine)
    assert theirs.stride() == mine.stride()
    assert theirs.tolist() == mine.tolist()


def test_a_tensor_from_a_dropped_dlpack_owner_stays_valid():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(1000)
    mine = cresset.from_dlpack(theirs)
    del theirs
    gc.collect()
    assert mine.sum().item() == 499500
    shown = torch.from_dlpack(mine)
    del mine
    gc.collect()
    assert shown.sum().item() == 499500


def test_a_read_only_array_warns_that_writes_are_undefined():
    array = np.ones(2)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
        cresset.from_numpy(array)


def test_numpy_operators_leave_the_result_to_the_tensor():
    x = cresset.ones(3)
    assert isinstance(np.float64(2) * x, cresset.Tensor)
    assert (np.float64(2) * x).dtype is cresset.float32
    assert (np.arange(3) + x).tolist() == [1, 2, 3]
