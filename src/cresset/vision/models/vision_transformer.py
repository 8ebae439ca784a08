"""Vision Transformer: an image as a sentence of patches.

The image is cut into square patches, each mapped to a vector by one convolution; a learnt vector
for the class goes in front, a learnt position is added, a transformer encoder follows, and one
linear layer reads the class's vector.

| model | patch | layers | heads | width | inner width | meant for images of |
|---|---|---|---|---|---|---|
| vit_b_16, vit_b_32 | 16, 32 | 12 | 12 | 768 | 3072 | 224 |
| vit_l_16, vit_l_32 | 16, 32 | 24 | 16 | 1024 | 4096 | 224 |
| vit_h_14 | 14 | 32 | 16 | 1280 | 5120 | 518 |

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words", https://arxiv.org/abs/2010.11929,
table 1; a stem of several convolutions: Xiao et al., https://arxiv.org/abs/2106.14881
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from cresset import nn
from cresset.nn import functional as F
from cresset.ops.creation import empty, zeros
from cresset.ops.join import cat
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import _ovewrite_named_param, builder, load_weights
from cresset.vision.ops.misc import MLP, Conv2dNormActivation

__all__ = ["ViT_B_16_Weights", "ViT_B_32_Weights", "ViT_H_14_Weights", "ViT_L_16_Weights",
           "ViT_L_32_Weights", "VisionTransformer", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16",
           "vit_l_32"]  # fmt: skip

Norm = Callable[..., nn.Module]
_NORM: Norm = partial(nn.LayerNorm, eps=1e-6)
SWAG_LICENSE = "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"


class ConvStemConfig(NamedTuple):
    """One convolution of a stem that replaces the cutting into patches."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Norm = nn.BatchNorm2d
    activation_layer: Norm = nn.ReLU


class MLPBlock(MLP):
    """Linear, gelu, dropout, linear, dropout.

    Also reads checkpoints of version 1, which called the layers ``linear_1`` and ``linear_2``.
    """

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, dropout=dropout)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.normal_(m.bias, std=1e-6)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any
    ) -> None:
        if local_metadata.get("version", None) in (None, 1):
            for old, new in (("linear_1", "0"), ("linear_2", "3")):
                for name in ("weight", "bias"):
                    if f"{prefix}{old}.{name}" in state_dict:
                        value = state_dict.pop(f"{prefix}{old}.{name}")
                        state_dict[f"{prefix}{new}.{name}"] = value
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def _check_sequence(input: Tensor) -> None:
    if input.dim() != 3:
        raise AssertionError(f"Expected (batch_size, seq_length, hidden_dim) got {input.shape}")


