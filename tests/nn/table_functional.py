"""Option grids of ``nn.functional``: rows for the op table's checks, and calls that must fail.

A row is an expression over ``F``, ``t`` (the library) and the operands ``a``, ``b``, ``c``, ``d``,
whose domains and shapes are given beside it.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ..ops.harness import OpRow

ROWS: list[OpRow] = []


def classes(bound: int) -> Any:
    """Class numbers below a bound."""
    return lambda rng, shape: rng.integers(0, bound, shape)


def bits(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Truth values as floats."""
    return (rng.random(shape) < 0.5).astype(float)


def signs(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """-1 or 1."""
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0)


def between(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Probabilities away from 0 and 1."""
    return rng.uniform(0.05, 0.95, shape)


def distinct(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Numbers no two of which are close: maxima have a derivative."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) * 0.37 - 3.0


def row(expression: str, *operands: tuple, **options: Any) -> None:
    """Add the row of an expression; an operand is ``(domain, shape)``."""

    def call(t: Any, *tensors: Any) -> Any:
        names = dict(zip("abcd", tensors, strict=False))
        return eval(code, {"t": t, "F": t.nn.functional, **names})

    code = compile(expression, expression, "eval")
    options.setdefault("dtypes", ("float32",))
    domains, shapes = zip(*operands, strict=True)
    ROWS.append(OpRow(expression, call, values=domains, shapes=(shapes,), **options))


def rows(operands: tuple, *expressions: str, **options: Any) -> None:
    for expression in expressions:
        row(expression, *operands, **options)


# -- convolution ----------------------------------------------------------------------------------

x1, w1, v2 = ("real", (2, 4, 9)), ("real", (6, 4, 3)), ("real", (6,))
for stride, padding, dilation in product((1, 2), (0, 2, "'same'", "'valid'"), (1, 2)):
    if not (stride == 2 and padding == "'same'"):
        row(f"F.conv1d(a, b, c, {stride}, {padding}, {dilation})", x1, w1, v2)
rows((x1, ("real", (6, 2, 3)), v2), "F.conv1d(a, b, c, groups=2)",
     "F.conv1d(a, b, stride=2, groups=2)", "F.conv1d(a, b, padding='same', groups=2)")  # fmt: skip
row("F.conv1d(a, b, c, padding='same')", x1, ("real", (6, 4, 2)), v2)
row("F.conv1d(a, b, c, padding='same', dilation=3)", x1, ("real", (6, 4, 2)), v2)
row("F.conv1d(a, b)", ("real", (4, 9)), w1)
row("F.conv1d(a, b, (1,), [1], (2,))", x1, w1)
row("F.conv1d(a, b)", ("real", (0, 4, 9)), w1)
x2, w2 = ("real", (2, 4, 6, 7)), ("real", (4, 2, 3, 2))
for stride, padding, dilation in product((1, (2, 1)), (1, (0, 2)), (1, (1, 2))):
    row(f"F.conv2d(a, b, c, {stride}, {padding}, {dilation}, 2)", x2, w2, ("real", (4,)))
rows((x2, ("real", (4, 1, 3, 3)), ("real", (4,))), "F.conv2d(a, b, c, groups=4)",
     "F.conv2d(a, b, c, 2, 'valid', groups=4)", "F.conv2d(a, b, c, 1, 'same', 2, 4)",
     "F.conv2d(a, b, padding='same', groups=4)")  # fmt: skip
row("F.conv2d(a, b, padding='same')", x2, ("real", (3, 4, 2, 4)))
row("F.conv2d(a, b)", ("real", (4, 5, 5)), ("real", (3, 4, 1, 1)))
row("F.conv2d(a, b, stride=3)", x2, ("real", (3, 4, 1, 1)))
x3, w3 = ("real", (1, 2, 4, 5, 5)), ("real", (4, 1, 2, 3, 2))
for stride, padding in product((1, (2, 1, 2)), (0, (1, 0, 1), "'same'")):
    if not (stride != 1 and padding == "'same'"):
        row(f"F.conv3d(a, b, c, {stride}, {padding}, groups=2)", x3, w3, ("real", (4,)))
for stride, padding, extra, dilation, groups in product((1, 3), (0, 1), (0, 1), (1, 2), (1, 2)):
    if extra < max(stride, dilation):
        row(f"F.conv_transpose1d(a, b, c, {stride}, {padding}, {extra}, {groups}, {dilation})",
            ("real", (2, 4, 5)), ("real", (4, 6 // groups, 3)), v2)  # fmt: skip
rows((("real", (2, 4, 3, 4)), ("real", (4, 3, 2, 3)), ("real", (3,))),
     "F.conv_transpose2d(a, b, c)", "F.conv_transpose2d(a, b, c, (2, 3), (1, 0), (1, 2))",
     "F.conv_transpose2d(a, b, stride=2, dilation=(1, 2))")  # fmt: skip
row("F.conv_transpose2d(a, b, groups=4)", ("real", (4, 3, 4)), ("real", (4, 1, 2, 3)))
rows((("real", (1, 2, 2, 3, 3)), ("real", (2, 2, 2, 2, 2)), ("real", (2,))),
     "F.conv_transpose3d(a, b, c)",
     "F.conv_transpose3d(a, b, c, 2, 1, (1, 0, 1))")  # fmt: skip

# -- pooling --------------------------------------------------------------------------------------

for d, size in ((1, (9,)), (2, (7, 6)), (3, (5, 4, 6))):
    shape = (2, 3, *size)
    for kernel, stride, padding, ceil in product((2, 3), (None, 1, 2), (0, 1), (False, True)):
        if d == 3 and (stride == 1 or kernel == 3 and not ceil):
            continue
        row(f"F.max_pool{d}d(a, {kernel}, {stride}, {padding}, 1, {ceil}, return_indices=True)",
            (distinct, shape))  # fmt: skip
        for include in (True, False) if padding else (True,):
            row(f"F.avg_pool{d}d(a, {kernel}, {stride}, {padding}, {ceil}, {include})",
                ("real", shape))  # fmt: skip
    row(f"F.max_pool{d}d(a, 2, 2, 0, 2)", (distinct, shape))
    row(f"F.max_pool{d}d(a, 3, 2, 1, 2, True, True)", (distinct, (2, *shape[1:])))
    row(f"F.max_pool{d}d(a, 2)", (distinct, shape[1:]))
    row(f"F.max_pool{d}d(a, {(2,) * d}, stride={[1] * d})", (distinct, shape))
    row(f"F.avg_pool{d}d(a, 2)", ("real", shape[1:]))
    row(f"F.avg_pool{d}d(a, {(3,) + (2,) * (d - 1)}, {(1,) * d}, padding={(1,) * d})",
        ("real", shape))  # fmt: skip
    if d > 1:
        row(f"F.avg_pool{d}d(a, 2, divisor_override=3)", ("real", shape))
        row(f"F.avg_pool{d}d(a, 3, 2, 1, True, False, 5)", ("real", shape))
    row(f"F.lp_pool{d}d(a, 2, 2)", ("positive", shape))
    row(f"F.lp_pool{d}d(a, 1.5, 2, 1)", ("positive", shape))
    row(f"F.lp_pool{d}d(a, 3., 3, 2, True)", ("positive", shape))
    for wanted in (1, 2, 3, (3, None, 2)[:d], (1,) * d, (2, 3, 1)[:d]):
        if d == 1 and isinstance(wanted, tuple):
            continue
        row(f"F.adaptive_avg_pool{d}d(a, {wanted})", ("real", shape))
        row(f"F.adaptive_max_pool{d}d(a, {wanted}, return_indices=True)", (distinct, shape))
    row(f"F.adaptive_avg_pool{d}d(a, 2)", ("real", shape[1:]))
    row(f"F.adaptive_max_pool{d}d(a, 2)", (distinct, shape[1:]))
    row(f"F.adaptive_avg_pool{d}d(a, 11)", ("real", shape))
    unpool = f"F.max_unpool{d}d(*F.max_pool{d}d(a, 2, return_indices=True), 2"
    row(unpool + ")", (distinct, shape))
    row(unpool + f", output_size={size})", (distinct, shape))
    row(unpool + f", None, 0, {shape})", (distinct, shape))

# -- padding --------------------------------------------------------------------------------------

for mode in ("reflect", "replicate", "circular"):
    row(f"F.pad(a, (2, 1), '{mode}')", ("real", (2, 3, 4)))
    row(f"F.pad(a, (2, 1), '{mode}')", ("real", (3, 4)))
    row(f"F.pad(a, (2, 1, 0, 3), '{mode}')", ("real", (2, 3, 4, 5)))
    row(f"F.pad(a, (1, 1, 0, 2, 1, 0), '{mode}')", ("real", (1, 2, 3, 3, 4)))
rows((("real", (2, 3, 4)),), "F.pad(a, (1, 2))", "F.pad(a, (1, 2, 0, 1), value=2.5)",
     "F.pad(a, (-1, 2))", "F.pad(a, (0, 0, -1, -1, 1, 0), 'constant', -1)",
     "F.pad(a, (-1, 1), 'circular')", "F.pad(a, (-1, 1), 'replicate')",
     "F.pad(a, (1, -1), 'reflect')", "F.pad(a, ())")  # fmt: skip

# -- resizing and patches -------------------------------------------------------------------------

for mode in ("nearest", "nearest-exact"):
    row(f"F.interpolate(a, 7, mode='{mode}')", ("real", (1, 2, 4)))
    row(f"F.interpolate(a, scale_factor=0.6, mode='{mode}')", ("real", (1, 2, 9)))
    row(f"F.interpolate(a, (5, 9), mode='{mode}')", ("real", (1, 2, 4, 6)))
    row(f"F.interpolate(a, scale_factor=(1.5, 0.7), mode='{mode}')", ("real", (1, 2, 4, 6)))
    row(f"F.interpolate(a, 3, mode='{mode}')", ("real", (1, 2, 2, 4, 5)))
for mode, shape in (("linear", (1, 2, 5)), ("bilinear", (1, 2, 4, 5)), ("bicubic", (1, 2, 4, 5)),
                    ("trilinear", (1, 2, 3, 4, 4))):  # fmt: skip
    for align, how in product((False, True), ("7", "2", "None, 1.7", "1", "None, 2")):
        row(f"F.interpolate(a, {how}, mode='{mode}', align_corners={align})", ("real", shape))
    row(f"F.interpolate(a, None, 1.7, mode='{mode}', recompute_scale_factor=True)",
        ("real", shape))  # fmt: skip
row("F.interpolate(a, 3, mode='area')", ("real", (1, 2, 7)))
row("F.interpolate(a, (3, 2), mode='area')", ("real", (1, 2, 7, 5)))
row("F.interpolate(a, None, 0.5, mode='area')", ("real", (1, 2, 4, 4, 6)))
grid = (lambda rng, shape: rng.uniform(-1.3, 1.3, shape), (2, 3, 4, 2))
for mode, padding, align in product(("bilinear", "nearest", "bicubic"),
                                    ("zeros", "border", "reflection"), (False, True)):  # fmt: skip
    row(f"F.grid_sample(a, b, '{mode}', '{padding}', {align})", ("real", (2, 3, 5, 4)), grid,
        double=False)  # fmt: skip
cube = (lambda rng, shape: rng.uniform(-1.3, 1.3, shape), (1, 2, 3, 4, 3))
for mode, padding in product(("bilinear", "nearest"), ("zeros", "border", "reflection")):
    row(f"F.grid_sample(a, b, '{mode}', '{padding}', False)", ("real", (1, 2, 4, 3, 5)), cube,
        double=False)  # fmt: skip
for align in (True, False):
    row(f"F.affine_grid(a, (2, 3, 4, 5), {align})", ("real", (2, 2, 3)))
    row(f"F.affine_grid(a, [1, 1, 2, 3, 4], {align})", ("real", (1, 3, 4)))
rows((("real", (2, 3, 5, 6)),), "F.unfold(a, 2)", "F.unfold(a, (2, 3), 1, 1, 2)",
     "F.unfold(a, 2, dilation=(1, 2), padding=(1, 0), stride=(2, 1))")  # fmt: skip
row("F.unfold(a, 2)", ("real", (3, 5, 6)))
row("F.fold(a, (4, 5), 2)", ("real", (2, 12, 12)))
row("F.fold(a, (4, 5), (2, 1), 1, (1, 0), 2)", ("real", (2, 6, 9)))
row("F.fold(a, (3, 3), 2)", ("real", (8, 4)))
rows((("real", (1, 8, 2, 3)),), "F.pixel_shuffle(a, 2)", "F.channel_shuffle(a, 4)",
     "F.channel_shuffle(a, 1)")  # fmt: skip
row("F.pixel_unshuffle(a, 2)", ("real", (1, 2, 4, 6)))
row("F.channel_shuffle(a, 2)", ("real", (2, 4, 3)))

# -- normalisation --------------------------------------------------------------------------------

image, channel = ("real", (3, 4, 5)), ("real", (4,))
rows((image, channel, channel), "F.batch_norm(a, None, None, b, c, True)",
     "F.batch_norm(a, None, None, b, None, True)",
     "F.batch_norm(a, None, None, training=True, eps=0.1)",
     "F.instance_norm(a)", "F.instance_norm(a, weight=b, bias=c, eps=1e-3)",
     "F.instance_norm(a, weight=b)", "F.group_norm(a, 2)", "F.group_norm(a, 4, b, c)",
     "F.group_norm(a, 1, b)")  # fmt: skip
row("F.batch_norm(a, None, None, None, c, True)", image, channel, channel, double=False)
row("F.group_norm(a, 2, None, c, 0.1)", image, channel, channel, grad=())
row("F.batch_norm(a, b.detach(), c.detach())", image, channel, ("positive", (4,)))
row(
    "F.batch_norm(a, b.detach(), c.detach(), d, None, False, 0.1, 0.1)",
    image,
    channel,
    ("positive", (4,)),
    channel,
)
row(
    "F.instance_norm(a, b.detach(), c.detach(), use_input_stats=False)",
    image,
    channel,
    ("positive", (4,)),
)
last = ("real", (5,))
rows((image, last, last), "F.layer_norm(a, (5,))", "F.layer_norm(a, [5], b)",
     "F.layer_norm(a, (5,), b, c)",
     "F.layer_norm(a, (4, 5))", "F.rms_norm(a, (5,))", "F.rms_norm(a, (5,), b, 0.1)",
     "F.rms_norm(a, (4, 5), eps=1e-3)", "F.rms_norm(a, [5], b)")  # fmt: skip
row("F.layer_norm(a, (5,), None, c, 0.1)", image, last, last, double=False)
rows((image,), "F.local_response_norm(a, 3)", "F.local_response_norm(a, 2, 0.5, 0.3, 2.0)",
     "F.normalize(a)", "F.normalize(a, 1.0, 0)", "F.normalize(a, dim=(1, 2))",
     "F.normalize(a, float('inf'), -1)")  # fmt: skip
row("F.local_response_norm(a, 3)", ("real", (2, 4, 3, 2)))

# -- losses ---------------------------------------------------------------------------------------

REDUCTIONS = ("none", "mean", "sum")
scores, labels, weights = ("real", (4, 3)), (classes(3), (4,)), ("positive", (3,))
for reduction in REDUCTIONS:
    r = f"reduction='{reduction}'"
    rows((("real", (4, 3)), ("real", (4, 3))), f"F.mse_loss(a, b, {r})", f"F.l1_loss(a, b, {r})",
         f"F.smooth_l1_loss(a, b, {r}, beta=0.7)", f"F.smooth_l1_loss(a, b, {r}, beta=0.0)",
         f"F.huber_loss(a, b, {r}, delta=0.6)", f"F.kl_div(a, b, {r}, log_target=True)",
         f"F.poisson_nll_loss(a, b, {r})")  # fmt: skip
    row(f"F.mse_loss(a, b, {r}, weight=c)", scores, scores, ("positive", (4, 3)))
    row(f"F.l1_loss(a, b, {r}, weight=c)", scores, scores, ("positive", (4, 3)))
    row(f"F.huber_loss(a, b, {r}, weight=c)", scores, scores, ("positive", (4, 3)))
    row(f"F.poisson_nll_loss(a, b, log_input=False, full=True, {r})", (between, (4, 3)),
        ("positive", (4, 3)))  # fmt: skip
    row(f"F.kl_div(a, b, {r})", scores, (between, (4, 3)))
    rows(((between, (4, 3)), (between, (4, 3)), ("positive", (3,))),
         f"F.binary_cross_entropy(a, b, {r})",
         f"F.binary_cross_entropy(a, b, c.detach(), {r})")  # fmt: skip
    rows((scores, (between, (4, 3)), ("positive", (3,))),
         f"F.binary_cross_entropy_with_logits(a, b, {r})",
         f"F.binary_cross_entropy_with_logits(a, b, c.detach(), {r})",
         f"F.binary_cross_entropy_with_logits(a, b, pos_weight=c.detach(), {r})",
         f"F.cross_entropy(a, b, {r})",
         f"F.cross_entropy(a, b, c.detach(), {r}, label_smoothing=0.3)",
         f"F.cross_entropy(a, b, c.detach(), {r})")  # fmt: skip
    for options in ("", ", c.detach()", ", ignore_index=1", ", c.detach(), ignore_index=2"):
        row(f"F.nll_loss(a, b{options}, {r})", scores, labels, weights)
        for smooth in ("", ", label_smoothing=0.2"):
            row(f"F.cross_entropy(a, b{options}, {r}{smooth})", scores, labels, weights)
    for shape in ((2, 3, 4), (2, 3, 2, 3), (2, 3, 2, 1, 2)):
        target = (classes(3), (shape[0], *shape[2:]))
        rows((("real", shape), target, weights), f"F.nll_loss(a, b, c.detach(), {r})",
             f"F.cross_entropy(a, b, {r})", f"F.cross_entropy(a, b, c.detach(), {r}, "
             "ignore_index=1, label_smoothing=0.1)")  # fmt: skip
        rows(
            (("real", shape), (between, shape), weights), f"F.cross_entropy(a, b, c.detach(), {r})"
        )
    rows((("real", (3,)), (classes(3), ())), f"F.nll_loss(a, b, {r})",
         f"F.cross_entropy(a, b, {r}, label_smoothing=0.1)")  # fmt: skip
    row(f"F.cross_entropy(a, b, {r})", ("real", (3,)), (between, (3,)))
    rows((scores, (signs, (4, 3))), f"F.soft_margin_loss(a, b.detach(), {r})",
         f"F.hinge_embedding_loss(a, b, 0.7, {r})")  # fmt: skip
    row(f"F.margin_ranking_loss(a, b, c, 0.4, {r})", scores, scores, (signs, (4, 3)))
    row(f"F.cosine_embedding_loss(a, b, c, 0.2, {r})", scores, scores, (signs, (4,)))
    rows((scores, scores, scores), f"F.triplet_margin_loss(a, b, c, {r})",
         f"F.triplet_margin_loss(a, b, c, 2.0, 1.0, swap=True, {r})",
         f"F.triplet_margin_with_distance_loss(a, b, c, {r})",
         f"F.triplet_margin_with_distance_loss(a, b, c, margin=0.5, swap=True, {r}, "
         "distance_function=lambda x, y: (x - y).abs().sum(-1))")  # fmt: skip
    rows((scores, labels, weights), f"F.multi_margin_loss(a, b, {r})",
         f"F.multi_margin_loss(a, b, 2, 0.6, c.detach(), {r})", double=False)  # fmt: skip
    rows((scores, (bits, (4, 3)), weights), f"F.multilabel_soft_margin_loss(a, b, {r})",
         f"F.multilabel_soft_margin_loss(a, b, c, {r})")  # fmt: skip
    ranks = (lambda rng, shape: np.array([[2, 0, -1], [1, -1, 0], [-1, 1, 2], [0, 1, 2]]), (4, 3))
    row(f"F.multilabel_margin_loss(a, b, {r})", scores, ranks, double=False)
    row(f"F.multilabel_margin_loss(a, b, {r})", ("real", (3,)),
        (lambda rng, shape: np.array([2, -1, 0]), (3,)), double=False)  # fmt: skip
    for full in (True, False):
        row(f"F.gaussian_nll_loss(a, b, c, {full}, {r})", scores, scores, ("positive", (4, 3)))
    row(f"F.gaussian_nll_loss(a, b, c, {r})", scores, scores, ("positive", (4, 1)))
    log_probs = (lambda rng, shape: np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1])),
                 (7, 3, 5))  # fmt: skip
    targets = (lambda rng, shape: rng.integers(1, 5, shape), (3, 3))
    rows((log_probs, targets), f"F.ctc_loss(a, b, (7, 6, 5), (3, 2, 1), {r})",
         f"F.ctc_loss(a, b, t.tensor([7, 7, 2]), t.tensor([3, 2, 3]), zero_infinity=True, {r})",
         double=False)  # fmt: skip
    row(f"F.ctc_loss(a, b, t.tensor([7, 7, 7]), t.tensor([2, 3, 1]), blank=4, {r})", log_probs,
        (classes(4), (6,)), double=False)  # fmt: skip
row("F.kl_div(a, b, reduction='batchmean')", scores, (between, (4, 3)))
for options in ("size_average=False", "reduce=False", "size_average=True",
                "size_average=False, reduce=True", "reduce=True"):  # fmt: skip
    row(f"F.mse_loss(a, b, {options})", scores, scores)
    row(f"F.cross_entropy(a, b, {options})", scores, labels)
    row(f"F.kl_div(a, b, {options})", scores, (between, (4, 3)))
row("F.mse_loss(a, b)", ("real", (4, 3)), ("real", (3,)))
row("F.l1_loss(a, b)", ("real", (4, 1)), ("real", (3,)))
rows((scores, scores), "F.cosine_similarity(a, b)", "F.cosine_similarity(a, b, 0, 0.5)",
     "F.pairwise_distance(a, b)", "F.pairwise_distance(a, b, 1.0, keepdim=True)",
     "F.pairwise_distance(a, b, float('inf'))")  # fmt: skip
rows((scores,), "F.pdist(a)", "F.pdist(a, 1.0)", "F.pdist(a, 3.0)", "F.pdist(a, float('inf'))",
     double=False)  # fmt: skip
row("F.bilinear(a, b, c, d)", ("real", (4, 3)), ("real", (4, 2)), ("real", (5, 3, 2)),
    ("real", (5,)))  # fmt: skip
row("F.linear(a, b)", ("real", (3,)), ("real", (2, 3)))
row("F.linear(a, b, c)", ("real", (2, 2, 3)), ("real", (2, 3)), ("real", (2,)))
row("F.linear(a, b)", ("real", (2, 3)), ("real", (3,)))

# -- embedding bags -------------------------------------------------------------------------------

bag, table = (classes(5), (3, 4)), ("real", (5, 2))
for mode in ("sum", "mean", "max"):
    row(f"F.embedding_bag(a, b, mode='{mode}')", bag, table, double=False)
    row(f"F.embedding_bag(a, b, mode='{mode}', padding_idx=2)", bag, table, double=False)
    row(f"F.embedding_bag(a, b, t.tensor([0, 2, 2, 5]), mode='{mode}')", (classes(5), (7,)), table,
        double=False)  # fmt: skip
    row(f"F.embedding_bag(a, b, t.tensor([0, 3, 7]), mode='{mode}', include_last_offset=True)",
        (classes(5), (7,)), table, double=False)  # fmt: skip
row("F.embedding_bag(a, b, mode='sum', per_sample_weights=c)", bag, table, ("real", (3, 4)),
    double=False)  # fmt: skip
row("F.embedding_bag(a, b, mode='sum', max_norm=1.0)", bag, table, grad=())
