"""``nn.functional``: layers as plain functions.

Most of them are ops and live in ``cresset/ops``; this module is their table of contents, plus the
ones that need the random generator or combine several ops: dropout, attention, interpolation.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from cresset import dtypes
from cresset.ops import dropout as _drop
from cresset.ops.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    normalize,
    prelu,
    relu,
    relu6,
    rrelu,
    selu,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
)
from cresset.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from cresset.ops.avg_pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
)
from cresset.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from cresset.ops.ctc import ctc_loss
from cresset.ops.einsum import bilinear
from cresset.ops.elementwise import C_NAMES
from cresset.ops.embedding import embedding, embedding_bag, one_hot
from cresset.ops.grid import affine_grid, grid_sample
from cresset.ops.loss import (
    cross_entropy,
    gaussian_nll_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
)
from cresset.ops.margin_loss import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    margin_ranking_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    pdist,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from cresset.ops.math import sigmoid as _sigmoid
from cresset.ops.math import tanh as _tanh
from cresset.ops.matmul import linear
from cresset.ops.max_pool import (
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from cresset.ops.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from cresset.ops.padding import pad
from cresset.ops.pair_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    multi_margin_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from cresset.ops.pointwise import mul
from cresset.ops.rearrange import channel_shuffle, pixel_shuffle, pixel_unshuffle
from cresset.ops.resize import fold, interpolate, unfold, upsample
from cresset.ops.select import threshold
from cresset.ops.view import squeeze, unsqueeze
from cresset.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "channel_shuffle", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "ctc_loss", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "elu", "embedding", "embedding_bag", "feature_alpha_dropout", "fold",
    "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "gumbel_softmax",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "huber_loss",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear",
    "local_response_norm", "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d",
    "margin_ranking_loss", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "normalize", "one_hot",
    "pad", "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss",
    "prelu", "relu", "relu6", "rms_norm", "rrelu", "scaled_dot_product_attention", "selu",
    "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "triplet_margin_loss",
    "triplet_margin_with_distance_loss", "unfold", "upsample",
]  # fmt: skip


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``."""
    return _sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _tanh(input)


def _inplace(function: Any) -> Any:
    def with_underscore(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)

    with_underscore.__name__ = function.__name__ + "_"
    with_underscore.__doc__ = f"In-place ``{function.__name__}``."
    return with_underscore


relu_, elu_, leaky_relu_, celu_, selu_, hardtanh_, threshold_, rrelu_ = (
    _inplace(f) for f in (relu, elu, leaky_relu, celu, selu, hardtanh, threshold, rrelu)
)

# -- dropout ---------------------------------------------------------------------------------------


