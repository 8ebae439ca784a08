"""Layers and losses with inputs to try them on: ``(expression, inputs)``.

An input is a kind and a shape: ``normal`` numbers, numbers in (0, 1) (``unit``), ``sign``s, truth
values as floats (``bits``), or class numbers below a bound (``("classes", bound)``).
"""

from __future__ import annotations

from typing import Any

Case = tuple[str, tuple]
CASES: list[Case] = []


def f(*shape: int) -> tuple:
    return ("normal", shape)


def p(*shape: int) -> tuple:
    return ("unit", shape)


def i(bound: int, *shape: int) -> tuple:
    return (("classes", bound), shape)


def s(*shape: int) -> tuple:
    return ("sign", shape)


def add(inputs: Any, *expressions: str) -> None:
    CASES.extend((expression, inputs) for expression in expressions)


add((f(4, 5),), "nn.Linear(5,3)", "nn.Linear(5,3,bias=False)", "nn.LayerNorm(5)",
    "nn.LayerNorm(5,bias=False)", "nn.RMSNorm(5)",
    "nn.RMSNorm(5,elementwise_affine=False,eps=1e-3)", "nn.BatchNorm1d(5)", "nn.Identity()",
    "nn.Flatten()",
    "nn.Sequential(nn.Linear(5,4),nn.ReLU(),nn.Linear(4,2))")  # fmt: skip
add((f(2, 3), f(2, 4)), "nn.Bilinear(3,4,5)")
for d in (1, 2, 3):
    size = (9, 8, 7)[:d]
    add((f(2, 4, *size),), f"nn.Conv{d}d(4,6,3)",
        f"nn.Conv{d}d(4,6,3,stride=2,padding=1,groups=2)", f"nn.Conv{d}d(4,6,3,padding='same')",
        f"nn.Conv{d}d(4,6,3,padding=1,padding_mode='reflect')",
        f"nn.Conv{d}d(4,6,3,padding=2,padding_mode='circular',bias=False)",
        f"nn.Conv{d}d(4,6,3,dilation=2)", f"nn.ConvTranspose{d}d(4,6,3)",
        f"nn.ConvTranspose{d}d(4,6,3,stride=2,padding=1,output_padding=1,groups=2)")  # fmt: skip
    add((f(4, *size),), f"nn.Conv{d}d(4,6,3,padding=1,padding_mode='replicate')",
        f"nn.ConvTranspose{d}d(4,6,3,dilation=2)")  # fmt: skip
    add((f(4, 3, *size),), f"nn.MaxPool{d}d(2)", f"nn.MaxPool{d}d(3,2,1,ceil_mode=True)",
        f"nn.MaxPool{d}d(2,return_indices=True)", f"nn.AvgPool{d}d(2)",
        f"nn.AvgPool{d}d(3,2,1,ceil_mode=True,count_include_pad=False)",
        f"nn.AdaptiveAvgPool{d}d(3)", f"nn.AdaptiveMaxPool{d}d(3)", f"nn.BatchNorm{d}d(3)",
        f"nn.BatchNorm{d}d(3,affine=False,momentum=None)",
        f"nn.BatchNorm{d}d(3,track_running_stats=False)", f"nn.Dropout{d}d(0.4)",
        f"nn.InstanceNorm{d}d(3,affine=True,track_running_stats=True)",
        f"nn.ConstantPad{d}d(1,2.5)", f"nn.ZeroPad{d}d(1)",
        f"nn.ReplicationPad{d}d(2)")  # fmt: skip
for d in (1, 2, 3):
    add((f(4, 3, *(9, 8, 7)[:d]),), f"nn.LPPool{d}d(2,2)", f"nn.ReflectionPad{d}d(1)",
        f"nn.CircularPad{d}d(1)")  # fmt: skip
