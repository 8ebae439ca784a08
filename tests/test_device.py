"""Device objects: how they are written, compared, defaulted; tensors of several devices."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest

import cresset

from .ops.programs import same_program

PROGRAMS = """
t.device('cpu')
t.device('cuda')
t.device('cuda:1')
t.device('cuda', 1)
t.device(type='cuda', index=2)
t.device('cpu', 0)
t.device(t.device('cuda:1'))
str(t.device('cpu')), str(t.device('cuda:1')), str(t.device('cpu:0'))
t.device('cuda:1').type, t.device('cuda:1').index, t.device('cpu').index
t.device('cuda') == t.device('cuda'), t.device('cuda') == t.device('cuda:0')
t.device('cpu') == 'cpu', t.device('cpu') != t.device('cuda')
hash(t.device('cpu')) == hash(t.device('cpu')), len({t.device('cpu'), t.device('cpu')})
isinstance(t.device('cpu'), t.device)
t.device('float64')
t.device('cpu:a')
t.device('cuda:-1')
t.device('')
t.device('cpu:')
t.device('cuda:01')
t.device('tpu:0')
t.device('CPU')
t.device('cpu0')
t.device('cpu', -1)
t.device('cuda', 'a')
t.device('cpu:0', 1)
t.device('meta'), t.device('mps'), t.device('xpu:3')
t.device('cpu').index = 3; 0
copy.copy(t.device('cpu')) == t.device('cpu'), copy.deepcopy(t.device('cuda:1'))
pickle.loads(pickle.dumps(t.device('cuda:1')))
t.ones(1).device, t.ones(1, device='cpu').device, t.ones(1, device=t.device('cpu')).device
t.get_default_device()
t.set_default_device('cpu'); r = t.ones(1).device; t.set_default_device(None); r
t.ones(1).to('cpu').device, t.ones(1).cpu().device
t.ones(1, device='xyz')
t.ones(1, device=1.5)
t.ones(1).to('cpu:a')
t.tensor([1], device='cpu').device, t.arange(2, device='cpu').device, t.eye(1, device='cpu').device
t.ones(1).new_zeros(1, device='cpu').device
t.ones(1).get_device()
t.nn.Linear(1, 1, device='cpu').weight.device
t.nn.Linear(1, 1).to('cpu').weight.device
""".strip().split("\n")
OTHER_WORDS = {
    "t.device('cpu').index = 3; 0", "t.ones(1, device=1.5)",
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_goes_as_in_pytorch(program):
    same_program(program, words=program not in OTHER_WORDS)


def test_with_a_device_makes_tensors_there():
    same_program("with t.device('cpu'):\n    x = t.ones(1)\nx.device")


def test_a_device_is_one_object():
    d = cresset.device("cuda", 1)
    assert d is cresset.device("cuda:1")
    assert pickle.loads(pickle.dumps(d)) is d
    assert copy.deepcopy(d) is d


SIMULATED = """
import cresset as t
x, y = t.ones(2, device='cuda:0'), t.ones(2, device='cuda:1')
assert str(x.device) == 'cuda:0' and x.is_cuda and x.get_device() == 0
assert repr(x) == "tensor([1., 1.], device='cuda:0')"
assert (x + 1).device == x.device and (x + t.tensor(2.)).tolist() == [3, 3]
assert x.to('cuda:1').device == y.device and x.cpu().tolist() == [1, 1]
for call in (lambda: x + y, lambda: x + t.ones(2), lambda: t.cat([x, y]), lambda: x @ y):
    try:
        call()
    except RuntimeError as error:
        assert 'Expected all tensors to be on the same device' in str(error), error
    else:
        raise AssertionError('accepted')
try:
    x.numpy()
except TypeError as error:
    assert str(error).startswith("can't convert cuda:0 device type tensor to numpy."), error
try:
    t.ones(1, device='cuda:7')
except RuntimeError as error:
    assert 'ordinal' in str(error), error
else:
    raise AssertionError('accepted')
with t.device('cuda:1'):
    assert t.zeros(1).device == y.device
assert t.zeros(1).device.type == 'cpu'
x.copy_(y * 3)
assert x.tolist() == [3, 3]
w = t.ones(2, device='cuda:0', requires_grad=True)
(w.to('cuda:1') * y).sum().backward()
assert str(w.grad.device) == 'cuda:0'
"""


def test_simulated_devices_are_apart():
    environment = {**os.environ, "CRESSET_SIMULATE_CUDA": "2"}
    result = subprocess.run(
        [sys.executable, "-c", SIMULATED], env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
