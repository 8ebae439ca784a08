"""L-BFGS: quasi-Newton steps from the last few gradients (Nocedal and Wright, algorithm 7.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.autograd.grad_mode import enable_grad, no_grad
from cresset.ops.join import cat
from cresset.ops.view import reshape
from cresset.optim.optimizer import Optimizer, number
from cresset.tensor import Tensor


def _cubic(x1: float, f1: float, g1: float, x2: float, f2: float, g2: float,
           bounds: tuple[float, float] | None = None) -> float:  # fmt: skip
    """The minimum of the cubic through two points with slopes, inside bounds."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if x1 <= x2:
        found = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        found = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(found, low), high)


def _strong_wolfe(
    evaluate: Callable[[float], tuple[float, Tensor]], t: float, d: Tensor, f: float, g: Tensor,
    gtd: float, c1: float = 1e-4, c2: float = 0.9, tolerance: float = 1e-9, most: int = 25,
) -> tuple[float, Tensor, float, int]:  # fmt: skip
    """A step length that decreases f enough and flattens its slope."""
    d_norm = float(d.abs().max())  # type: ignore[attr-defined]
    g = g.clone()  # type: ignore[attr-defined]
    f_new, g_new = evaluate(t)
    calls = 1
    gtd_new = float(g_new.dot(d))  # type: ignore[attr-defined]
    t_prev, f_prev, g_prev, gtd_prev = 0.0, f, g, gtd
    done = False
    step = 0
    while step < most:
        if f_new > (f + c1 * t * gtd) or (step > 1 and f_new >= f_prev):
            bracket = [t_prev, t]
            values, grads, slopes = [f_prev, f_new], [g_prev, g_new.clone()], [gtd_prev, gtd_new]  # type: ignore[attr-defined]
            break
        if abs(gtd_new) <= -c2 * gtd:
            bracket, values, grads, slopes = [t], [f_new], [g_new], [gtd_new]
            done = True
            break
        if gtd_new >= 0:
            bracket = [t_prev, t]
            values, grads, slopes = [f_prev, f_new], [g_prev, g_new.clone()], [gtd_prev, gtd_new]  # type: ignore[attr-defined]
            break
        low, high = t + 0.01 * (t - t_prev), t * 10
        old = t
        t = _cubic(t_prev, f_prev, gtd_prev, t, f_new, gtd_new, (low, high))
        t_prev, f_prev, g_prev, gtd_prev = old, f_new, g_new.clone(), gtd_new  # type: ignore[attr-defined]
        f_new, g_new = evaluate(t)
        calls += 1
        gtd_new = float(g_new.dot(d))  # type: ignore[attr-defined]
        step += 1
    if step == most:
        bracket, values, grads, slopes = [0.0, t], [f, f_new], [g, g_new], [gtd, gtd_new]
    stuck = False
    low_at, high_at = (0, 1) if values[0] <= values[-1] else (1, 0)
    while not done and step < most:
        if abs(bracket[1] - bracket[0]) * d_norm < tolerance:
            break
        t = _cubic(bracket[0], values[0], slopes[0], bracket[1], values[1], slopes[1])
        edge = 0.1 * (max(bracket) - min(bracket))
        if min(max(bracket) - t, t - min(bracket)) < edge:
            if stuck or t >= max(bracket) or t <= min(bracket):
                near_high = abs(t - max(bracket)) < abs(t - min(bracket))
                t = max(bracket) - edge if near_high else min(bracket) + edge
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        f_new, g_new = evaluate(t)
        calls += 1
        gtd_new = float(g_new.dot(d))  # type: ignore[attr-defined]
        step += 1
        if f_new > (f + c1 * t * gtd) or f_new >= values[low_at]:
            bracket[high_at], values[high_at] = t, f_new
            grads[high_at], slopes[high_at] = g_new.clone(), gtd_new  # type: ignore[attr-defined]
            low_at, high_at = (0, 1) if values[0] <= values[1] else (1, 0)
        else:
            if abs(gtd_new) <= -c2 * gtd:
                done = True
            elif gtd_new * (bracket[high_at] - bracket[low_at]) >= 0:
                bracket[high_at], values[high_at] = bracket[low_at], values[low_at]
                grads[high_at], slopes[high_at] = grads[low_at], slopes[low_at]
            bracket[low_at], values[low_at] = t, f_new
            grads[low_at], slopes[low_at] = g_new.clone(), gtd_new  # type: ignore[attr-defined]
    return values[low_at], grads[low_at], bracket[low_at], calls


