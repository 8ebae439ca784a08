"""Multi-head and scaled dot-product attention beside PyTorch: masks, shapes, weights, messages."""

from __future__ import annotations

from itertools import product

import pytest

import cresset
import cresset.nn.functional as F

from .beside import same_story


def draw(T, *shape):
    """Numbers that both libraries draw alike."""
    return T.randn(*shape, generator=T.Generator().manual_seed(sum(shape)))


def leaf(x):
    return x.requires_grad_()


def causal(T, n, m=None):
    """True where a position may not look."""
    return T.ones(n, m or n, dtype=T.bool).triu(1)


def padding(T, n, s):
    """True at padding: none, one, two ... positions at the end of each sample."""
    return T.arange(s).expand(n, s) >= s - T.arange(n).unsqueeze(1)


MASKS = {
    "none": lambda T: {},
    "bool": lambda T: {"attn_mask": causal(T, 4, 5)},
    "added": lambda T: {"attn_mask": draw(T, 4, 5)},
    "per head": lambda T: {"attn_mask": draw(T, 3 * 2, 4, 5)},
    "bool per head": lambda T: {"attn_mask": causal(T, 4, 5).expand(6, 4, 5)},
    "padding": lambda T: {"key_padding_mask": padding(T, 3, 5)},
    "padding added": lambda T: {"key_padding_mask": draw(T, 3, 5)},
    "both": lambda T: {"attn_mask": causal(T, 4, 5), "key_padding_mask": padding(T, 3, 5)},
    "both added": lambda T: {"attn_mask": draw(T, 4, 5), "key_padding_mask": draw(T, 3, 5)},
    "mixed": lambda T: {"attn_mask": draw(T, 4, 5), "key_padding_mask": padding(T, 3, 5)},
    "other mix": lambda T: {"attn_mask": causal(T, 4, 5), "key_padding_mask": draw(T, 3, 5)},
    "bytes": lambda T: {"attn_mask": causal(T, 4, 5).byte()},
}
LAYERS = {
    "plain": {},
    "more keys": {"add_bias_kv": True, "add_zero_attn": True},
    "widths": {"kdim": 3, "vdim": 7, "bias": False},
}


def inputs(T, kdim=8, vdim=8, batch_first=False, **_):
    parts = [leaf(draw(T, *s)) for s in ((4, 3, 8), (5, 3, kdim), (5, 3, vdim))]
    return [leaf(x.detach().transpose(0, 1).contiguous()) for x in parts] if batch_first else parts


@pytest.mark.parametrize(("layer", "masks", "need", "first"), [
    (layer, masks, need, first)
    for layer, masks, (need, first) in product(LAYERS, MASKS, ((True, False), (False, True)))
])  # fmt: skip
def test_masks_mean_what_they_mean_in_pytorch(layer, masks, need, first):
    def story(T):
        T.manual_seed(2)
        m = T.nn.MultiheadAttention(8, 2, batch_first=first, **LAYERS[layer])
        given = inputs(T, batch_first=first, **LAYERS[layer])
        out, weights = m(*given, need_weights=need, **MASKS[masks](T))
        out.square().sum().backward()
        return out, weights, [x.grad for x in given], [p.grad for p in m.parameters()]

    same_story(story, tolerance=1e-4)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("batched", [True, False])
def test_weights_per_head_and_single_samples(average, batched):
    def story(T):
        m = T.nn.MultiheadAttention(6, 3)
        shape = (2,) if batched else ()
        q, k = draw(T, 4, *shape, 6), draw(T, 5, *shape, 6)
        masks = {"key_padding_mask": padding(T, 2, 5) if batched else padding(T, 2, 5)[1]}
        out, weights = m(q, k, k, average_attn_weights=average, **masks)
        m.eval()
        with T.no_grad():
            quick = m(q, q, q, average_attn_weights=average)
        return out, weights, quick, m(q, q, q, need_weights=False)

    same_story(story)


@pytest.mark.parametrize("need", [True, False])
def test_the_causal_hint_needs_the_mask(need):
    def story(T):
        m = T.nn.MultiheadAttention(8, 2)
        x = draw(T, 5, 2, 8)
        mask = T.nn.Transformer.generate_square_subsequent_mask(5)
        return (
            m(x, x, x, attn_mask=mask, is_causal=True, need_weights=need),
            m(x, x, x, attn_mask=mask, is_causal=False, need_weights=need),
            m(x, x, x, attn_mask=mask, is_causal=True, need_weights=need,
              key_padding_mask=padding(T, 2, 5).float() * -3.0),
        )  # fmt: skip

    same_story(story)


