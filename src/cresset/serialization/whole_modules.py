"""What PyTorch's modules keep beside what ours keep, added when a whole module is written.

A whole module is saved as its class and its ``__dict__``. PyTorch gives the ``__dict__`` to its own
class of that name and expects its own attributes there. Most are the same; ``extra_state`` makes up
the few that are not. (The other way, modules of ours find in PyTorch's state all that they need.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _conv(module: Any) -> dict[str, Any]:
    rank = len(module.kernel_size)
    twice = [0] * (2 * rank)  # paddings of the last dimension first, before and behind
    for i in range(rank):
        at = 2 * (rank - 1 - i)
        if module.padding == "same":
            total = module.dilation[i] * (module.kernel_size[i] - 1)
            twice[at], twice[at + 1] = total // 2, total - total // 2
        elif not isinstance(module.padding, str):
            twice[at] = twice[at + 1] = module.padding[i]
    return {
        "transposed": type(module).__name__.startswith(("ConvT", "LazyConvT")),
        "_reversed_padding_repeated_twice": twice,
    }


def _recurrent(module: Any) -> dict[str, Any]:
    return {
        "_flat_weights_names": module._flat_weights_names,
        "_flat_weights": module._flat_weights,
    }


def _encoder_layer(module: Any) -> dict[str, Any]:
    name = getattr(module.activation, "__name__", "").lower()
    return {"activation_relu_or_gelu": {"relu": 1, "gelu": 2}.get(name, 0)}


_EXTRA: dict[str, Callable[[Any], dict[str, Any]]] = {
    **{f"{lazy}Conv{n}d": _conv for n in (1, 2, 3) for lazy in ("", "Lazy")},
    **{f"{lazy}ConvTranspose{n}d": _conv for n in (1, 2, 3) for lazy in ("", "Lazy")},
    **dict.fromkeys(("RNN", "LSTM", "GRU"), _recurrent),
    **dict.fromkeys(
        ("Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d"),
        lambda module: {"name": type(module).__name__},
    ),
    "ReLU6": lambda module: {"min_val": 0.0, "max_val": 6.0},
    "TransformerEncoderLayer": _encoder_layer,
    "TransformerEncoder": lambda module: {
        "enable_nested_tensor": True, "use_nested_tensor": False, "mask_check": True,
    },
}  # fmt: skip


def extra_state(module: Any) -> dict[str, Any]:
    """The attributes that PyTorch's class has and ours has not, by the nearest class of ours."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith(__name__.partition(".")[0] + ".nn"):
            make = _EXTRA.get(cls.__name__)
            if make is not None:
                return make(module)
    return {}
