"""Normalising layers beside PyTorch: running statistics over steps, modes, gradients, messages."""

from __future__ import annotations

from itertools import product

import pytest

import cresset
from cresset import nn

from .beside import same_story


def draw(T, *shape, seed=0):
    """Numbers that both libraries draw alike."""
    return T.randn(*shape, generator=T.Generator().manual_seed(seed + sum(shape)))


BATCH = [
    {}, {"affine": False}, {"momentum": None}, {"momentum": 0.7, "eps": 0.1},
    {"track_running_stats": False}, {"momentum": None, "affine": False}, {"momentum": 0.0},
    {"momentum": 1.0}, {"bias": False},
]  # fmt: skip
SHAPES = {1: (4, 3, 5), 2: (4, 3, 2, 3), 3: (2, 3, 2, 2, 3)}


def steps(T, layer, shape, count=3):
    """Outputs, gradients and statistics of some steps, then of evaluation."""
    found = []
    for k in range(count):
        x = (draw(T, *shape, seed=k) * (k + 1) + k).requires_grad_()
        layer.zero_grad()
        out = layer(x)
        (out * draw(T, *out.shape, seed=99)).sum().backward()
        found += [out, x.grad, [p.grad for p in layer.parameters()]]
        found += [b.clone() for b in layer.buffers()]
    layer.eval()
    x = draw(T, *shape, seed=7).requires_grad_()
    out = layer(x)
    (out * draw(T, *out.shape, seed=98)).sum().backward()
    return found, out, x.grad, [b.clone() for b in layer.buffers()], out.grad_fn.name()


@pytest.mark.parametrize(("d", "options"), list(product(SHAPES, range(len(BATCH)))))
def test_batch_norm_over_steps(d, options):
    def story(T):
        layer = getattr(T.nn, f"BatchNorm{d}d")(3, **BATCH[options])
        with T.no_grad():
            for p in layer.parameters():
                p.copy_(T.arange(3.0) - 0.5)
        return repr(layer), list(layer.state_dict()), steps(T, layer, SHAPES[d])

    same_story(story, tolerance=1e-4)


INSTANCE = [
    {}, {"affine": True}, {"track_running_stats": True}, {"momentum": 0.5, "eps": 0.1},
    {"affine": True, "track_running_stats": True, "momentum": 0.3},
]  # fmt: skip


@pytest.mark.parametrize(("d", "options"), list(product(SHAPES, range(len(INSTANCE)))))
def test_instance_norm_over_steps(d, options):
    def story(T):
        layer = getattr(T.nn, f"InstanceNorm{d}d")(3, **INSTANCE[options])
        with T.no_grad():
            for p in layer.parameters():
                p.copy_(T.arange(3.0) - 0.5)
        single = draw(T, *SHAPES[d][1:])
        return (
            repr(layer), list(layer.state_dict()), steps(T, layer, SHAPES[d]), layer(single),
            layer.train()(single),
        )  # fmt: skip

    same_story(story, tolerance=1e-4)


def test_batch_norm_of_rows():
    def story(T):
        layer = T.nn.BatchNorm1d(5)
        return steps(T, layer, (6, 5))

    same_story(story, tolerance=1e-4)


def test_a_batch_of_one_value_is_evaluated_but_not_trained_on():
    def story(T):
        layer = T.nn.BatchNorm1d(2)
        layer(T.tensor([[1.0, 2.0], [3.0, 5.0]]))
        layer.eval()
        return layer(T.ones(1, 2)), layer.running_mean, layer.running_var, layer(T.ones(0, 2))

    same_story(story)


def test_statistics_are_reset():
    def story(T):
        layer = T.nn.BatchNorm1d(3)
        layer(draw(T, 4, 3))
        before = [b.clone() for b in layer.buffers()]
        layer.reset_running_stats()
        after = [b.clone() for b in layer.buffers()]
        with T.no_grad():
            layer.weight.fill_(3.0)
        layer.reset_parameters()
        return before, after, layer.weight, layer.bias

    same_story(story)


def test_statistics_move_without_gradients_too():
    def story(T):
        layer = T.nn.BatchNorm2d(3)
        with T.no_grad():
            layer(draw(T, 2, 3, 2, 2))
        frozen = T.nn.BatchNorm2d(3)
        for p in frozen.parameters():
            p.requires_grad_(False)
        frozen(draw(T, 2, 3, 2, 2))
        return list(layer.buffers()), list(frozen.buffers())

    same_story(story)


