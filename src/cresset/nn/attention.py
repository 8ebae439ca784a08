"""Multi-head attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math
import warnings
from typing import Any

from cresset import dtypes
from cresset.nn import functional as F
from cresset.nn import init
from cresset.nn.linear import Linear
from cresset.nn.module import Module
from cresset.nn.parameter import Parameter
from cresset.ops.creation import empty, zeros
from cresset.ops.join import cat
from cresset.tensor import Tensor

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear under the name PyTorch prints for the output projection."""


class MultiheadAttention(Module):
    """Attention of several heads: ``concat(head_1, ...) W_o`` with
    ``head_i = softmax(q W_q (k W_k)^T / sqrt(d)) v W_v``.

    Shapes: query (l, n, e), key and value (s, n, e), or (n, l, e) with ``batch_first``, or without
    the batch. Masks: bool (True is left out) or added. Returns (output, weights or None).

    >>> import cresset as torch
    >>> x = torch.zeros(5, 2, 8)
    >>> out, weights = torch.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> out.shape, weights.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 5, 5]))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")

        def parameter(*shape: int) -> Parameter:
            return Parameter(empty(shape, device=device, dtype=dtype))

        if self._qkv_same_embed_dim:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
            self.register_parameter("q_proj_weight", None)
            self.register_parameter("k_proj_weight", None)
            self.register_parameter("v_proj_weight", None)
        else:
            self.q_proj_weight = parameter(embed_dim, embed_dim)
            self.k_proj_weight = parameter(embed_dim, self.kdim)
            self.v_proj_weight = parameter(embed_dim, self.vdim)
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = parameter(3 * embed_dim)
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        self.bias_k: Parameter | None
        self.bias_v: Parameter | None
        if add_bias_kv:
            self.bias_k, self.bias_v = parameter(1, 1, embed_dim), parameter(1, 1, embed_dim)
        else:
            self.bias_k = self.bias_v = None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        if self._qkv_same_embed_dim:
            init.xavier_uniform_(self.in_proj_weight)
        else:
            for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
        if self.bias_v is not None:
            init.xavier_normal_(self.bias_v)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None,
        average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        key_padding_mask, attn_mask = masks_to_add(query, key_padding_mask, attn_mask)
        batched = query.dim() == 3
        if self.batch_first and batched:
            same_kv, same_q = value is key, key is query
            query = query.transpose(1, 0)  # type: ignore[attr-defined]
            key = query if same_q else key.transpose(1, 0)  # type: ignore[attr-defined]
            value = key if same_kv else value.transpose(1, 0)  # type: ignore[attr-defined]
        separate: Any = {} if self._qkv_same_embed_dim else {
            "use_separate_proj_weight": True, "q_proj_weight": self.q_proj_weight,
            "k_proj_weight": self.k_proj_weight, "v_proj_weight": self.v_proj_weight,
        }  # fmt: skip
        out, weights = multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask, average_attn_weights=average_attn_weights,
            is_causal=is_causal, **separate,
        )  # fmt: skip
        if self.batch_first and batched:
            out = out.transpose(1, 0)  # type: ignore[attr-defined]
        return out, weights


def _additive(mask: Tensor | None, like: Tensor, name: str) -> Tensor | None:
    """A bool mask as -inf where it is True."""
    if mask is None or mask.dtype.is_floating_point:
        return mask
    if mask.dtype is not dtypes.bool_:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    return like.detach().new_zeros(mask.shape).masked_fill(mask, -math.inf)  # type: ignore[attr-defined]


def masks_to_add(
    query: Tensor, padding: Tensor | None, mask: Tensor | None,
    names: tuple[str, str] = ("key_padding_mask", "attn_mask"), level: int = 4,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """The padding mask and the attention mask as numbers to add; warns if their kinds differ."""
    if padding is not None and mask is not None and padding.dtype is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {names[0]} and {names[1]} is deprecated. Use same type for "
            "both instead.",
            stacklevel=level,
        )
    return _additive(padding, query, names[0]), _additive(mask, query, names[1])


def _check_dims(
    query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None,
    heads: int,
) -> None:  # fmt: skip
    """AssertionError in PyTorch's words unless all or none of the inputs have a batch."""
    ndim = query.dim()
    if ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor"
        )
    start = f"For {'batched' if ndim == 3 else 'unbatched'} ({ndim}-D) `query`, expected"
    if key.dim() != ndim or value.dim() != ndim:
        raise AssertionError(
            f"{start} `key` and `value` to be {ndim}-D but found {key.dim()}-D and "
            f"{value.dim()}-D tensors respectively"
        )
    if padding is not None and padding.dim() != ndim - 1:
        raise AssertionError(
            f"{start} `key_padding_mask` to be `None` or {ndim - 1}-D but found {padding.dim()}-D "
            "tensor instead"
        )
    if mask is None:
        return
    if mask.dim() not in (2, 3):
        raise AssertionError(
            f"{start} `attn_mask` to be `None`, 2-D or 3-D but found {mask.dim()}-D tensor instead"
        )
    if ndim == 2 and mask.dim() == 3:
        wanted = (heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != wanted:
            raise AssertionError(f"Expected `attn_mask` shape to be {wanted} but got {mask.shape}")


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
    bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
    out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
    need_weights: bool = True, attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The computation of ``MultiheadAttention`` on (l, n, e) inputs (or (l, e) without a batch)."""
    _check_dims(query, key, value, key_padding_mask, attn_mask, num_heads)
    batched = query.dim() == 3
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))  # type: ignore[attr-defined]
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)  # type: ignore[attr-defined]
    length, n, width = query.shape
    padding, mask = masks_to_add(query, key_padding_mask, attn_mask, level=3)
    if is_causal and mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    # The hint stands for the mask where nothing else needs it.
    causal = is_causal and padding is None and not need_weights
    if causal:
        mask = None
    if width != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}"
        )
    head = width // num_heads
    if head * num_heads != width:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                f"{value.shape[:2]}"
            )
    elif key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if use_separate_proj_weight:
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)  # type: ignore[attr-defined]
        q = F.linear(query, q_proj_weight, biases[0])  # type: ignore[arg-type]
        k = F.linear(key, k_proj_weight, biases[1])  # type: ignore[arg-type]
        v = F.linear(value, v_proj_weight, biases[2])  # type: ignore[arg-type]
    else:
        q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    if mask is not None:
        mask = _per_head(mask, n * num_heads, length, key.shape[0])
    if bias_k is not None and bias_v is not None:
        k = cat([k, bias_k.repeat(1, n, 1)])  # type: ignore[attr-defined]
        v = cat([v, bias_v.repeat(1, n, 1)])  # type: ignore[attr-defined]
        mask = None if mask is None else F.pad(mask, (0, 1))
        padding = None if padding is None else F.pad(padding, (0, 1))
    if add_zero_attn:
        blank = zeros(1, n, width, dtype=k.dtype, device=k.device)
        k, v = cat([k, blank]), cat([v, blank])
        mask = None if mask is None else F.pad(mask, (0, 1))
        padding = None if padding is None else F.pad(padding, (0, 1))
    q = q.reshape(length, n * num_heads, head).transpose(0, 1)  # type: ignore[attr-defined]
    k = k.reshape(k.shape[0], n * num_heads, head).transpose(0, 1)  # type: ignore[attr-defined]
    v = v.reshape(v.shape[0], n * num_heads, head).transpose(0, 1)  # type: ignore[attr-defined]
    source = k.shape[1]
    if padding is not None:
        for i, wanted in enumerate((n, source)):
            if padding.shape[i] != wanted:
                raise AssertionError(
                    f"Expected key_padded_mask.shape[{i}] to be {wanted}, but got "
                    f"{padding.shape[i]}"
                )
        wide = padding.reshape(n, 1, 1, source).expand(-1, num_heads, -1, -1)  # type: ignore[attr-defined]
        wide = wide.reshape(n * num_heads, 1, source)
        mask = wide if mask is None else mask + wide  # type: ignore[operator]
    drop = dropout_p if training else 0.0
    weights: Any = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)) @ k.transpose(-2, -1)
        weights = F.softmax(scores if mask is None else scores + mask, -1)
        if drop:
            weights = F.dropout(weights, drop)
        out = weights @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, mask, drop, causal)
    out = out.transpose(0, 1).reshape(length * n, width)  # type: ignore[attr-defined]
    out = F.linear(out, out_proj_weight, out_proj_bias).reshape(length, n, width)  # type: ignore[attr-defined]
    shown: Tensor | None = None
    if need_weights:
        shown = weights.reshape(n, num_heads, length, source)
        if average_attn_weights:
            shown = shown.mean(1)  # type: ignore[union-attr]
    if not batched:
        out = out.squeeze(1)
        shown = None if shown is None else shown.squeeze(0)  # type: ignore[attr-defined]
    return out, shown


def _per_head(mask: Tensor, heads: int, length: int, source: int) -> Tensor:
    """The mask with a first dimension for the heads of all samples; its size is checked."""
    if mask.dim() == 2:
        if tuple(mask.shape) != (length, source):
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {mask.shape}, but should be {(length, source)}."
            )
        return mask.unsqueeze(0)  # type: ignore[attr-defined]
    if tuple(mask.shape) != (heads, length, source):
        raise RuntimeError(
            f"The shape of the 3D attn_mask is {mask.shape}, but should be "
            f"{(heads, length, source)}."
        )
    return mask


def _project(q: Tensor, k: Tensor, v: Tensor, weight: Any, bias: Any) -> tuple:
    """Input projections; one product where query, key and value are the same."""
    if q is k and k is v:
        return F.linear(q, weight, bias).chunk(3, -1)  # type: ignore[attr-defined]
    weights = weight.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(F.linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True))
