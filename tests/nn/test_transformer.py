"""Transformer layers and stacks beside PyTorch's: masks, orders, evaluation, messages."""

from __future__ import annotations

from itertools import product

import pytest

import cresset
from cresset import nn

from .beside import same_story


def draw(T, *shape):
    """Numbers that both libraries draw alike."""
    return T.randn(*shape, generator=T.Generator().manual_seed(sum(shape)))


def leaf(x):
    return x.requires_grad_()


def later(T, n, m=None):
    """True at positions after one's own."""
    return T.ones(n, m or n, dtype=T.bool).triu(1)


def ends(T, n, s):
    """True at padding: none, one, two ... positions at the end of each sample."""
    return T.arange(s).expand(n, s) >= s - T.arange(n).unsqueeze(1)


def taught(T, layer, inputs, **options):
    """The output and all gradients of a pass."""
    out = layer(*inputs, **options)
    (out * draw(T, *out.shape)).sum().backward()
    return out, [x.grad for x in inputs], [p.grad for p in layer.parameters()]


SRC_MASKS = {
    "none": lambda T: {},
    "bool": lambda T: {"src_mask": later(T, 4)},
    "added": lambda T: {"src_mask": draw(T, 4, 4)},
    "padding": lambda T: {"src_key_padding_mask": ends(T, 3, 4)},
    "both": lambda T: {"src_mask": later(T, 4), "src_key_padding_mask": ends(T, 3, 4)},
    "mixed": lambda T: {"src_mask": later(T, 4).float(), "src_key_padding_mask": ends(T, 3, 4)},
    "causal": lambda T: {
        "src_mask": T.nn.Transformer.generate_square_subsequent_mask(4), "is_causal": True
    },
}  # fmt: skip
KINDS = [
    {}, {"norm_first": True}, {"batch_first": True, "activation": "gelu"},
    {"bias": False, "layer_norm_eps": 0.1}, {"dropout": 0.3, "norm_first": True},
]  # fmt: skip


def source(T, batch_first=False, **_):
    return leaf(draw(T, 3, 4, 8) if batch_first else draw(T, 4, 3, 8))


@pytest.mark.parametrize(("masks", "kind"), list(product(SRC_MASKS, range(len(KINDS)))))
def test_encoder_layers(masks, kind):
    def story(T):
        T.manual_seed(3)
        options = {"dropout": 0.0, **KINDS[kind]}
        layer = T.nn.TransformerEncoderLayer(8, 2, 12, **options)
        T.manual_seed(4)
        trained = taught(T, layer, [source(T, **options)], **SRC_MASKS[masks](T))
        layer.eval()
        slow = layer(source(T, **options), **SRC_MASKS[masks](T))
        if masks in ("added", "mixed") and options.get("batch_first"):
            return trained, slow  # PyTorch's fast path takes any number but 0 for True here
        with T.no_grad():
            quick = layer(source(T, **options), **SRC_MASKS[masks](T))
        return trained, slow, quick

    same_story(story, tolerance=1e-4)


TGT_MASKS = {
    "none": lambda T: {},
    "own": lambda T: {"tgt_mask": later(T, 4)},
    "all": lambda T: {
        "tgt_mask": later(T, 4), "memory_mask": later(T, 4, 5),
        "tgt_key_padding_mask": ends(T, 3, 4), "memory_key_padding_mask": ends(T, 3, 5),
    },
    "causal": lambda T: {
        "tgt_mask": T.nn.Transformer.generate_square_subsequent_mask(4), "tgt_is_causal": True
    },
    "memory added": lambda T: {"memory_mask": draw(T, 4, 5)},
}  # fmt: skip


@pytest.mark.parametrize(("masks", "kind"), list(product(TGT_MASKS, range(len(KINDS)))))
def test_decoder_layers(masks, kind):
    def story(T):
        T.manual_seed(3)
        options = {"dropout": 0.0, **KINDS[kind]}
        layer = T.nn.TransformerDecoderLayer(8, 2, 12, **options)
        memory = draw(T, 5, 3, 8)
        if options.get("batch_first"):
            memory = memory.transpose(0, 1).contiguous()
        inputs = [source(T, **options), leaf(memory)]
        T.manual_seed(4)
        trained = taught(T, layer, inputs, **TGT_MASKS[masks](T))
        layer.eval()
        return trained, layer(*inputs, **TGT_MASKS[masks](T))

    same_story(story, tolerance=1e-4)