def test_functions_move_the_statistics_they_are_given():
    def story(T):
        F = T.nn.functional
        mean, var = T.zeros(3), T.ones(3)
        x = draw(T, 4, 3, 2)
        results = [
            F.batch_norm(x, mean, var, training=True, momentum=0.5), mean.clone(), var.clone(),
            F.batch_norm(x, mean, var), mean.clone(), F.instance_norm(x, mean, var, momentum=0.25),
            mean.clone(), var.clone(), F.instance_norm(x, mean, var, use_input_stats=False), mean,
        ]  # fmt: skip
        results.append(F.batch_norm(x, mean, None, training=True))
        return [*results, mean, mean._version > 0]

    same_story(story)


def test_half_precision_inputs_with_full_parameters():
    def story(T):
        layer = T.nn.BatchNorm1d(3)
        x = draw(T, 4, 3).bfloat16()
        return layer(x).dtype == T.bfloat16, layer.running_mean.dtype == T.float32

    same_story(story)


def test_evaluation_after_conversion():
    def story(T):
        layer = T.nn.BatchNorm1d(3).double()
        layer(draw(T, 4, 3).double())
        return layer.running_mean, layer.num_batches_tracked, layer.eval()(draw(T, 2, 3).double())

    same_story(story, tolerance=1e-6)


OTHERS = [
    ("LayerNorm", (5,), {}), ("LayerNorm", ((3, 5),), {"eps": 0.1}),
    ("LayerNorm", (5,), {"elementwise_affine": False}), ("LayerNorm", (5,), {"bias": False}),
    ("GroupNorm", (3, 3), {}), ("GroupNorm", (1, 3), {"affine": False}),
    ("GroupNorm", (3, 3), {"eps": 0.1}), ("RMSNorm", (5,), {}),
    ("RMSNorm", ((3, 5),), {"eps": 0.1}), ("RMSNorm", (5,), {"elementwise_affine": False}),
    ("LocalResponseNorm", (2,), {}), ("LocalResponseNorm", (3, 0.5, 0.4, 2.0), {}),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(OTHERS)))
def test_normalisation_of_samples(case):
    name, args, options = OTHERS[case]

    def story(T):
        layer = getattr(T.nn, name)(*args, **options)
        with T.no_grad():
            for p in layer.parameters():
                p.copy_(T.arange(float(p.numel())).view(p.shape) - 0.5)
        return repr(layer), list(layer.state_dict()), steps(T, layer, (4, 3, 5), 1)

    same_story(story, tolerance=1e-4)


def test_layer_norm_of_half_types():
    def story(T):
        layer = T.nn.LayerNorm(4, dtype=T.bfloat16)
        return layer(draw(T, 2, 4).bfloat16()), T.nn.RMSNorm(4)(draw(T, 2, 4).double()).dtype

    with_words = lambda T: [str(x) if not hasattr(x, "shape") else x for x in story(T)]
    same_story(with_words, tolerance=1e-2, warned=False)


def test_sync_batch_norm_takes_the_place_of_batch_norm():
    def story(T):
        net = T.nn.Sequential(T.nn.Linear(2, 3), T.nn.BatchNorm1d(3), T.nn.BatchNorm1d(3))
        made = T.nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return [type(m).__name__ for m in made], list(made.state_dict())

    same_story(story)


def test_batch_norm_takes_many_shapes_of_weights():
    def story(T):
        F = T.nn.functional
        x = draw(T, 4, 3)
        w = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = F.batch_norm(x, T.zeros(3), T.ones(3), w, None, True)
        z = F.batch_norm(x, T.zeros(3), T.ones(3), None, w)
        (y * x).sum().backward()
        return y, z, w.grad

    same_story(story)