add((f(3, 4, 5),), "nn.LayerNorm((4,5),elementwise_affine=False)", "nn.GroupNorm(2,4)")
add((f(3, 4, 5, 5),), "nn.LocalResponseNorm(2)", "nn.CrossMapLRN2d(3)", "nn.Softmax2d()")
add((f(6, 7),), "nn.Dropout(0.3)", "nn.Dropout(0.)", "nn.Dropout(1.)", "nn.AlphaDropout(0.3)")
add((f(6, 7, 3),), "nn.FeatureAlphaDropout(0.3)")
add((f(5, 8),), *(f"nn.{name}" for name in (
    "ReLU()", "ReLU6()", "ELU()", "ELU(0.5)", "SELU()", "CELU()", "GELU()", "GELU('tanh')",
    "Sigmoid()", "Tanh()", "Softplus()", "Softplus(2,1)", "Softsign()", "Softshrink()",
    "Hardshrink()", "Hardtanh(-2,2)", "Hardsigmoid()", "Hardswish()", "LeakyReLU(0.2)",
    "LogSigmoid()", "Mish()", "SiLU()", "Tanhshrink()", "PReLU()", "PReLU(8)", "RReLU()", "GLU()",
    "Threshold(0.1,20.)", "Softmax(1)", "LogSoftmax(1)", "Softmin(1)",
)))  # fmt: skip
add((f(2, 6),), "nn.Unflatten(1,(2,3))")
add((f(2, 8, 4, 4),), "nn.PixelShuffle(2)", "nn.PixelUnshuffle(2)",
    "nn.Unfold((2,2))")  # fmt: skip
add((f(2, 6, 4),), "nn.ChannelShuffle(3)")
add((f(2, 8, 12),), "nn.Fold((4,5),(2,2))")
add((f(3, 4), f(3, 4)), "nn.CosineSimilarity()", "nn.PairwiseDistance()",
    "nn.PairwiseDistance(1,keepdim=True)")  # fmt: skip
add((f(2, 3, 4, 5),), *(f"nn.Upsample(scale_factor=2,mode='{m}')"
                        for m in ("nearest", "bilinear", "bicubic", "nearest-exact")),
    "nn.Upsample((7,6),mode='bilinear',align_corners=True)",
    "nn.UpsamplingNearest2d(scale_factor=2)",
    "nn.UpsamplingBilinear2d(scale_factor=2)")  # fmt: skip
add((i(10, 3, 5),), "nn.Embedding(10,4)", "nn.Embedding(10,4,padding_idx=2,max_norm=1.)",
    "nn.Embedding(10,4,scale_grad_by_freq=True)",
    *(f"nn.EmbeddingBag(10,4,mode='{m}')" for m in ("sum", "mean", "max")))  # fmt: skip
for kind in ("RNN", "LSTM", "GRU"):
    add((f(6, 3, 4),), f"nn.{kind}(4,5)", f"nn.{kind}(4,5,2,bias=False,dropout=0.3)",
        f"nn.{kind}(4,5,2,batch_first=True,bidirectional=True)")  # fmt: skip
    add((f(6, 4),), f"nn.{kind}(4,5)", f"nn.{kind}Cell(4,5)", f"nn.{kind}Cell(4,5,bias=False)")
add((f(6, 3, 4),), "nn.LSTM(4,5,proj_size=3)", "nn.RNN(4,5,nonlinearity='relu')")
add((f(5, 3, 8), f(6, 3, 8), f(6, 3, 8)), "nn.MultiheadAttention(8,2)",
    "nn.MultiheadAttention(8,2,add_bias_kv=True,add_zero_attn=True)")  # fmt: skip
