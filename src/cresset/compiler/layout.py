"""How arrays lie along loops: broadcasting, and dimensions that can be one loop."""

from __future__ import annotations

from cresset.core.spec import Spec


def broadcast_stride(spec: Spec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A tensor's strides over ``shape``: 0 where it has one element for many, or one in all."""
    own = tuple(spec.shape)
    lead = len(shape) - len(own)
    return (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(own, spec.stride, strict=True))


def collapse(
    shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> list[tuple[int, tuple[int, ...]]]:
    """Loops as (count, step per array): neighbouring dimensions joined where all arrays allow."""
    dims: list[tuple[int, tuple[int, ...]]] = []
    for d, n in enumerate(shape):
        steps = tuple(s[d] for s in strides)
        if n == 1:
            continue
        if dims and all(a == b * n for a, b in zip(dims[-1][1], steps, strict=True)):
            dims[-1] = (dims[-1][0] * n, steps)
        else:
            dims.append((n, steps))
    return dims