ERRORS = {
    "batch norm 1d of four sizes": lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 3, 4, 5)),
    "batch norm 2d of two sizes": lambda t: t.nn.BatchNorm2d(3)(t.ones(2, 3)),
    "batch norm 3d of four sizes": lambda t: t.nn.BatchNorm3d(3)(t.ones(2, 3, 4, 5)),
    "batch norm of other channels": lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 4)),
    "batch norm of other channels, evaluated": lambda t: t.nn.BatchNorm1d(3).eval()(t.ones(2, 4)),
    "batch norm of one value": lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
    "batch norm of one pixel": lambda t: t.nn.BatchNorm2d(3)(t.ones(1, 3, 1, 1)),
    "batch norm without statistics": lambda t: t.nn.functional.batch_norm(t.ones(2, 3), None, None),
    "batch norm weight of a wrong size": lambda t: t.nn.functional.batch_norm(
        t.ones(2, 3), None, None, t.ones(2), None, True
    ),
    "batch norm mean that needs a gradient": lambda t: t.nn.functional.batch_norm(
        t.ones(2, 3), t.zeros(3, requires_grad=True), t.ones(3)
    ),
    "batch norm of integers": lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 3, dtype=t.int64)),
    "batch norm of doubles": lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 3, dtype=t.float64)),
    "instance norm of one value": lambda t: t.nn.InstanceNorm1d(3)(t.ones(2, 3, 1)),
    "instance norm of two sizes in 2d": lambda t: t.nn.InstanceNorm2d(3)(t.ones(2, 3)),
    "instance norm of five sizes": lambda t: t.nn.InstanceNorm2d(3)(t.ones(2, 3, 1, 2, 2)),
    "instance norm of other channels": lambda t: t.nn.InstanceNorm1d(3, affine=True)(
        t.ones(2, 4, 5)
    ),
    "instance norm of other channels, plain": lambda t: t.nn.InstanceNorm1d(3)(t.zeros(2, 4, 5)),
    "layer norm of another width": lambda t: t.nn.LayerNorm(4)(t.ones(2, 3)),
    "layer norm of no shape": lambda t: t.nn.functional.layer_norm(t.ones(2), ()),
    "layer norm weight of a wrong size": lambda t: t.nn.functional.layer_norm(
        t.ones(2, 3), (3,), t.ones(2)
    ),
    "layer norm bias of a wrong size": lambda t: t.nn.functional.layer_norm(
        t.ones(2, 3), (3,), None, t.ones(2)
    ),
    "layer norm of integers": lambda t: t.nn.functional.layer_norm(
        t.ones(2, 3, dtype=t.int64), (3,)
    ),
    "layer norm of doubles": lambda t: t.nn.LayerNorm(3)(t.ones(2, 3, dtype=t.float64)),
    "rms norm of another width": lambda t: t.nn.RMSNorm(4)(t.ones(2, 3)),
    "rms norm weight of a wrong size": lambda t: t.nn.functional.rms_norm(
        t.ones(2, 3), (3,), t.ones(2)
    ),
    "groups that do not divide": lambda t: t.nn.GroupNorm(2, 3),
    "groups that do not divide the input": lambda t: t.nn.functional.group_norm(t.ones(2, 3), 2),
    "group norm of one size": lambda t: t.nn.functional.group_norm(t.ones(3), 1),
    "group norm without groups": lambda t: t.nn.functional.group_norm(t.ones(2, 3), 0),
    "group norm weight of a wrong size": lambda t: t.nn.functional.group_norm(
        t.ones(2, 4), 2, t.ones(2)
    ),
    "group norm bias of a wrong size": lambda t: t.nn.functional.group_norm(
        t.ones(2, 4), 2, None, t.ones(2)
    ),
    "group norm of one value": lambda t: t.nn.functional.group_norm(t.ones(1, 2), 2),
    "response norm of two sizes": lambda t: t.nn.LocalResponseNorm(2)(t.ones(2, 3)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_says_what_pytorch_says(name):
    same_story(ERRORS[name])


# -- without PyTorch ------------------------------------------------------------------------------


def test_running_statistics_by_hand():
    layer = nn.BatchNorm1d(1, momentum=0.5)
    out = layer(cresset.tensor([[1.0], [3.0]]))
    assert out.flatten().tolist() == pytest.approx([-1.0, 1.0], abs=1e-4)
    assert layer.running_mean.tolist() == [1.0]
    assert layer.running_var.tolist() == [1.5]
    average = nn.BatchNorm1d(1, momentum=None)
    for value in (1.0, 4.0):
        average(cresset.tensor([[value], [value + 2]]))
    assert average.running_mean.tolist() == [3.5] and average.num_batches_tracked.item() == 2


def test_norms_of_a_row_by_hand():
    x = cresset.tensor([[3.0, 4.0]])
    assert nn.RMSNorm(2, eps=0.0)(x).tolist()[0] == pytest.approx([0.848528, 1.131371], abs=1e-5)
    assert nn.LayerNorm(2, eps=0.0)(x).tolist()[0] == pytest.approx([-1.0, 1.0], abs=1e-5)