def test_dropout_of_attention_weights():
    def story(T):
        m = T.nn.MultiheadAttention(8, 2, dropout=0.4)
        x = leaf(draw(T, 5, 2, 8))
        T.manual_seed(9)
        trained = m(x, x, x)
        trained[0].sum().backward()
        m.eval()
        return trained, x.grad, m(x, x, x)

    same_story(story)


def test_evaluation_without_gradients_is_the_same_function():
    def story(T):
        results = []
        for first in (True, False):
            m = T.nn.MultiheadAttention(8, 2, batch_first=first).eval()
            x = draw(T, 3, 5, 8)
            for need in (True, False):
                with T.no_grad():
                    results.append(m(x, x, x, need_weights=need))
                    results.append(m(x, x, x, need_weights=need, attn_mask=causal(T, 5)
                                     if first else causal(T, 3)))  # fmt: skip
                results.append(m(x, x, x, need_weights=need))
        return results

    same_story(story)


def test_fully_masked_rows_are_not_numbers():
    def story(T):
        m = T.nn.MultiheadAttention(4, 1)
        x = draw(T, 3, 1, 4)
        mask = T.zeros(3, 3, dtype=T.bool)
        mask[1] = True
        out, weights = m(x, x, x, attn_mask=mask)
        return out.isnan().any(-1).tolist(), weights.isnan().tolist()

    same_story(story)


def test_text_and_state():
    def story(T):
        m = T.nn.MultiheadAttention(8, 4, add_bias_kv=True)
        other = T.nn.MultiheadAttention(8, 4, kdim=2, bias=False)
        return (
            repr(m), list(m.state_dict()), repr(other), list(other.state_dict()), m.head_dim,
            m.load_state_dict(m.state_dict()), other.q_proj_weight, m.bias_k,
        )  # fmt: skip

    same_story(story)