def _check_p(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements set to zero with probability ``p``, the others divided by 1 - p (in training).

    >>> import cresset as torch
    >>> torch.nn.functional.dropout(torch.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    _check_p(p)
    if not isinstance(input, Tensor):
        raise TypeError(
            f"dropout(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    return _drop.dropout_(input, p, training) if inplace else _drop.dropout(input, p, training)


def _feature_dropout(
    x: Tensor, p: float, training: bool, inplace: bool, batched: bool = True
) -> Tensor:
    """Whole channels dropped; without a batch the channels come first."""
    if batched:
        drop = _drop.feature_dropout_ if inplace else _drop.feature_dropout
        return drop(x, p, training)
    single = unsqueeze(x, 0)
    if inplace:
        _drop.feature_dropout_(single, p, training)
        return x
    return squeeze(_drop.feature_dropout(single, p, training), 0)


def _odd_dims(name: str, ndim: int, spatial: int) -> None:
    warnings.warn(
        f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an "
        "error in a future release. To retain the behavior and silence this warning, please use "
        f"dropout instead. Note that {name} exists to provide channel-wise dropout on inputs with "
        f"{spatial} spatial dimensions, a channel dimension, and an optional batch dimension (i.e. "
        f"{spatial + 1}D or {spatial + 2}D inputs).",
        stacklevel=3,
    )


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (n, c, l) or (c, l) inputs dropped."""
    _check_p(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _feature_dropout(input, p, training, inplace, input.dim() == 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (n, c, h, w) inputs dropped (Tompson et al., 2015)."""
    _check_p(p)
    if input.dim() not in (3, 4):
        _odd_dims("dropout2d", input.dim(), 2)
    elif input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
            "dim. This behavior will change in a future release to interpret the input as one "
            "without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
            UserWarning,
            stacklevel=2,
        )
    return _feature_dropout(input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (n, c, d, h, w) inputs dropped."""
    _check_p(p)
    if input.dim() not in (4, 5):
        _odd_dims("dropout3d", input.dim(), 3)
    return _feature_dropout(input, p, training, inplace, input.dim() == 5)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                  inplace: bool = False) -> Tensor:  # fmt: skip
    """Dropout for self-normalising networks (Klambauer et al., 2017)."""
    _check_p(p)
    return (_drop.alpha_dropout_ if inplace else _drop.alpha_dropout)(input, p, training)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                          inplace: bool = False) -> Tensor:  # fmt: skip
    """``alpha_dropout`` of whole channels."""
    _check_p(p)
    drop = _drop.feature_alpha_dropout_ if inplace else _drop.feature_alpha_dropout
    return drop(input, p, training)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10,
                   dim: int = -1) -> Tensor:  # fmt: skip
    """A sample of the Gumbel-softmax distribution (Jang et al., 2016); ``hard`` makes it
    one-hot."""
    exponential = logits.detach().new_empty(logits.shape).exponential_()  # type: ignore[attr-defined]
    soft = softmax((logits - exponential.log()) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]  # type: ignore[attr-defined]
    one = logits.detach().new_zeros(logits.shape).scatter_(dim, index, 1.0)  # type: ignore[attr-defined]
    return one - soft.detach() + soft


# -- attention -------------------------------------------------------------------------------------


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """``softmax(q k^T * scale + mask) v`` over the last two dimensions (Vaswani et al., 2017).

    Shapes: query (..., l, e), key (..., s, e), value (..., s, v). ``attn_mask`` is added, or where
    it is bool, false positions are left out; ``is_causal`` leaves out keys after the query.

    >>> import cresset as torch
    >>> q = torch.ones(1, 2, 4)
    >>> torch.nn.functional.scaled_dot_product_attention(q, q, q).shape
    torch.Size([1, 2, 4])
    """
    _check_attention(query, key, value, attn_mask, is_causal)
    if enable_gqa and key.dim() >= 3:
        heads = query.shape[-3]
        if heads % key.shape[-3] or heads % value.shape[-3]:
            raise RuntimeError(
                "Number of heads in key and value must divide the number of heads in \nquery."
            )
        key = key.repeat_interleave(heads // key.shape[-3], -3)  # type: ignore[attr-defined]
        value = value.repeat_interleave(heads // value.shape[-3], -3)  # type: ignore[attr-defined]
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = mul(query, factor) @ key.transpose(-2, -1)  # type: ignore[operator, attr-defined]
    if is_causal:
        rows, columns = scores.shape[-2:]
        later = scores.detach().new_ones((rows, columns), dtype=dtypes.bool_).triu(1)
        weights = softmax(scores.masked_fill(later, -math.inf), -1)
    elif attn_mask is None:
        weights = softmax(scores, -1)
    else:
        if attn_mask.dtype is dtypes.bool_:
            scores = scores.masked_fill(attn_mask.logical_not(), -math.inf)  # type: ignore[attr-defined]
        else:
            scores = scores + attn_mask
        # A row that may look at nothing gives zeros, with zeros as its gradient.
        blind = scores.detach().eq(-math.inf).all(-1, keepdim=True)
        weights = softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)  # type: ignore[attr-defined]
    if dropout_p > 0:
        if dropout_p > 1:
            raise RuntimeError(
                f"dropout probability has to be between 0 and 1, but got {dropout_p}"
            )
        weights = dropout(weights, dropout_p)
    return weights @ value  # type: ignore[operator]


def _check_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> None:
    if not q.dtype is k.dtype is v.dtype:
        names = [C_NAMES[x.dtype.name] for x in (q, k, v)]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{q.ndim} key.dim: {k.ndim} and value.dim: {v.ndim} instead."
        )
    if mask is None:
        return
    if mask.dtype not in (dtypes.bool_, dtypes.float32, q.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {C_NAMES[mask.dtype.name]} and  query.dtype: "
            f"{C_NAMES[q.dtype.name]} instead."
        )
    if causal:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )


def multi_head_attention_forward(*args: Any, **kwargs: Any) -> Any:
    """The computation inside ``nn.MultiheadAttention`` (see ``cresset/nn/attention.py``)."""
    from cresset.nn.attention import multi_head_attention_forward as forward

    return forward(*args, **kwargs)
