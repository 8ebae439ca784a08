"""What autograd does and refuses, beside PyTorch: each program gives the same answer or error."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest

import cresset


def hooks_replace_gradients(T: Any) -> Any:
    x = T.ones(3, requires_grad=True)
    seen = []
    y = x * 2
    first = y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.sum().backward()
    first.remove()
    z = x.sum() * 3
    x.register_hook(lambda g: g + 1)
    z.backward()
    return x.grad.tolist(), seen


def hooks_of_nodes(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    y = x * 3
    seen = []
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 2,))
    y.grad_fn.register_hook(lambda ins, outs: seen.append((ins[0].tolist(), outs[0].tolist())))
    y.sum().backward()
    return x.grad.tolist(), seen


def hooks_after_accumulation(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    return seen


def hooks_of_modules(T: Any) -> Any:
    layer = T.nn.Linear(2, 1, bias=False)
    with T.no_grad():
        layer.weight.fill_(2.0)
    seen = []
    layer.register_full_backward_hook(
        lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist()))
    )
    layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    x = T.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    return seen, x.grad.tolist()


def retained_gradients(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad.tolist(), x.grad.tolist(), y.retains_grad, y.is_leaf


def hook_on_no_grad(T: Any) -> Any:
    T.ones(2).register_hook(lambda g: g)


def second_backward(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    y = x.exp().sum()
    y.backward()
    y.backward()


def backward_of_many(T: Any) -> Any:
    (T.ones(2, requires_grad=True) * 2).backward()


def backward_without_history(T: Any) -> Any:
    T.ones(1).backward()


def backward_into_some(T: Any) -> Any:
    x, y = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    (x * y).sum().backward(inputs=[x])
    return x.grad.tolist(), y.grad


def unused_input(T: Any) -> Any:
    x, y = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    T.autograd.grad((x * 2).sum(), [x, y])


def unused_inputs_allowed(T: Any) -> Any:
    x, y = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    a, b = T.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    c, d = T.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    return a.tolist(), b, c.tolist(), d.tolist()


def batched_gradients(T: Any) -> Any:
    x = T.arange(3.0).requires_grad_()
    (j,) = T.autograd.grad(x * x, x, T.eye(3), is_grads_batched=True)
    return j.tolist()


def third_derivative(T: Any) -> Any:
    x = T.tensor(2.0, requires_grad=True)
    y = x**5
    for _ in range(3):
        (y,) = T.autograd.grad(y, x, create_graph=True)
    return y.item()


def accumulation_keeps_the_object(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    g = x.grad
    (x * 3).sum().backward()
    return g is x.grad, g.tolist(), g.requires_grad


def leaf_in_place(T: Any) -> Any:
    T.ones(2, requires_grad=True).add_(1)


def view_of_leaf_in_place(T: Any) -> Any:
    T.ones(2, 2, requires_grad=True)[0].add_(1)


def saved_changed(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    y = x.exp()
    y.mul_(2)
    y.sum().backward()


def chunk_in_place(T: Any) -> Any:
    x = T.ones(4, requires_grad=True) * 1
    x.chunk(2)[0].mul_(2)


def unbind_in_place(T: Any) -> Any:
    x = T.ones(4, 2, requires_grad=True) * 1
    x.unbind(0)[0].mul_(2)


def slices_written(T: Any) -> Any:
    x = T.ones(4, requires_grad=True)
    y = x * 2
    y[1:3] = y[0] * 5
    view = y[2:]
    view.mul_(3)
    y.sum().backward()
    return x.grad.tolist(), type(y.grad_fn).__name__, type(view.grad_fn).__name__


def versions(T: Any) -> Any:
    x = T.zeros(3)
    start = x._version
    x.add_(1)
    x[0] = 2
    d = x.detach()
    d.add_(1)
    x.data.add_(1)
    return x._version - start, d._version - start


def not_leaf_requires_grad(T: Any) -> Any:
    (T.ones(2, requires_grad=True) * 2).requires_grad_(False)


def integers_require_grad(T: Any) -> Any:
    T.ones(2, dtype=T.int64).requires_grad_()


def modes(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)

    @T.no_grad()
    def f() -> Any:
        with T.enable_grad():
            a = x * 2
        return a.requires_grad, (x * 2).requires_grad, T.is_grad_enabled()

    with T.set_grad_enabled(False):
        inner = f()
    with T.inference_mode():
        z = x * 2
    return inner, z.requires_grad, z.is_inference(), T.is_grad_enabled()


def inference_saved(T: Any) -> Any:
    with T.inference_mode():
        z = T.ones(2)
    (z * T.ones(2, requires_grad=True)).sum().backward()


def inference_written(T: Any) -> Any:
    with T.inference_mode():
        z = T.ones(2)
    z.add_(1)


def _cube(T: Any) -> Any:
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * 3 * x**2

    return Cube


def own_function(T: Any) -> Any:
    x = T.tensor([2.0], requires_grad=True)
    y = _cube(T).apply(x)
    (g,) = T.autograd.grad(y, x, create_graph=True)
    (h,) = T.autograd.grad(g, x)
    return y.item(), g.item(), h.item(), type(y.grad_fn).__name__


def own_function_with_context(T: Any) -> Any:
    class Scale(T.autograd.Function):
        @staticmethod
        def forward(x: Any, factor: float) -> Any:
            return x * factor

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.factor, None

    x = T.ones(2, requires_grad=True)
    Scale.apply(x, 4.0).sum().backward()
    return x.grad.tolist()


def own_function_in_place(T: Any) -> Any:
    class Double(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = T.ones(2, requires_grad=True)
    y = x * 1
    z = Double.apply(y)
    z.sum().backward()
    return x.grad.tolist(), z is y


def own_function_partly(T: Any) -> Any:
    class Two(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.needs = ctx.needs_input_grad
            whole = (x > 0).to(T.int64)
            ctx.mark_non_differentiable(whole)
            return x * y, whole

        @staticmethod
        @T.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any, unused: Any) -> Any:
            return (g if ctx.needs[0] else None), (g if ctx.needs[1] else None)

    x = T.ones(2, requires_grad=True)
    product, whole = Two.apply(x, T.ones(2))
    product.sum().backward()
    return x.grad.tolist(), whole.requires_grad


def wrong_number_of_gradients(T: Any) -> Any:
    class Bad(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    Bad.apply(T.ones(2, requires_grad=True)).sum().backward()


def packed_saved_tensors(T: Any) -> Any:
    seen = []

    def pack(x: Any) -> Any:
        seen.append(tuple(x.shape))
        return x.tolist()

    x = T.ones(2, requires_grad=True)
    with T.autograd.graph.saved_tensors_hooks(pack, lambda v: T.tensor(v)):
        y = x * x
    y.sum().backward()
    return x.grad.tolist(), seen


def nan_is_detected(T: Any) -> Any:
    with T.autograd.detect_anomaly():
        x = T.zeros(1, requires_grad=True)
        (x.sqrt() * 0).backward()


def functional_derivatives(T: Any) -> Any:
    F = T.autograd.functional

    def f(x: Any) -> Any:
        return (x**3).sum()

    x, v = T.tensor([1.0, 2.0]), T.tensor([1.0, -1.0])
    return (
        F.jacobian(lambda x: x * x, x).tolist(), F.hessian(f, x).tolist(),
        F.vjp(f, x, T.tensor(2.0))[1].tolist(), F.jvp(lambda x: x**2, x, v)[1].tolist(),
        F.hvp(f, x, v)[1].tolist(), F.vhp(f, x, v)[1].tolist(),
    )  # fmt: skip


def deep(T: Any) -> Any:
    x = y = T.ones(1, requires_grad=True)
    for _ in range(20_000):
        y = y + 1
    y.backward()
    return x.grad.tolist()


def threads(T: Any) -> Any:
    x = T.ones(1, requires_grad=True)

    def work() -> None:
        for _ in range(20):
            (x * 2).sum().backward()

    running = [threading.Thread(target=work) for _ in range(4)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    return x.grad.tolist()


def backward_inside_backward(T: Any) -> Any:
    inner = []

    class Nested(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            with T.enable_grad():
                z = T.ones(1, requires_grad=True)
                (z * 5).backward()
                inner.append(z.grad.item())
            return g * 2

    x = T.ones(1, requires_grad=True)
    Nested.apply(x).backward()
    return x.grad.tolist(), inner


def checkpointed(T: Any) -> Any:
    from importlib import import_module

    checkpoint = import_module(T.__name__ + ".utils.checkpoint").checkpoint
    x = T.ones(2, requires_grad=True)
    checkpoint(lambda x: (x * 2).exp(), x, use_reentrant=False).sum().backward()
    return [round(v, 4) for v in x.grad.tolist()]


def gradcheck(T: Any) -> Any:
    x = T.randn(3, dtype=T.float64, requires_grad=True)
    return T.autograd.gradcheck(T.sin, x), T.autograd.gradgradcheck(T.sin, x)


PROGRAMS = [
    value for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and not name.startswith("_")
]  # fmt: skip


def _outcome(T: Any, program: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return program(T)
        except Exception as error:
            return type(error).__name__, str(error).split("\n")[0]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_behaves_as_in_pytorch(program: Any) -> None:
    torch = pytest.importorskip("torch")
    assert _outcome(cresset, program) == _outcome(torch, program)


def test_known_answers() -> None:
    assert own_function(cresset) == (8.0, 12.0, 12.0, "CubeBackward")
    assert third_derivative(cresset) == 240.0
    assert deep(cresset) == [1.0]
    assert threads(cresset) == [160.0]
