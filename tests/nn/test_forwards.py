"""Forward passes that only compute are played as one node, and nobody can tell."""

import copy
import gc
import io
import math
import sys
import threading
import warnings
import weakref

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset import nn
from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.nn.forwards import Forwards

recorded = pytest.mark.skipif(
    PROCESS.eager or PROCESS.check, reason="eager mode runs the code, checks do both"
)
FACTOR = 2.0


class Net(nn.Module):
    """The blitz tutorial's network, smaller."""

    def __init__(self, inplace=False):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(4, 4, 3)
        self.fc1 = nn.Linear(36, 8)
        self.fc2 = nn.Linear(8, 3)
        self.inplace = inplace

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x), inplace=self.inplace))
        x = F.relu(self.conv2(x), inplace=self.inplace)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        return self.fc2(x)

    def num_flat_features(self, x):
        count = 1
        for size in x.size()[1:]:
            count *= size
        return count


class Scaled(nn.Module):
    """Two ops, by an attribute."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x):
        return (x * self.weight) * self.factor


def images(count=2):
    return torch.arange(count * 144.0).reshape(count, 1, 12, 12) % 7 - 3


def is_played(module):
    """Whether calls of the module are played by now."""
    forwards = module.__dict__.get("_forwards")
    return isinstance(forwards, Forwards) and any(
        known.call is not None for found in forwards.known.values() for known in found
    )


def nodes(run):
    """How many nodes ``run`` records."""
    graph.flush()
    run()
    return len(graph.RECORDER.graph.calls)


def close(a, b):
    """Equal to rounding: two programs' plans may be compiled at different calls."""
    return torch.allclose(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-5, atol=1e-6)


def unplayed(module):
    """A copy whose code always runs."""
    twin = copy.deepcopy(module)
    for part in twin.modules():
        part.__dict__["_forwards"] = None
    return twin