@pytest.mark.parametrize("first", [True, False])
def test_stacks(first):
    def story(T):
        T.manual_seed(3)
        layer = T.nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=first)
        stack = T.nn.TransformerEncoder(
            layer, 2, norm=T.nn.LayerNorm(8), enable_nested_tensor=False
        )
        below = T.nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=first)
        decoder = T.nn.TransformerDecoder(below, 2)
        n, s = (3, 4) if first else (4, 3)
        x = source(T, batch_first=first)
        mask = T.nn.Transformer.generate_square_subsequent_mask(4)
        results = [
            taught(T, stack, [x], mask=mask),
            stack(x, mask, is_causal=True),
            stack(x, src_key_padding_mask=ends(T, 3, 4)),
            decoder(x, x, tgt_mask=mask, tgt_is_causal=None),
            decoder(x, x, tgt_mask=mask, tgt_is_causal=True),
            stack(x[:, 0] if not first else x[0], mask),
            list(stack.state_dict()), list(decoder.state_dict()), repr(stack), repr(decoder),
        ]  # fmt: skip
        stack.eval()
        with T.no_grad():
            results += [stack(x, mask), stack(x, src_key_padding_mask=ends(T, 3, 4)), n, s]
        return results

    same_story(story, tolerance=1e-4, warned=False)


def test_the_whole_model():
    def story(T):
        T.manual_seed(3)
        model = T.nn.Transformer(8, 2, 1, 2, 12, 0.0, norm_first=True)
        src, tgt = leaf(draw(T, 5, 3, 8)), leaf(draw(T, 4, 3, 8))
        first = [p.detach().clone() for p in model.parameters()]
        mask = model.generate_square_subsequent_mask(4)
        options = {
            "tgt_mask": mask, "src_key_padding_mask": ends(T, 3, 5).float() * -9.0,
            "memory_key_padding_mask": ends(T, 3, 5), "tgt_is_causal": True,
        }  # fmt: skip
        trained = taught(T, model, [src, tgt], **options)
        model.eval()
        return first, mask, trained, model(src, tgt), model(src[:, 0], tgt[:, 0]), repr(model)

    same_story(story, tolerance=1e-4, warned=False)


def test_other_encoders_and_decoders_can_be_given():
    def story(T):
        class Add(T.nn.Module):
            def forward(self, a, b=0.0, **options):
                return a + b

        model = T.nn.Transformer(4, 1, custom_encoder=Add(), custom_decoder=Add())
        return model(T.ones(3, 2, 4), T.ones(3, 2, 4)), list(model.state_dict())

    same_story(story)


def test_copies_of_a_layer_are_trained_apart():
    def story(T):
        layer = T.nn.TransformerEncoderLayer(8, 2, 12, 0.0)
        stack = T.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        a, b = stack.layers
        return a.linear1.weight is b.linear1.weight, T.equal(a.linear1.weight, b.linear1.weight)

    assert same_story(story, warned=False) == [False, True]


def test_masks_are_made_with_dtype():
    def story(T):
        make = T.nn.Transformer.generate_square_subsequent_mask
        return make(3), make(2, dtype=T.float64), make(0), make(1)

    same_story(story)


ERRORS = {
    "unknown activation": lambda t: t.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
    "unknown activation of a decoder": lambda t: t.nn.TransformerDecoderLayer(8, 2, activation="x"),
    "heads that do not divide": lambda t: t.nn.TransformerEncoderLayer(8, 3),
    "another width": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(t.ones(3, 2, 6)),
    "four sizes": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(t.ones(1, 3, 2, 8)),
    "batches that differ": lambda t: t.nn.Transformer(8, 2, 1, 1, 4)(
        t.ones(3, 2, 8), t.ones(3, 1, 8)
    ),
    "widths that differ": lambda t: t.nn.Transformer(8, 2, 1, 1, 4)(
        t.ones(3, 2, 8), t.ones(3, 2, 6)
    ),
    "mask of a wrong size": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(
        t.ones(3, 2, 8), t.zeros(4, 4)
    ),
    "mask of integers": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(
        t.ones(3, 2, 8), t.zeros(3, 3, dtype=t.int64)
    ),
    "padding of integers": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(
        t.ones(3, 2, 8), src_key_padding_mask=t.zeros(2, 3, dtype=t.int64)
    ),
    "padding of a wrong size": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(
        t.ones(3, 2, 8), src_key_padding_mask=t.zeros(3, 2)
    ),
    "a hint without a mask": lambda t: t.nn.TransformerEncoderLayer(8, 2, 4)(
        t.ones(3, 2, 8), is_causal=True
    ),
    "a hint without a mask in a decoder": lambda t: t.nn.TransformerDecoderLayer(8, 2, 4)(
        t.ones(3, 2, 8), t.ones(3, 2, 8), tgt_is_causal=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_says_what_pytorch_says(name):
    same_story(ERRORS[name], warned=False)


# -- without PyTorch ------------------------------------------------------------------------------


def test_a_causal_stack_does_not_see_what_comes_later():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    x = cresset.randn(1, 3, 4)
    changed = x.clone()
    changed[0, 2] += 1.0
    before, after = layer(x, mask), layer(changed, mask)
    assert cresset.equal(before[0, :2], after[0, :2])
    assert not cresset.equal(before[0, 2], after[0, 2])


def test_mask_values():
    inf = float("inf")
    assert nn.Transformer.generate_square_subsequent_mask(2).tolist() == [[0.0, -inf], [0.0, 0.0]]
