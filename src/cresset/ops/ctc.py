"""The CTC loss: how likely a labelling is, summed over all ways to stretch it over time.

A labelling of L labels becomes 2 L + 1 states, blanks between and around the labels. ``alpha`` sums
what leads to a state at a time, ``beta`` what follows it (Graves et al., 2006, section 4.1). The
kernel computes both, hence the loss and its gradient at once.
"""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import scalar_name
from cresset.ops.loss import reduced, reduction_of
from cresset.ops.pointwise import div, mul
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.select import where
from cresset.ops.view import reshape, unsqueeze


def _sums(xp: Any, emitted: Any, skip: Any) -> Any:
    """alpha: per time and state, the log of the summed probability of what leads there."""
    alpha = xp.full(emitted.shape, -xp.inf, emitted.dtype)
    alpha[0, :2] = emitted[0, :2]
    for t in range(1, len(emitted)):
        last = alpha[t - 1]
        total = last.copy()
        total[1:] = xp.logaddexp(total[1:], last[:-1])
        total[2:] = xp.where(skip, xp.logaddexp(total[2:], last[:-2]), total[2:])
        alpha[t] = total + emitted[t]
    return alpha


def _one(xp: Any, logp: Any, labels: Any, blank: int) -> tuple[Any, Any]:
    """(loss, gradient) of one sample: log-probabilities (t, c), its labels."""
    if not len(logp):
        return (0.0 if not len(labels) else xp.inf), logp
    states = xp.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    # A label may follow another one without a blank between unless they are the same.
    skip = (states[2:] != states[:-2]) & (states[2:] != blank)
    emitted = logp[:, states]
    alpha = _sums(xp, emitted, skip)
    back = _sums(xp, emitted[::-1, ::-1], skip[::-1])[::-1, ::-1]
    total = xp.logaddexp.reduce(alpha[-1, -2:])
    through = xp.full(logp.shape, -xp.inf, logp.dtype)
    for state, label in enumerate(states):
        through[:, label] = xp.logaddexp(through[:, label], alpha[:, state] + back[:, state])
    return -total, xp.exp(logp) - xp.exp(through - total - logp)


def _infer(logp: Spec, targets: Spec, times: Spec, lengths: Spec, blank: int, zero: bool) -> Result:
    if logp.dtype.category != dtypes.FLOAT or logp.dtype.itemsize < 4:
        name = scalar_name(logp.dtype)
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{name}'")
    t, n, c = logp.shape
    if not 0 <= blank < c:
        raise RuntimeError("blank must be in label range")
    if times.numel != n:
        raise RuntimeError("input_lengths must be of size batch_size")
    if lengths.numel != n:
        raise RuntimeError("target_lengths must be of size batch_size")
    losses = dense(logp.dtype, (n,), logp.device)
    return Result((losses, dense(logp.dtype, logp.shape, logp.device)))


def _kernel(
    xp: Any, logp: Any, targets: Any, times: Any, lengths: Any, blank: int, zero: bool
) -> tuple[Any, Any]:
    n = logp.shape[1]
    losses = xp.zeros(n, logp.dtype)
    gradient = xp.zeros_like(logp)
    start = 0
    for i in range(n):
        t, length = int(times[i]), int(lengths[i])
        if t > len(logp):
            raise RuntimeError(
                f"Expected input_lengths to have value at most {len(logp)}, but got value {t} "
                "(while checking arguments for ctc_loss_allocate_outputs)"
            )
        labels = targets[i, :length] if targets.ndim == 2 else targets[start : start + length]
        start += length
        with xp.errstate(invalid="ignore"):
            losses[i], gradient[:t, i] = _one(xp, logp[:t, i], labels, blank)
        if zero and xp.isinf(losses[i]):
            gradient[:, i] = 0
    return losses, gradient


CTC = Op(
    "ctc_loss", _infer, _kernel, save=(OUT - 1,), multi=True, checks_values=True,
    vjp=lambda n, g, _, slope: (mul(reshape(g, (1, -1, 1)), slope), None, None, None),
)  # fmt: skip


def _lengths(given: Any, like: Tensor, name: str) -> Tensor:
    from cresset.ops.creation import as_tensor

    made: Any = as_tensor(given, device=like.device)
    if made.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name} must be integral")
    return made.to(dtypes.int64).reshape(-1)


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Connectionist temporal classification (Graves et al., 2006).

    Shapes: log_probs (t, n, c) or (t, c); targets (n, longest) or all labels one after another;
    lengths (n). 'mean' divides each loss by the length of its target first.

    >>> import cresset as torch
    >>> logp = torch.zeros(4, 1, 2).log_softmax(2)
    >>> torch.nn.functional.ctc_loss(logp, torch.tensor([[1]]), (4,), (1,))
    tensor(0.4700)
    """
    reduction = reduction_of(reduction)
    times = _lengths(input_lengths, log_probs, "input_lengths")
    lengths = _lengths(target_lengths, log_probs, "target_lengths")
    batched = log_probs.ndim == 3
    x = log_probs if batched else unsqueeze(log_probs, 1)
    losses, _ = apply(CTC, (x, targets, times, lengths), (int(blank), bool(zero_infinity)))
    if zero_infinity:
        losses = where(losses.eq(float("inf")), 0.0, losses)
    if reduction == "mean":
        counts = lengths.clamp_min(1).to(x.dtype)  # type: ignore[attr-defined]
        return reduced(div(losses, counts), "mean")
    if reduction == "none" and not batched:
        return reshape(losses, ())
    return reduced(losses, reduction)


TORCH = ()