def train(net, steps=5):
    """Losses and parameters of a few steps of training."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images(4)), torch.tensor([0, 1, 2, 1]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.tolist() for p in net.parameters()]


@recorded
def test_a_call_seen_before_is_one_node():
    net = Net()
    assert nodes(lambda: net(images())) < 12
    net(images())
    assert is_played(net)
    x = images()
    assert nodes(lambda: net(x)) == 1


@pytest.mark.parametrize("inplace", [False, True])
def test_training_gives_the_same_numbers_as_running_the_code(inplace):
    net = Net(inplace)
    twin = unplayed(net)
    losses, parameters = train(net)
    others, theirs = train(twin)
    # Not to the bit: the two nets' plans may be compiled at different steps.
    assert losses == pytest.approx(others, rel=1e-5)
    for p, q in zip(parameters, theirs, strict=True):
        assert torch.allclose(torch.tensor(p), torch.tensor(q), atol=1e-5)
    assert is_played(net) is not PROCESS.eager


def test_the_result_is_what_the_code_gives_at_every_batch_size_and_without_gradients():
    net = Net()
    twin = unplayed(net)
    for count in (1, 3, 2, 3):
        for _ in range(2):
            assert close(net(images(count)), twin(images(count)))
            with torch.no_grad():
                out = net(images(count))
            assert close(out, twin(images(count))) and not out.requires_grad


# -- the tape --------------------------------------------------------------------------------------


def chain(node):
    """Names of the nodes behind a node, depth first."""
    names = [node.name()]
    for before, _ in node.next_functions:
        names += [] if before is None else chain(before)
    return names


def test_the_tape_looks_as_if_the_code_had_run():
    net = Net()
    twin = unplayed(net)
    for _ in range(3):
        out, other = net(images()), twin(images())
        assert repr(out) == repr(other)
        assert chain(out.sum().grad_fn) == chain(other.sum().grad_fn)
    assert chain(other.grad_fn)[0] == "AddmmBackward0"


def test_leaves_of_the_tape_are_the_parameters():
    net = Scaled()
    for _ in range(2):
        out = net(torch.ones(2))
    product = out.grad_fn.next_functions[0][0]
    assert product.next_functions[1][0].variable is net.weight


def test_a_second_backward_raises_unless_the_graph_is_kept():
    net = Net()
    for _ in range(3):
        loss = net(images()).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()


def test_a_saved_tensor_that_was_written_is_noticed():
    net = Scaled()
    for _ in range(3):
        x = torch.ones(2, requires_grad=True) * 1
        out = net(x)
        with torch.no_grad():
            net.weight.add_(1)
        with pytest.raises(RuntimeError, match=r"at version 1; expected version 0|at version"):
            out.sum().backward()


def test_a_result_that_was_written_is_noticed_where_its_derivative_reads_it():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
    for _ in range(3):
        out = net(torch.ones(1, 2))
        out.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.sum().backward()
        out = net(torch.ones(1, 2))
        out = out + 1
        out.sum().backward()


def test_gradients_of_gradients():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    twin = unplayed(net)
    for _ in range(3):
        found = []
        for module in (net, twin):
            x = torch.tensor([[0.5, -1.0]], requires_grad=True)
            (slope,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
            slope.pow(2).sum().backward()
            found.append((slope.detach(), x.grad, module[0].weight.grad))
            module.zero_grad()
        assert all(map(close, *found))


def test_gradients_of_inputs_of_results_and_hooks_on_them():
    net = Scaled()
    for _ in range(3):
        x = torch.ones(2, requires_grad=True)
        middle = x * 3
        out = net(middle)
        seen = []
        middle.register_hook(lambda g, seen=seen: seen.append(g.tolist()))
        out.register_hook(lambda g, seen=seen: seen.append(g.tolist()))
        out.retain_grad()
        out.sum().backward()
        assert seen == [[1.0, 1.0], [2.0, 4.0]]
        assert out.grad.tolist() == [1.0, 1.0]
        assert x.grad.tolist() == [6.0, 12.0]


def test_a_result_can_be_written_to_and_go_on():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    twin = unplayed(net)
    for _ in range(3):
        for module in (net, twin):
            module.zero_grad()
            out = module(torch.ones(1, 2))
            out.mul_(3)
            out[:, 0] = 0
            out.sum().backward()
        assert close(net[0].weight.grad, twin[0].weight.grad)


def test_a_module_called_twice_in_one_graph():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    twin = unplayed(net)
    for _ in range(3):
        for module in (net, twin):
            module.zero_grad()
            module(module(torch.ones(1, 2))).sum().backward()
        assert close(net[0].weight.grad, twin[0].weight.grad)


# -- what changes between calls --------------------------------------------------------------------


def test_an_attribute_that_changed_counts():
    net = Scaled()
    for factor in (2.0, 3.0, 3.0, 2.0, 5.0):
        net.factor = factor
        for _ in range(2):
            assert net(torch.ones(2)).tolist() == [factor, 2 * factor]


def test_a_parameter_that_was_replaced_counts():
    net = Scaled()
    for _ in range(3):
        net(torch.ones(2))
    net.weight = nn.Parameter(torch.tensor([5.0, 6.0]))
    assert net(torch.ones(2)).tolist() == [10.0, 12.0]
    net._parameters["weight"] = nn.Parameter(torch.tensor([7.0, 8.0]))
    assert net(torch.ones(2)).tolist() == [14.0, 16.0]
    net.weight.data = torch.tensor([1.0, 1.0])
    assert net(torch.ones(2)).tolist() == [2.0, 2.0]
    net.weight.data.copy_(torch.tensor([3.0, 3.0]))
    assert net(torch.ones(2)).tolist() == [6.0, 6.0]
    net.load_state_dict({"weight": torch.tensor([4.0, 4.0])})
    assert net(torch.ones(2)).tolist() == [8.0, 8.0]


def test_a_submodule_that_was_replaced_counts():
    net = nn.Sequential(nn.Linear(1, 1), nn.Identity(), nn.ReLU())
    with torch.no_grad():
        net[0].weight.fill_(-1)
        net[0].bias.fill_(0)
    for _ in range(3):
        assert net(torch.ones(1, 1)).item() == 0
    net[2] = nn.Softsign()
    assert net(torch.ones(1, 1)).item() == -0.5


class Shifted(Scaled):
    def forward(self, x):
        return (x + self.weight) * self.factor


def test_a_class_that_was_exchanged_counts():
    net = nn.Sequential(Scaled(), nn.Identity())
    for _ in range(3):
        assert net(torch.ones(2)).tolist() == [2.0, 4.0]
    net[0].__class__ = Shifted
    assert net(torch.ones(2)).tolist() == [4.0, 6.0]


def test_what_is_cut_off_from_the_tape_gets_no_gradient():
    class Straight(nn.Module):
        def forward(self, x):
            return x + (torch.round(x) - x).detach()

    net = Straight()
    for _ in range(3):
        x = torch.tensor([0.4, 1.6], requires_grad=True)
        net(x * 2).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]


def test_training_and_evaluation_are_told_apart():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 2))
    twin = unplayed(net)
    for mode in (True, False, True, False):
        net.train(mode)
        twin.train(mode)
        for _ in range(3):
            torch.manual_seed(1)
            found = net(torch.ones(4, 2)).tolist()
            torch.manual_seed(1)
            assert close(found, twin(torch.ones(4, 2)))


def test_frozen_and_thawed_parameters():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    for frozen in (False, True, False):
        for p in net[0].parameters():
            p.requires_grad_(not frozen)
        for _ in range(3):
            net.zero_grad()
            net(torch.ones(1, 2)).sum().backward()
            assert (net[0].weight.grad is None) == frozen
            assert net[2].weight.grad is not None


def test_dtypes_and_devices():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    for dtype in (torch.float32, torch.float64, torch.float32):
        net.to(dtype)
        for _ in range(2):
            assert net(torch.ones(1, 2, dtype=dtype)).dtype is dtype
    with pytest.raises(RuntimeError, match="dtype"):
        net(torch.ones(1, 2, dtype=torch.float64))


def test_batches_that_are_windows_or_that_numpy_sees():
    net = Scaled()
    data = torch.arange(8.0).reshape(4, 2)
    for i in range(4):
        assert net(data[i]).tolist() == [4.0 * i, 8.0 * i + 4]
    array = data[1].numpy()
    shared = torch.from_numpy(array)
    for value in (1.0, 2.0, 3.0):
        array[0] = value
        assert net(shared).tolist()[0] == 2 * value
    view = net.weight.detach().numpy()
    view[0] = 10
    assert net(torch.ones(2)).tolist()[0] == 20.0


def test_the_default_dtype_counts():
    class Half(nn.Module):
        def forward(self, x):
            return x / 2 + 1

    net, x = Half(), torch.tensor([3])
    for _ in range(2):
        assert net(x).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    for _ in range(2):
        assert net(x).dtype is torch.float64
    torch.set_default_dtype(torch.float32)
    assert net(x).dtype is torch.float32


# -- code that does more than compute --------------------------------------------------------------

LOG = []


class Printing(Scaled):
    def forward(self, x):
        print("called")
        return super().forward(x)


class Counting(Scaled):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return (x * self.weight) * self.factor


class Logging(Scaled):
    def forward(self, x):
        LOG.append(x.shape)
        return (x * self.weight) * self.factor


class Branching(Scaled):
    def forward(self, x):
        if (x * self.weight).sum() > 0:
            return (x * self.weight) * self.factor
        return (x + self.weight) + self.factor


class Flagged(Scaled):
    def __init__(self):
        super().__init__()
        self.register_buffer("flag", torch.tensor([True]))

    def forward(self, x):
        if self.flag:
            return (x * self.weight) * self.factor
        return (x + self.weight) + self.factor


class Keeping(Scaled):
    kept = None

    def forward(self, x):
        y = x * self.weight
        self.__dict__["kept"] = y
        return y * self.factor


class Writing(Scaled):
    def forward(self, x):
        x += 1
        return (x * self.weight) * self.factor


class Remembering(Scaled):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        self.mean.add_(x.detach())
        return (x * self.weight) * self.factor + self.mean


class Listed(Scaled):
    def __init__(self):
        super().__init__()
        self.factors = [2.0]

    def forward(self, x):
        return (x * self.weight) * self.factors[0]


@pytest.mark.parametrize("kind", [Printing, Counting, Logging, Branching, Flagged, Keeping,
                                  Writing, Remembering, Listed])  # fmt: skip
def test_code_that_does_more_than_compute_runs_every_time(kind, capsys):
    LOG.clear()
    net = kind()
    for _ in range(5):
        net(torch.ones(2))
    assert not is_played(net)
    if kind is Printing:
        assert capsys.readouterr().out == "called\n" * 5
    elif kind is Counting:
        assert net.calls == 5
    elif kind is Logging:
        assert len(LOG) == 5
    elif kind is Branching:
        assert net(-torch.ones(2)).tolist() == [2.0, 3.0]
    elif kind is Flagged:
        net.flag.fill_(False)
        assert net(torch.ones(2)).tolist() == [4.0, 5.0]
    elif kind is Writing:
        x = torch.ones(2)
        net(x)
        assert x.tolist() == [2.0, 2.0]
    elif kind is Remembering:
        assert net.mean.tolist() == [5.0, 5.0]
    elif kind is Listed:
        net.factors[0] = 7.0
        assert net(torch.ones(2)).tolist() == [7.0, 14.0]


def test_random_numbers_are_drawn_anew():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4))
    results = {str(net(torch.ones(2, 4)).tolist()) for _ in range(6)}
    assert len(results) == 6


def test_running_statistics_go_on():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU())
    for _ in range(5):
        net(torch.ones(4, 2))
    assert net[1].num_batches_tracked.item() == 5
    net.eval()
    for _ in range(3):
        net(torch.ones(4, 2))
    assert net[1].num_batches_tracked.item() == 5


class ByGlobal(Scaled):
    def forward(self, x):
        return F.relu(x * self.weight) * FACTOR


def test_functions_and_constants_outside_the_class_count(monkeypatch):
    net = ByGlobal()
    for _ in range(3):
        assert net(torch.ones(2)).tolist() == [2.0, 4.0]
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert net(torch.ones(2)).tolist() == [3.0, 6.0]
    monkeypatch.setattr(F, "relu", lambda x: x + 1)
    assert net(torch.ones(2)).tolist() == [6.0, 9.0]
    monkeypatch.undo()
    assert net(torch.ones(2)).tolist() == [2.0, 4.0]
    monkeypatch.setattr(ByGlobal, "forward", lambda self, x: x)
    assert net(torch.ones(2)).tolist() == [1.0, 1.0]


def test_the_code_of_a_layer_inside_counts(monkeypatch):
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    for _ in range(3):
        net(torch.ones(1, 1))
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x * 5)
    assert net(torch.ones(1, 1)).item() == 5.0


def test_functions_that_are_attributes(capsys):
    class Lambda(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    def noisy(x):
        print("noisy")
        return x * 2

    net = nn.Sequential(Lambda(lambda x: x.view(-1, 1, 2)), nn.ReLU(), Lambda(lambda x: x * 3))
    for _ in range(3):
        assert net(torch.ones(1, 2)).tolist() == [[[3.0, 3.0]]]
    assert is_played(net) is not PROCESS.eager
    net[2].function = noisy
    for _ in range(3):
        assert net(torch.ones(1, 2)).tolist() == [[[2.0, 2.0]]]
    assert capsys.readouterr().out == "noisy\n" * 3


def test_closures_count():
    def build(factor):
        class Inner(nn.Module):
            def forward(self, x):
                return (x + 1) * factor

        def change(value):
            nonlocal factor
            factor = value

        return Inner(), change

    net, change = build(2.0)
    for _ in range(3):
        assert net(torch.ones(1)).item() == 4.0
    change(3.0)
    assert net(torch.ones(1)).item() == 6.0
    listed, _ = build([1.0])
    with pytest.raises(TypeError):
        listed(torch.ones(1))


def test_loops_comprehensions_and_branches_over_shapes():
    class Blocks(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
            self.skip = True

        def forward(self, x):
            parts = []
            for block in self.blocks:
                y = torch.tanh(block(x))
                x = x + y if self.skip and x.size(0) > 1 else y
                parts.append(x)
            return torch.cat([p * math.sqrt(2) for p in parts], dim=1)

    net = Blocks()
    twin = unplayed(net)
    for count in (1, 2, 1, 2):
        for _ in range(2):
            x = torch.arange(2.0 * count).reshape(count, 2)
            assert close(net(x), twin(x))
    assert is_played(net) is not PROCESS.eager
    net.skip = False
    assert net(torch.ones(2, 2)).tolist() != twin(torch.ones(2, 2)).tolist()


def test_inference_mode_and_what_comes_out_of_it():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    for _ in range(3):
        with torch.inference_mode():
            inside = net(torch.ones(1, 2))
        assert inside.is_inference() and not inside.requires_grad
        outside = net(torch.ones(1, 2))
        assert not outside.is_inference() and outside.requires_grad
        assert close(inside, outside.detach())
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
            net(inside)
    assert is_played(net) is not PROCESS.eager


def test_modes_that_look_at_every_op_see_every_op():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    for _ in range(3):
        net(torch.ones(1, 2))
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: packed.append(x) or x, lambda x: x):
        net(torch.ones(1, 2)).sum().backward()
    assert len(packed) >= 2
    with torch.autograd.detect_anomaly(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError, match="returned nan values"):
            (net(torch.ones(1, 2)) * 0).sqrt().sum().backward()
    assert any("Traceback of forward call" in str(w.message) for w in caught)


# -- hooks, debuggers, copies ----------------------------------------------------------------------


def test_hooks_see_every_call():
    net = Net()
    for _ in range(3):
        net(images())
    seen = []
    handle = net.conv1.register_forward_hook(lambda m, args, out: seen.append("inside"))
    net(images())
    net.register_forward_pre_hook(lambda m, args: seen.append("outside"))
    net(images())
    assert seen == ["inside", "outside", "inside"]
    handle.remove()
    net(images())
    assert seen[3:] == ["outside"]


def test_backward_hooks_see_every_call():
    net = Net()
    for _ in range(3):
        net(images()).sum().backward()
    seen = []
    net.fc1.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append(len(grad_out)))
    net.conv1.weight.register_hook(lambda g: seen.append(tuple(g.shape)))
    net(images()).sum().backward()
    assert seen == [1, (4, 1, 3, 3)]


def test_a_debugger_sees_every_line():
    net = Scaled()
    for _ in range(3):
        net(torch.ones(2))
    lines = []

    def trace(frame, event, arg):
        if frame.f_code is Scaled.forward.__code__:
            lines.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        net(torch.ones(2))
    finally:
        sys.settrace(before)
    assert "call" in lines and "return" in lines


def test_copies_and_pickles_compute_with_their_own_parameters():
    net = Scaled()
    for _ in range(3):
        net(torch.ones(2))
    twin = copy.deepcopy(net)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    with torch.no_grad():
        net.weight.zero_()
    for module in (twin, read):
        assert module(torch.ones(2)).tolist() == [2.0, 4.0]
    assert net(torch.ones(2)).tolist() == [0.0, 0.0]


def test_a_module_that_was_called_is_freed_at_once():
    net = Net()
    for _ in range(3):
        net(images()).sum().backward()
    gc.collect()
    gc.disable()
    try:
        dead = weakref.ref(net), weakref.ref(net.conv1.weight._storage)
        del net
        graph.flush()
        assert [ref() for ref in dead] == [None, None]
    finally:
        gc.enable()


def test_an_error_in_forward_leaves_everything_usable():
    net = Net()
    with pytest.raises(RuntimeError, match="shape|size|channels"):
        net(torch.ones(2, 3, 12, 12))
    twin = unplayed(net)
    for _ in range(3):
        assert close(net(images()), twin(images()))


def test_keyword_arguments_and_constants():
    class Power(nn.Module):
        def forward(self, x, exponent=2, scale=1.0):
            return x.pow(exponent) * scale

    net = Power()
    for _ in range(2):
        assert net(torch.tensor(3.0)).item() == 9
        assert net(torch.tensor(3.0), 3).item() == 27
        assert net(torch.tensor(3.0), 3, 2.0).item() == 54
        assert net(torch.tensor(3.0), 3, True).item() == 27
        assert net(torch.tensor(3.0), scale=3.0).item() == 27


@recorded
def test_threads_play_the_same_module():
    net = Net()
    expected = net(images()).detach()
    wrong = []

    def work():
        for _ in range(50):
            if not torch.allclose(net(images()), expected, atol=1e-6):
                wrong.append(True)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(PROCESS.eager, reason="nothing is played")
def test_checks_notice_code_that_records_something_else(monkeypatch):
    net = Scaled()
    for _ in range(2):
        net(torch.ones(2))
    monkeypatch.setattr(PROCESS, "check", True)
    assert net(torch.ones(2)).tolist() == [2.0, 4.0]
    net.__dict__["factor"] = 3  # behind everybody's back: an int where a float was
    with pytest.raises(RuntimeError, match="now records something else"):
        net(torch.ones(2))


def test_a_number_of_other_type_or_sign_is_another_number():
    net = Scaled()
    for factor in (0.0, -0.0, 0, False, 0.0):
        net.factor = factor
        for _ in range(2):
            first = net(torch.ones(2))[0].item()
            assert math.copysign(1, first) == math.copysign(1, factor)


def test_warnings_of_the_first_call_are_given():
    class Deprecated(nn.Module):
        def forward(self, x):
            return F.softmax(x * 2)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Deprecated()(torch.ones(2))
    assert any("Implicit dimension choice" in str(w.message) for w in caught)
