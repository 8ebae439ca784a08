"""What the families share: the interface of a builder, and its older form.

``builder`` gives every model function the same three arguments. A family then only says how its
model is made:

    @builder(ResNet18_Weights)
    def resnet18(**kwargs):
        return ResNet(BasicBlock, [2, 2, 2, 2], **kwargs)

and ``resnet18(weights=..., progress=..., num_classes=...)`` follows.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, Optional, TypeVar

from cresset import nn
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, register_model

M = TypeVar("M", bound=nn.Module)
Make = Callable[..., M]


def _make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The multiple of ``divisor`` nearest to ``v``, at least ``min_value`` and 90% of ``v``.

    The rule by which MobileNets round their widths, so that published shapes come out.

    >>> _make_divisible(32 * 0.35, 8)
    16
    """
    nearest = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * v else nearest + divisor


def _ovewrite_named_param(kwargs: dict[str, Any], param: str, new_value: Any) -> None:
    """Sets an argument that the model or its weights decide; ValueError if the user said other.

    The spelling of the name is torchvision's, as programs import it.
    """
    if kwargs.setdefault(param, new_value) != new_value:
        raise ValueError(
            f"The parameter '{param}' expected value {new_value} but got {kwargs[param]} instead."
        )


def load_weights(make: Make[M], weights: WeightsEnum, progress: bool, kwargs: dict[str, Any]) -> M:
    """A model with as many classes as ``weights`` knows, and these weights in it."""
    categories = weights.meta["categories"]
    if categories is not None:
        _ovewrite_named_param(kwargs, "num_classes", len(categories))
    model = make(**kwargs)
    model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


def builder(
    kind: type[WeightsEnum],
    load: Callable[..., Any] = load_weights,
) -> Callable[[Make[M]], Make[M]]:
    """Makes a registered builder of a function ``make(**kwargs) -> model``.

    The builder takes ``weights`` (a member of ``kind``, its name, or None for fresh weights),
    ``progress`` (whether a download shows its progress) and what the model's class takes.
    ``load(make, weights, progress, kwargs)`` makes a model with published weights in it.
    """

    def decorate(make: Make[M]) -> Make[M]:
        def build(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> M:
            weights = kind.verify(weights)
            return make(**kwargs) if weights is None else load(make, weights, progress, kwargs)

        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(build, name, getattr(make, name))
        # get_model_weights finds the enum in the signature.
        build.__annotations__["weights"] = Optional[kind]  # noqa: UP045
        before = kind.__members__.get("IMAGENET1K_V1")
        return register_model()(handle_legacy_interface(weights=("pretrained", before))(build))

    return decorate


# -- the interface before torchvision 0.13 ---------------------------------------------------------


def handle_legacy_interface(**weights: tuple[str, Any]) -> Callable[[Make[M]], Make[M]]:
    """Lets a builder be called as before torchvision 0.13, with a warning.

    ``handle_legacy_interface(weights=("pretrained", W.IMAGENET1K_V1))`` makes ``f(True)`` and
    ``f(pretrained=True)`` mean ``f(weights=W.IMAGENET1K_V1)``. In place of a member stands a
    function of the other keyword arguments where these decide it.
    """

    def decorate(build: Make[M]) -> Make[M]:
        parameters = signature(build).parameters.values()
        names = [p.name for p in parameters]
        positional = [p.kind for p in parameters].index(Parameter.KEYWORD_ONLY)

        @functools.wraps(build)
        def modern(*args: Any, **kwargs: Any) -> M:
            named = dict(zip(names[positional:], args[positional:]))
            if named:
                warnings.warn(
                    f"Using {_listed(named)} as positional parameter(s) is deprecated since 0.13 "
                    "and may be removed in the future. Please use keyword parameter(s) instead.",
                    stacklevel=2,
                )
                kwargs.update(named)
            for new, (old, default) in weights.items():
                _modernise(kwargs, new, old, default, build.__name__)
            return build(*args[:positional], **kwargs)

        return modern

    return decorate


def _listed(names: Mapping[str, Any]) -> str:
    *rest, last = [f"'{name}'" for name in names]
    return f"{', '.join(rest)} and {last}" if rest else last


def _modernise(kwargs: dict[str, Any], new: str, old: str, default: Any, model: str) -> None:
    """Replaces ``old=True`` (or ``new=True``, given by position) by ``new=default``."""
    given = kwargs.get(new)
    is_modern = given is None or isinstance(given, WeightsEnum | str) and given != "legacy"
    if (new not in kwargs and old not in kwargs) or (new in kwargs and is_modern):
        return
    if new in kwargs:
        kwargs[old] = kwargs.pop(new)
    else:
        warnings.warn(
            f"The parameter '{old}' is deprecated since 0.13 and may be removed in the future, "
            f"please use '{new}' instead.",
            stacklevel=3,
        )
    wanted = kwargs[old]
    chosen = None
    if wanted:
        chosen = default(kwargs) if callable(default) else default
        if not isinstance(chosen, WeightsEnum):
            raise ValueError(f"No weights available for model {model}")
    text = (
        f"Arguments other than a weight enum or `None` for '{new}' are deprecated since 0.13 and "
        "may be removed in the future. The current behavior is equivalent to passing "
        f"`{new}={chosen!r}`."
    )
    if wanted:
        text += (
            f" You can also use `{new}={type(chosen).__name__}.DEFAULT` to get the most "
            "up-to-date weights."
        )
    warnings.warn(text, stacklevel=3)
    del kwargs[old]
    kwargs[new] = chosen


# -- parts of a model ------------------------------------------------------------------------------


class IntermediateLayerGetter(nn.ModuleDict):
    """The outputs of some of a model's direct children, as an ordered dictionary.

    Runs the children in the order in which they were registered, up to the last one asked for.

    Args:
        model: each of its children runs once, on what the one before gave.
        return_layers: the child's name -> the name of its output.

    >>> import cresset as torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> part = IntermediateLayerGetter(net, {"0": "first"})
    >>> {name: x.shape for name, x in part(torch.ones(1, 4)).items()}
    {'first': torch.Size([1, 3])}
    """

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        children = dict(model.named_children())
        if not set(return_layers) <= set(children):
            raise ValueError("return_layers are not present in model")
        last = max((list(children).index(str(name)) for name in return_layers), default=-1)
        super().__init__(dict(list(children.items())[: last + 1]))
        self.return_layers = return_layers

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        outputs: OrderedDict[str, Tensor] = OrderedDict()
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                outputs[self.return_layers[name]] = x
        return outputs


def initialise(model: nn.Module, linear: Callable[[Tensor], Any] | None = None) -> None:
    """Fresh weights as residual networks since 2015 have them, drawn in the order of the modules.

    Convolutions: normal, of variance ``2 / (outputs * kernel area)``; norms: 1 and 0; biases: 0.
    ``linear`` draws the weights of Linear layers, which otherwise stay as they are.

    Source: He et al., "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852, section 2.2
    """
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.ones_(m.weight)
        elif isinstance(m, nn.Linear) and linear is not None:
            linear(m.weight)
        else:
            continue
        if m.bias is not None:
            nn.init.zeros_(m.bias)