class EncoderBlock(nn.Module):
    """Attention and a two-layer network, each after a norm and added to what it was given."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = _NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        _check_sequence(input)
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """(N, seq_length, hidden_dim) to the same: positions, ``num_layers`` blocks, a norm."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = _NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            OrderedDict(
                (
                    f"encoder_layer_{i}",
                    EncoderBlock(
                        num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer
                    ),
                )
                for i in range(num_layers)
            )
        )
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        _check_sequence(input)
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """(N, 3, image_size, image_size) to (N, num_classes).

    Args:
        image_size: edge of the images, a multiple of ``patch_size``.
        patch_size: edge of a patch.
        num_layers, num_heads, hidden_dim, mlp_dim: the encoder's, as in the table above.
        dropout, attention_dropout: in the encoder.
        num_classes: outputs.
        representation_size: width of a layer with tanh before the last; None for no such layer.
        norm_layer: makes the encoder's norms.
        conv_stem_configs: convolutions that make the vectors, in place of one over each patch.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Norm = _NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size != 0:
            raise AssertionError("Input shape indivisible by patch size!")
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.num_classes = num_classes
        self.representation_size = representation_size
        self.norm_layer = norm_layer
        self.conv_proj = self._projection(conv_stem_configs)
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(
            self.seq_length,
            num_layers,
            num_heads,
            hidden_dim,
            mlp_dim,
            dropout,
            attention_dropout,
            norm_layer,
        )
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is None:
            heads["head"] = nn.Linear(hidden_dim, num_classes)
        else:
            heads["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            heads["act"] = nn.Tanh()
            heads["head"] = nn.Linear(representation_size, num_classes)
        self.heads = nn.Sequential(heads)
        self._initialise()

    def _projection(self, stem: Sequence[ConvStemConfig] | None) -> nn.Module:
        """From (N, 3, H, W) to (N, hidden_dim, H / patch, W / patch)."""
        if stem is None:
            return nn.Conv2d(
                3, self.hidden_dim, kernel_size=self.patch_size, stride=self.patch_size
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for i, config in enumerate(stem):
            layers[f"conv_bn_relu_{i}"] = Conv2dNormActivation(
                channels,
                config.out_channels,
                kernel_size=config.kernel_size,
                stride=config.stride,
                norm_layer=config.norm_layer,
                activation_layer=config.activation_layer,
            )
            channels = config.out_channels
        layers["conv_last"] = nn.Conv2d(channels, self.hidden_dim, kernel_size=1)
        return nn.Sequential(layers)

    def _initialise(self) -> None:
        """Patches as a linear layer of their pixels; the last layer starts at 0."""
        if isinstance(self.conv_proj, nn.Conv2d):
            conv = self.conv_proj
            fan_in = conv.in_channels * conv.kernel_size[0] * conv.kernel_size[1]
            nn.init.trunc_normal_(conv.weight, std=math.sqrt(1 / fan_in))
        else:
            conv = self.conv_proj.conv_last
            nn.init.normal_(conv.weight, mean=0.0, std=math.sqrt(2.0 / conv.out_channels))
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        if self.representation_size is not None:
            first = self.heads.pre_logits
            nn.init.trunc_normal_(first.weight, std=math.sqrt(1 / first.in_features))
            nn.init.zeros_(first.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _process_input(self, x: Tensor) -> Tensor:
        """(N, patches, hidden_dim): the patches row by row."""
        for name, size in (("height", x.shape[2]), ("width", x.shape[3])):
            if size != self.image_size:
                raise AssertionError(
                    f"Wrong image {name}! Expected {self.image_size} but got {size}!"
                )
        return self.conv_proj(x).flatten(2).permute(0, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self._process_input(x)
        token = self.class_token.expand(x.shape[0], -1, -1)
        x = self.encoder(cat([token, x], dim=1))
        return self.heads(x[:, 0])


def _load(
    make: Callable[..., VisionTransformer],
    weights: WeightsEnum,
    progress: bool,
    kwargs: dict[str, Any],
) -> VisionTransformer:
    _ovewrite_named_param(kwargs, "image_size", weights.meta["min_size"][0])
    return load_weights(make, weights, progress, kwargs)


def _vit(
    patch: int, layers: int, heads: int, width: int, inner: int, **kwargs: Any
) -> VisionTransformer:
    size = kwargs.pop("image_size", 224)
    return VisionTransformer(size, patch, layers, heads, width, inner, **kwargs)


def interpolate_embeddings(
    image_size: int,
    patch_size: int,
    model_state: OrderedDict[str, Tensor],
    interpolation_mode: str = "bicubic",
    reset_heads: bool = False,
) -> OrderedDict[str, Tensor]:
    """A checkpoint for images of another size: its positions, stretched over the new patches.

    Args:
        image_size, patch_size: of the model that will load it.
        model_state: the checkpoint; changed in place, or left as it is where the sizes agree.
        interpolation_mode: as for ``nn.functional.interpolate``.
        reset_heads: leave out the last layers.

    Returns:
        the checkpoint to load.
    """
    positions = model_state["encoder.pos_embedding"]
    n, length, width = positions.shape
    if n != 1:
        raise ValueError(f"Unexpected position embedding shape: {positions.shape}")
    edge = image_size // patch_size
    if edge**2 + 1 == length:
        return model_state
    old_edge = math.isqrt(length - 1)
    if old_edge**2 != length - 1:
        raise ValueError(
            "seq_length is not a perfect square! Instead got seq_length_1d * seq_length_1d = "
            f"{old_edge**2} and seq_length = {length - 1}"
        )
    token, grid = positions[:, :1, :], positions[:, 1:, :]
    grid = grid.permute(0, 2, 1).reshape(1, width, old_edge, old_edge)
    grid = F.interpolate(grid, size=edge, mode=interpolation_mode, align_corners=True)
    grid = grid.reshape(1, width, edge**2).permute(0, 2, 1)
    model_state["encoder.pos_embedding"] = cat([token, grid], dim=1)
    if reset_heads:
        return OrderedDict((k, v) for k, v in model_state.items() if not k.startswith("heads"))
    return model_state


class ViT_B_16_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vit_b_16-c867db91")
    IMAGENET1K_SWAG_E2E_V1 = imagenet("vit_b_16_swag-9ac1b537", license=SWAG_LICENSE)
    IMAGENET1K_SWAG_LINEAR_V1 = imagenet("vit_b_16_lc_swag-4e70ced5", license=SWAG_LICENSE)
    DEFAULT = IMAGENET1K_V1


class ViT_B_32_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vit_b_32-d86f8d99")
    DEFAULT = IMAGENET1K_V1


class ViT_L_16_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vit_l_16-852ce7e3")
    IMAGENET1K_SWAG_E2E_V1 = imagenet("vit_l_16_swag-4f3808c9", license=SWAG_LICENSE)
    IMAGENET1K_SWAG_LINEAR_V1 = imagenet("vit_l_16_lc_swag-4d563306", license=SWAG_LICENSE)
    DEFAULT = IMAGENET1K_V1


class ViT_L_32_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vit_l_32-c7638314")
    DEFAULT = IMAGENET1K_V1


class ViT_H_14_Weights(WeightsEnum):
    IMAGENET1K_SWAG_E2E_V1 = imagenet("vit_h_14_swag-80465313", license=SWAG_LICENSE)
    IMAGENET1K_SWAG_LINEAR_V1 = imagenet("vit_h_14_lc_swag-c1eb923e", license=SWAG_LICENSE)
    DEFAULT = IMAGENET1K_SWAG_E2E_V1


@builder(ViT_B_16_Weights, _load)
def vit_b_16(**kwargs: Any) -> VisionTransformer:
    """ViT-B/16, 86.6 million parameters."""
    return _vit(16, 12, 12, 768, 3072, **kwargs)


@builder(ViT_B_32_Weights, _load)
def vit_b_32(**kwargs: Any) -> VisionTransformer:
    """ViT-B/32, 88.2 million parameters."""
    return _vit(32, 12, 12, 768, 3072, **kwargs)


@builder(ViT_L_16_Weights, _load)
def vit_l_16(**kwargs: Any) -> VisionTransformer:
    """ViT-L/16, 304.3 million parameters."""
    return _vit(16, 24, 16, 1024, 4096, **kwargs)


@builder(ViT_L_32_Weights, _load)
def vit_l_32(**kwargs: Any) -> VisionTransformer:
    """ViT-L/32, 306.5 million parameters."""
    return _vit(32, 24, 16, 1024, 4096, **kwargs)


@builder(ViT_H_14_Weights, _load)
def vit_h_14(**kwargs: Any) -> VisionTransformer:
    """ViT-H/14, 632.0 million parameters."""
    return _vit(14, 32, 16, 1280, 5120, **kwargs)