add((f(3, 5, 8), f(3, 6, 8), f(3, 6, 8)), "nn.MultiheadAttention(8,2,batch_first=True,bias=False)")
add((f(5, 3, 8), f(6, 3, 4), f(6, 3, 6)), "nn.MultiheadAttention(8,2,kdim=4,vdim=6)")
add((f(5, 8), f(6, 8), f(6, 8)), "nn.MultiheadAttention(8,2,dropout=0.2)")
add((f(5, 3, 8),), "nn.TransformerEncoderLayer(8,2,16)",
    "nn.TransformerEncoderLayer(8,2,16,activation='gelu',norm_first=True,batch_first=True)",
    "nn.TransformerEncoder(nn.TransformerEncoderLayer(8,2,16),2)")  # fmt: skip
add((f(5, 3, 8), f(6, 3, 8)), "nn.TransformerDecoderLayer(8,2,16)", "nn.Transformer(8,2,1,1,16)",
    "nn.TransformerDecoder(nn.TransformerDecoderLayer(8,2,16),2,norm=nn.LayerNorm(8))")  # fmt: skip

add((f(4, 5), f(4, 5)), *(f"nn.{name}" for name in (
    "MSELoss()", "MSELoss(reduction='sum')", "MSELoss(reduction='none')", "L1Loss()",
    "SmoothL1Loss()", "SmoothL1Loss(beta=0.3)", "HuberLoss()", "HuberLoss(delta=0.5)",
)))  # fmt: skip
add((f(4, 5), i(5, 4)), *(f"nn.{name}" for name in (
    "CrossEntropyLoss()", "CrossEntropyLoss(label_smoothing=0.1)",
    "CrossEntropyLoss(reduction='sum')", "CrossEntropyLoss(ignore_index=1)",
    "CrossEntropyLoss(weight=torch.arange(1.,6.))",
    "CrossEntropyLoss(weight=torch.arange(1.,6.),label_smoothing=0.2)",
    "CrossEntropyLoss(size_average=False)", "NLLLoss()", "NLLLoss(weight=torch.arange(1.,6.))",
    "NLLLoss(ignore_index=2)", "MultiMarginLoss()", "MultiMarginLoss(p=2,margin=0.5)",
)))  # fmt: skip
add((f(4, 5, 3), i(5, 4, 3)), "nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(reduction='none')")
add((f(4, 5), p(4, 5)), *(f"nn.{name}" for name in (
    "CrossEntropyLoss()", "CrossEntropyLoss(label_smoothing=0.1)", "BCEWithLogitsLoss()",
    "BCEWithLogitsLoss(pos_weight=torch.arange(1.,6.))", "KLDivLoss(reduction='batchmean')",
    "KLDivLoss(log_target=True)",
)))  # fmt: skip
add((p(4, 5), p(4, 5)), "nn.BCELoss()", "nn.BCELoss(reduction='sum')",
    "nn.BCELoss(weight=torch.arange(1.,6.))", "nn.PoissonNLLLoss()",
    "nn.PoissonNLLLoss(log_input=False,full=True)")  # fmt: skip
add((f(4, 5), f(4, 5), p(4, 5)), "nn.GaussianNLLLoss()", "nn.GaussianNLLLoss(full=True)")
add((f(4, 5), s(4, 5)), "nn.SoftMarginLoss()", "nn.HingeEmbeddingLoss(margin=0.5)")
add((f(4), f(4), s(4)), "nn.MarginRankingLoss(margin=0.5)")
add((f(4, 5), f(4, 5), s(4)), "nn.CosineEmbeddingLoss(margin=0.2)")
add((f(4, 5), f(4, 5), f(4, 5)), "nn.TripletMarginLoss()", "nn.TripletMarginLoss(swap=True,p=1.0)")
add((f(4, 5), ("bits", (4, 5))), "nn.MultiLabelSoftMarginLoss()")
add(
    (f(4, 5), f(4, 5), f(4, 5)),
    "nn.TripletMarginWithDistanceLoss()",
    "nn.TripletMarginWithDistanceLoss(distance_function=lambda x,y: (x-y).abs().sum(1),swap=True)",
)
add((f(4, 5), i(5, 4, 5)), "nn.MultiLabelMarginLoss()")  # fmt: skip
