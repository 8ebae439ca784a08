"""Dropout beside PyTorch: the same elements fall, whatever the shape, layout or kind."""

from __future__ import annotations

from itertools import product

import pytest

import cresset
import cresset.nn.functional as F

from .beside import same_story

LAYERS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
SHAPES = [(4,), (3, 4), (2, 3, 4), (2, 3, 4, 2), (2, 3, 2, 2, 2)]


def draw(T, *shape):
    """Numbers that both libraries draw alike."""
    return T.randn(*shape, generator=T.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(("name", "p"), list(product(LAYERS, (0.0, 0.3, 1.0))))
def test_the_same_elements_fall(name, p):
    def story(T):
        layer = getattr(T.nn, name)(p)
        found = []
        for shape in SHAPES:
            x = draw(T, *shape).requires_grad_()
            try:
                T.manual_seed(5)
                out = layer(x)
            except RuntimeError as error:
                found.append(str(error).split("\n")[0])
                continue
            (out * draw(T, *shape)).sum().backward()
            found += [out, x.grad]
        layer.eval()
        x = draw(T, 2, 3, 4)
        return found, layer(x) is x, repr(layer)

    same_story(story)


@pytest.mark.parametrize("name", LAYERS)
def test_in_place(name):
    def story(T):
        layer = getattr(T.nn, name)(0.4, inplace=True)
        x = draw(T, 2, 3, 4)
        T.manual_seed(5)
        out = layer(x)
        leaf = draw(T, 2, 3, 4).requires_grad_()
        T.manual_seed(5)
        layer(leaf * 1).sum().backward()
        return out is x, x, leaf.grad, repr(layer)

    same_story(story)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "complex64"])
def test_other_dtypes(dtype):
    def story(T):
        x = T.ones(40, dtype=getattr(T, dtype))
        T.manual_seed(5)
        y = T.nn.functional.dropout(x, 0.25)
        return str(y.dtype), y.real.float()

    same_story(story, tolerance=1e-2)


def test_other_layouts():
    def story(T):
        found = []
        for x in (
            draw(T, 4, 5).t(), draw(T, 4, 6)[:, ::2], T.ones(1, 3).expand(4, 3), draw(T, 0, 3),
            draw(T, 2, 3, 4, 4).contiguous(memory_format=T.channels_last),
        ):  # fmt: skip
            T.manual_seed(5)
            y = T.nn.functional.dropout(x, 0.5)
            found += [y, y.stride()]
        return found

    same_story(story)


def test_draws_follow_one_another():
    def story(T):
        T.manual_seed(1)
        layer = T.nn.Dropout(0.5)
        x = T.ones(30)
        return layer(x), layer(x), T.rand(3), T.nn.functional.dropout(x, 0.9), T.randn(2)

    same_story(story)


def test_functions_of_the_library():
    def story(T):
        x = draw(T, 3, 4)
        T.manual_seed(5)
        results = [T.dropout(x, 0.5, True), T.dropout(x, 0.5, train=False)]
        results.append(T.dropout_(x.clone(), 0.5, True))
        results.append(T.alpha_dropout(x, 0.5, True))
        results.append(T.feature_dropout(draw(T, 2, 3, 4), 0.5, True))
        results.append(T.feature_alpha_dropout(draw(T, 2, 3, 4), 0.5, True))
        return results

    same_story(story)


def test_names_of_nodes():
    def story(T):
        x = T.ones(3, 4, requires_grad=True)
        F = T.nn.functional
        return [
            F.dropout(x, 0.5).grad_fn.name(), F.dropout(x, 0.0) is x,
            F.dropout(x, 1.0).grad_fn.name(), F.alpha_dropout(x, 0.5, True).grad_fn.name(),
            F.dropout1d(T.ones(2, 3, 4, requires_grad=True)).grad_fn.name(),
            F.dropout(x * 1, 0.5, inplace=True).grad_fn.name(),
        ]  # fmt: skip

    same_story(story)


ERRORS = {
    **{f"{name} of {p}": (lambda t, name=name, p=p: getattr(t.nn, name)(p))
       for name, p in product(LAYERS, (-0.1, 1.1))},
    **{f"{name} of {p}": (lambda t, name=name, p=p: getattr(t.nn.functional, name)(t.ones(2, 3), p))
       for name, p in product(
           ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
            "feature_alpha_dropout"), (-0.1, 1.1))},
    "torch.dropout of 2": lambda t: t.dropout(t.ones(2), 2.0, True),
    "integers": lambda t: t.nn.functional.dropout(t.ones(3, dtype=t.int64), 0.5),
    "a leaf in place": lambda t: t.nn.functional.dropout(
        t.ones(3, requires_grad=True), inplace=True
    ),
    "no tensor": lambda t: t.nn.functional.dropout([1.0], 0.5),
    "a word": lambda t: t.nn.Dropout("x"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_says_what_pytorch_says(name):
    same_story(ERRORS[name], warned=False)


# -- without PyTorch ------------------------------------------------------------------------------


def test_known_draw():
    cresset.manual_seed(0)
    out = F.dropout(cresset.ones(8), 0.5).tolist()
    assert out == [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 2.0]
    assert F.dropout(cresset.ones(3), 1.0).tolist() == [0.0, 0.0, 0.0]
    assert F.dropout(cresset.ones(3), 0.9, training=False).tolist() == [1.0, 1.0, 1.0]


def test_whole_channels_fall_together():
    out = F.dropout2d(cresset.ones(2, 50, 3, 3), 0.5)
    sums = out.sum((2, 3)).unique().tolist()
    assert sums == [0.0, 18.0]