class LBFGS(Optimizer):
    """``step(closure)`` runs up to ``max_iter`` quasi-Newton iterations; one parameter group
    only. ``closure`` clears the gradients, computes the loss, calls ``backward()`` and returns the
    loss; ``line_search_fn="strong_wolfe"`` chooses the step length.

    >>> import cresset as torch
    >>> w = torch.tensor([3.], requires_grad=True)
    >>> opt = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> opt.step(closure).item(), w.item()
    (4.0, 1.0)
    """

    def __init__(
        self, params: Any, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        return cat([
            reshape(p.new_zeros(p.shape) if p._grad is None else p._grad, (-1,))
            for p in self._params
        ])  # fmt: skip

    def _move(self, t: float, direction: Tensor) -> None:
        start = 0
        for p in self._params:
            n = p.numel()
            p.add_(reshape(direction[start : start + n], p.shape), alpha=t)  # type: ignore[index]
            start += n

    @no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """Minimise; ``closure`` clears the gradients, computes the loss, calls backward."""
        group = self.param_groups[0]
        closure = enable_grad()(closure)
        lr = number(group["lr"])
        change, flat = group["tolerance_change"], group["tolerance_grad"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss = float(first_loss)
        evals = 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if float(gradient.abs().max()) <= flat:  # type: ignore[attr-defined]
            return first_loss
        d, t = state.get("d"), state.get("t")
        dirs, steps, ro = state.get("old_dirs"), state.get("old_stps"), state.get("ro")
        h, previous, previous_loss = (
            state.get("H_diag"),
            state.get("prev_flat_grad"),
            state.get("prev_loss"),
        )
        if ro is not None:  # PyTorch's checkpoints hold these as tensors
            ro, h, t = [float(x) for x in ro], float(h), float(t)
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d, dirs, steps, ro, h = -gradient, [], [], [], 1.0  # type: ignore[operator]
            else:
                y = gradient - previous  # type: ignore[operator]
                s = d * t
                ys = float(y.dot(s))
                if ys > 1e-10:
                    if len(dirs) == group["history_size"]:
                        dirs.pop(0)
                        steps.pop(0)
                        ro.pop(0)
                    dirs.append(y)
                    steps.append(s)
                    ro.append(1.0 / ys)
                    h = ys / float(y.dot(y))
                alphas = [0.0] * len(dirs)
                state["al"] = alphas
                q = -gradient  # type: ignore[operator]
                for i in range(len(dirs) - 1, -1, -1):
                    alphas[i] = float(steps[i].dot(q)) * ro[i]
                    q = q.add(dirs[i], alpha=-alphas[i])
                d = q * h
                for i in range(len(dirs)):
                    beta = float(dirs[i].dot(d)) * ro[i]
                    d = d.add(steps[i], alpha=alphas[i] - beta)
            previous = gradient.clone()  # type: ignore[attr-defined]
            previous_loss = loss
            t = min(1.0, 1.0 / float(gradient.abs().sum())) * lr if state["n_iter"] == 1 else lr  # type: ignore[attr-defined]
            gtd = float(gradient.dot(d))  # type: ignore[attr-defined]
            if gtd > -change:
                break
            calls = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = [p.detach().clone() for p in self._params]

                def evaluate(size: float, start: Any = start, d: Any = d) -> tuple[float, Tensor]:
                    self._move(size, d)
                    value = float(closure())
                    found = self._gradient()
                    for p, x in zip(self._params, start, strict=True):
                        p.copy_(x)
                    return value, found

                loss, gradient, t, calls = _strong_wolfe(evaluate, t, d, loss, gradient, gtd)
                self._move(t, d)
                done = float(gradient.abs().max()) <= flat  # type: ignore[attr-defined]
            else:
                self._move(t, d)
                done = False
                if iteration != group["max_iter"]:
                    loss = float(closure())
                    gradient = self._gradient()
                    done = float(gradient.abs().max()) <= flat  # type: ignore[attr-defined]
                    calls = 1
            evals += calls
            state["func_evals"] += calls
            if iteration == group["max_iter"] or evals >= group["max_eval"] or done:
                break
            if float((d * t).abs().max()) <= change or abs(loss - previous_loss) < change:
                break
        state.update(
            d=d, t=t, old_dirs=dirs, old_stps=steps, ro=ro, H_diag=h, prev_flat_grad=previous,
            prev_loss=previous_loss,
        )  # fmt: skip
        return first_loss