ERRORS = {
    "heads that do not divide": lambda t: t.nn.MultiheadAttention(7, 2),
    "no heads": lambda t: t.nn.MultiheadAttention(8, 0),
    "no width": lambda t: t.nn.MultiheadAttention(0, 2),
    "another width": lambda t: t.nn.MultiheadAttention(8, 2)(*[t.ones(3, 1, 6)] * 3),
    "four sizes": lambda t: t.nn.MultiheadAttention(8, 2)(*[t.ones(1, 3, 1, 8)] * 3),
    "key without a batch": lambda t: t.nn.MultiheadAttention(8, 2)(
        t.ones(3, 1, 8), t.ones(3, 8), t.ones(3, 8)
    ),
    "key with a batch": lambda t: t.nn.MultiheadAttention(8, 2)(
        t.ones(3, 8), t.ones(3, 1, 8), t.ones(3, 1, 8)
    ),
    "keys and values of two lengths": lambda t: t.nn.MultiheadAttention(8, 2)(
        t.ones(3, 1, 8), t.ones(4, 1, 8), t.ones(5, 1, 8)
    ),
    "two lengths and widths": lambda t: t.nn.MultiheadAttention(8, 2, kdim=4)(
        t.ones(3, 1, 8), t.ones(4, 1, 4), t.ones(5, 1, 8)
    ),
    "mask of a wrong size": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, attn_mask=t.ones(2, 3)
    ),
    "mask of a wrong size per head": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, attn_mask=t.ones(3, 3, 3)
    ),
    "mask of four sizes": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, attn_mask=t.ones(1, 1, 3, 3)
    ),
    "mask of integers": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, attn_mask=t.ones(3, 3, dtype=t.int64)
    ),
    "padding of a wrong size": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, key_padding_mask=t.ones(1, 4)
    ),
    "padding without a batch": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, key_padding_mask=t.ones(3)
    ),
    "padding of integers": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, key_padding_mask=t.ones(1, 3, dtype=t.int64)
    ),
    "a hint without a mask": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, is_causal=True
    ),
    "a hint without weights": lambda t: t.nn.MultiheadAttention(8, 2)(
        *[t.ones(3, 1, 8)] * 3, is_causal=True, need_weights=False
    ),
    "another dtype": lambda t: t.nn.MultiheadAttention(8, 2)(*[t.ones(3, 1, 8).double()] * 3),
    "sdpa with mask and causal": lambda t: t.nn.functional.scaled_dot_product_attention(
        *[t.ones(1, 3, 4)] * 3, attn_mask=t.ones(3, 3), is_causal=True
    ),
    "sdpa of two widths": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(1, 3, 4), t.ones(1, 3, 5), t.ones(1, 3, 4)
    ),
    "sdpa of two dtypes": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(1, 3, 4), t.ones(1, 3, 4).double(), t.ones(1, 3, 4)
    ),
    "sdpa of vectors": lambda t: t.nn.functional.scaled_dot_product_attention(*[t.ones(4)] * 3),
    "sdpa mask of another dtype": lambda t: t.nn.functional.scaled_dot_product_attention(
        *[t.ones(1, 3, 4)] * 3, attn_mask=t.ones(3, 3, dtype=t.int64)
    ),
    "sdpa heads that do not divide": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(1, 3, 2, 4), t.ones(1, 2, 2, 4), t.ones(1, 2, 2, 4), enable_gqa=True
    ),
    "sdpa of integers": lambda t: t.nn.functional.scaled_dot_product_attention(
        *[t.ones(1, 3, 4, dtype=t.int64)] * 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_says_what_pytorch_says(name):
    same_story(ERRORS[name])


# -- scaled dot-product attention -----------------------------------------------------------------

PRODUCTS = {
    "plain": lambda T: {},
    "causal": lambda T: {"is_causal": True},
    "bool": lambda T: {"attn_mask": causal(T, 4, 5).logical_not()},
    "added": lambda T: {"attn_mask": draw(T, 4, 5)},
    "per sample": lambda T: {"attn_mask": draw(T, 2, 1, 4, 5)},
    "scaled": lambda T: {"scale": 0.3},
    "negative scale": lambda T: {"scale": -0.3, "is_causal": True},
    "no scale": lambda T: {"scale": 0.0},
    "one key": lambda T: {"attn_mask": T.eye(4, 5, dtype=T.bool)},
}


@pytest.mark.parametrize("options", PRODUCTS)
@pytest.mark.parametrize("lead", [(2, 3), (2,), ()])
def test_products_of_queries_and_keys(options, lead):
    if options == "per sample" and lead != (2, 3):
        return

    def story(T):
        q, k, v = (leaf(draw(T, *lead, *s)) for s in ((4, 6), (5, 6), (5, 2)))
        out = T.nn.functional.scaled_dot_product_attention(q, k, v, **PRODUCTS[options](T))
        (out * draw(T, *out.shape)).sum().backward()
        return out, q.grad, k.grad, v.grad

    same_story(story, tolerance=1e-4)


def test_grouped_queries_share_keys():
    def story(T):
        q, k, v = leaf(draw(T, 1, 6, 4, 3)), leaf(draw(T, 1, 2, 5, 3)), leaf(draw(T, 1, 3, 5, 3))
        out = T.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        out.square().sum().backward()
        return out, q.grad, k.grad, v.grad

    same_story(story)


def test_rows_without_any_key_are_zero():
    def story(T):
        q = leaf(draw(T, 1, 3, 4))
        mask = T.zeros(3, 3, dtype=T.bool)
        mask[0, 1] = True
        out = T.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)
        out.square().sum().backward()
        added = T.full((3, 3), float("-inf"))
        added[0] = 0.0
        other = T.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=added)
        return out, q.grad, other

    same_story(story)


def test_dropout_in_products():
    def story(T):
        q = draw(T, 2, 3, 4)
        T.manual_seed(4)
        return T.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5)

    same_story(story)


# -- without PyTorch ------------------------------------------------------------------------------


def test_equal_keys_are_averaged():
    q, k = cresset.ones(1, 2, 4), cresset.zeros(1, 4, 4)
    v = cresset.arange(4.0).view(1, 4, 1)
    assert F.scaled_dot_product_attention(q, k, v).tolist() == [[[1.5], [1.5]]]
    mask = cresset.tensor([[True, True, False, False], [False, False, False, True]])
    assert F.scaled_dot_product_attention(q, k, v, mask).tolist() == [[[0.5], [3.0]]]
    assert F.scaled_dot_product_attention(q, k[:, :2], v[:, :2], is_causal=True).tolist() == [
        [[0.0], [0.5]]
    ]
