"""Helpers around modules: clipping gradients, flattening parameters, packing sequences."""

from cresset.nn.utils import rnn
from cresset.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from cresset.nn.utils.init import skip_init
from cresset.nn.utils.parameters import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_",
    "get_total_norm", "parameters_to_vector", "rnn", "skip_init",
    "vector_to_parameters",
]  # fmt: skip
