"""Random programs, run on both tiers: ``python -m tests.compiler.fuzz 10000`` draws that many.

A program keeps a pool of tensors and does one random thing after the other: an operation on members
of the pool, a view of one, a write into one. Every operation keeps values of moderate size, so that
rounding is not blown up and a difference is a fault; steps are kept
away from the values at which functions saturate.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

import cresset as torch
import cresset.nn.functional as F
from cresset.core.plan import from_bfloat16

from .both import run_both

UNARY: list[Callable[[Any], Any]] = [
    torch.relu, torch.tanh, torch.sigmoid, torch.erf, torch.sin, torch.cos, torch.neg, torch.abs,
    F.gelu, F.silu, F.leaky_relu, F.hardtanh,
    lambda x: F.gelu(x, approximate="tanh"),
    lambda x: torch.exp(-x.abs()),
    lambda x: torch.log(x.abs() + 1),
    lambda x: torch.sqrt(x.abs() + 0.5),
    lambda x: (x * x + 1) ** -0.5,
    lambda x: (x.abs() + 0.5) ** 0.75,
    lambda x: x * 0.5 - 1.25,
    lambda x: 2 / (x.abs() + 1),
    lambda x: x.clone(),
    F.elu, F.softplus, F.hardswish, F.logsigmoid, F.hardshrink, torch.sign,
    lambda x: x.clamp(-0.5, 0.75), torch.nan_to_num,
    torch.asinh, torch.sinc, lambda x: torch.erfinv(x.tanh() * 0.9), torch.special.i0e,
    lambda x: (x.abs() + 0.5).lgamma(), lambda x: torch.logit(x.sigmoid(), 0.1),
    lambda x: torch.remainder(x + 50, 1000) / 50, lambda x: torch.fmod(x, 30),
    lambda x: torch.floor(x * 0.7 + 0.13), lambda x: torch.frac(x * 0.7 + 0.13),
]  # fmt: skip
#: From floats to whole numbers and truths, among those, and back.
TO_WHOLE: list[Callable[[Any], Any]] = [
    lambda x: (x * 3 + 0.31).to(torch.int32), lambda x: (x * 0.9 + 0.013).round().long(),
    lambda x: (x * 20 + 0.31).to(torch.int8),
    lambda x: (x.abs() * 50 + 0.31).to(torch.uint8), lambda x: x > 0.017,
    lambda x: (x * 7 + 0.13).to(torch.int16),
    lambda x: (x + 0.011).abs().le(0.5), lambda x: x.isfinite(),
]  # fmt: skip
WHOLE: list[Callable[[Any, Any], Any]] = [
    torch.add, torch.mul, torch.maximum, torch.lt, torch.eq,
    lambda a, b: torch.where(a > 1, a, b),
    lambda a, b: a.masked_fill(b > 0, 3),
    lambda a, b: a.long() - b.long(),
    lambda a, b: (a.long() & 12) | b.long() ^ 5,
    lambda a, b: a.long() ** 2 + b.long().abs(),
    lambda a, b: a.long() // 3 - b.long() % 5,
    lambda a, b: a.bool() & ~b.bool(),
    lambda a, b: a.long() // (b.long() * 2 + 1), lambda a, b: 100 % (a.int() * 2 - 3),
    lambda a, b: torch.fmod(a.short(), b.short() * 2 + 1),
    lambda a, b: a.to(b.dtype),
    lambda a, b: a.sum(-1, keepdim=True) + b if a.ndim else a,
    lambda a, b: (a == b).any(-1, keepdim=True) if max(a.ndim, b.ndim) else a,
]  # fmt: skip
FOLDS: list[Callable[..., Any]] = [
    torch.sum, torch.mean, torch.amax, torch.amin,
    lambda x, dim, keepdim: (x > 0.017).all(dim, keepdim).to(x.dtype),
    lambda x, dim, keepdim: (x > 1).any(dim, keepdim).to(x.dtype),
]  # fmt: skip
BINARY: list[Callable[[Any, Any], Any]] = [
    torch.add, torch.sub,
    lambda a, b: a.tanh() * b,
    lambda a, b: a / (b.abs() + 1),
    lambda a, b: torch.where(a > b, a, b * 0.5),
    torch.maximum, torch.fmin, torch.logaddexp, torch.hypot,
    lambda a, b: torch.copysign(a, b + 0.017),
]  # fmt: skip
SIZES = (1, 2, 3, 5, 8, 16, 17, 33, 64)


class Program:
    """One random program; running it again with the same seed does the same."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        kinds = [torch.float32] * 4 + [torch.float64, torch.float16, torch.bfloat16]
        self.kind = self.choose.choice(kinds)
        #: Whether values of other dtypes come in: then float64 is no more precise than float32.
        self.mixed = self.choose.random() < 0.3
        #: Whether a value of another dtype went through float16 on its way.
        self.halved = False
        sizes = self.choose.choices(SIZES, k=3)
        self.shapes = [tuple(sizes[: 1 + self.choose.randrange(3)]) for _ in range(2)]
        self.shapes += [sizes[-2:], (sizes[0], 1, sizes[2]), (sizes[2],)]

    @property
    def precision(self) -> float:
        if self.kind in (torch.float16, torch.bfloat16):
            return 0.05 if self.kind is torch.float16 else 0.3
        if self.halved:
            return 5e-3
        return 1e-11 if self.kind is torch.float64 and not self.mixed else 1e-4

    def run(self) -> list[Any]:
        pool = [torch.randn(*shape, dtype=self.kind) for shape in self.shapes]
        for _ in range(self.choose.randint(4, 24)):
            self._act(pool)
            del pool[: max(len(pool) - 12, 0)]
        return pool

    def _act(self, pool: list[Any]) -> None:
        x = self.choose.choice(pool)
        acts = [self._unary] * 5 + [self._binary] * 5 + [self._fold] * 3 + [self._view] * 2
        acts += [self._write, self._rows, self._product, self._join, self._whole, self._whole]
        acts += [self._places, self._along, self._remap, self._windows, self._convolve]
        result = self.choose.choice(acts)(x, pool)
        if result is not None and 0 < result.numel() <= 40_000:
            pool.append(result)

    def _unary(self, x: Any, pool: list[Any]) -> Any:
        if self.mixed and self.choose.random() < 0.2:
            other = self.choose.choice([torch.float32, torch.float64, torch.float16])
            self.halved |= other is torch.float16
            return x.to(other)
        return self.choose.choice(UNARY)(x)

    def _binary(self, x: Any, pool: list[Any]) -> Any:
        act = self.choose.choice(BINARY)
        fitting = [y for y in pool if _broadcasts(x.shape, y.shape)]
        return act(x, self.choose.choice(fitting))

    def _fold(self, x: Any, pool: list[Any]) -> Any:
        if x.ndim == 0:
            return None
        dims = self.choose.choice([(-1,), (0,), tuple(range(x.ndim)), tuple(range(1, x.ndim))])
        act = self.choose.choice(FOLDS)
        if not dims:
            return None
        folded = act(x, dim=dims, keepdim=True)
        if act is torch.sum:
            folded = folded * (folded.numel() / x.numel())
        return self.choose.choice([folded, x - folded, x * folded.tanh(), folded.squeeze(-1)])

    def _view(self, x: Any, pool: list[Any]) -> Any:
        if x.ndim == 0:
            return x.expand(3)
        d = self.choose.randrange(x.ndim)
        n = x.shape[d]
        return self.choose.choice(
            [
                lambda: x.transpose(0, -1),
                lambda: x.narrow(d, n // 3, n - n // 3),
                lambda: x.flatten(),
                lambda: x[..., ::2],
                lambda: x.select(d, n // 2),
                lambda: x.unsqueeze(d),
            ]
        )()

    def _write(self, x: Any, pool: list[Any]) -> None:
        if x.ndim == 0 or 0 in x.stride():
            return
        part = x if self.choose.random() < 0.5 else x[: max(x.shape[0] // 2, 1)]
        self.choose.choice(
            [
                lambda: part.mul_(0.5),
                lambda: part.add_(part.mean()),
                lambda: part.copy_(part.tanh()),
                lambda: part.relu_(),
                lambda: part.zero_(),
            ]
        )()

    def _whole(self, x: Any, pool: list[Any]) -> Any:
        """A few steps among whole numbers, and back to floats."""
        a = self.choose.choice(TO_WHOLE)(x)
        for _ in range(self.choose.randint(1, 4)):
            fitting = [y for y in pool if _broadcasts(a.shape, y.shape)]
            b = self.choose.choice(TO_WHOLE)(self.choose.choice(fitting)) if fitting else a
            a = self.choose.choice(WHOLE)(a, b)
            if a.numel() > 40_000:
                return None
        back = a.to(self.kind)
        return back / (back.abs() + 1) if self.choose.random() < 0.8 else back.tanh()

    def _places(self, x: Any, pool: list[Any]) -> Any:
        """Reading and writing at random indices."""
        if x.ndim == 0:
            return None
        d = self.choose.randrange(x.ndim)
        n = x.shape[d]
        some = torch.tensor(self.choose.choices(range(n), k=self.choose.randint(1, 2 * n)))
        most = some[: max(n // 2, 1)]
        every = torch.tensor(self.choose.choices(range(n), k=x.numel())).view(x.shape)
        acts: list[Callable[[], Any]] = [
            lambda: x.index_select(d, some),
            lambda: x.gather(d, every),
            lambda: x.index_fill(d, some, 0.25),
            lambda: x.transpose(0, d)[some],
            lambda: x.transpose(0, d)[some - n, ..., :1] if x.ndim > 1 else x[some - n],
            lambda: x.index_copy(d, torch.arange(n).flip(0), x * 0.5),
            lambda: x.scatter(d, every[:1], 0.5),
        ]
        if x.dtype.itemsize >= 4:
            acts += [
                lambda: x.index_add(d, most, x.narrow(d, 0, len(most))).tanh(),
                lambda: x.scatter_add(d, every, x * 0.1).tanh(),
                lambda: x.scatter_reduce(d, every, x * 0.7, self.choose.choice(["amax", "mean"])),
                lambda: x.contiguous().take(every) + x,
                lambda: (
                    torch.zeros_like(x).index_put((most % x.shape[0],), x[0] * 0.1, True).tanh()
                ),
            ]
        return self.choose.choice(acts)()

    def _along(self, x: Any, pool: list[Any]) -> Any:
        """Along one dimension: running results and the first extremes."""
        if x.ndim == 0:
            return None
        d = self.choose.randrange(x.ndim)
        return self.choose.choice(
            [
                lambda: x.cumsum(d).div(x.shape[d]),
                lambda: (x.tanh() * 0.9).cumprod(d),
                lambda: F.softmax(x, d) + F.log_softmax(x, d).exp(),
                lambda: torch.logsumexp(x, d).tanh(),
                lambda: x.cummax(d).values,
                lambda: x.sort(d, self.choose.random() < 0.5).values,
                lambda: x.topk(self.choose.randint(1, x.shape[d]), d).values,
                lambda: (x * 3).long().sort(d).indices.to(x.dtype) / x.shape[d],
                lambda: x.max(d).values,
                lambda: x.median(d).values,
                lambda: x.kthvalue(1 + x.shape[d] // 2, d).values,
                lambda: x.min(d, keepdim=True).values - x,
                lambda: (x > 0.3).long().argmax(d, keepdim=True).to(x.dtype) / x.shape[d],
            ]
        )()

    def _windows(self, x: Any, pool: list[Any]) -> Any:
        """Pools over the last dimensions, and what is measured over one."""
        if x.ndim == 0 or x.dtype.itemsize < 4 or not x.is_contiguous():
            return None
        d, n = self.choose.randrange(x.ndim), self.choose.choice([1, 2])
        images = x.view((1,) * max(n + 1 - x.ndim, 0) + tuple(x.shape))
        acts: list[Callable[[], Any]] = [
            lambda: x.var(d, keepdim=True, correction=0) + x,
            lambda: (x.std(d, correction=0) + 0.1).log(),
            lambda: F.mse_loss(x, x.flip(d)) + x,
        ]
        if images.ndim in (n + 1, n + 2) and min(images.shape[-n:]) >= 3:
            most, mean = (F.max_pool1d, F.avg_pool1d) if n == 1 else (F.max_pool2d, F.avg_pool2d)
            even = F.adaptive_avg_pool1d if n == 1 else F.adaptive_avg_pool2d
            acts += [
                lambda: most(images, 3, 2, 1),
                lambda: most(images, 2),
                lambda: mean(images, 3, 1, 1, True, False),
                lambda: mean(images, 2),
                lambda: even(images, 2),
                lambda: F.glu(torch.cat([images, images * 0.5], 1), 1),
            ]
            if n == 2:
                planes = images.reshape(-1, 1, *images.shape[-2:])
                acts += [
                    lambda: F.adaptive_max_pool2d(images, (3, 2)),
                    lambda: F.unfold(planes[:4], 3, 1, 1, 2),
                    lambda: F.fold(F.unfold(planes[:2], 3, 1, 1), planes.shape[2:], 3, 1, 1) / 9,
                    lambda: F.max_unpool2d(
                        F.avg_pool2d(planes, 2),
                        F.max_pool2d(torch.randn(planes.shape), 2, return_indices=True)[1],
                        2,
                        output_size=planes.shape[2:],
                    ),
                ]
        return self.choose.choice(acts)()

    def _convolve(self, x: Any, pool: list[Any]) -> Any:
        """Convolutions over volumes, forward and back, with the tensor as the last dimensions."""
        if x.ndim == 0 or x.dtype.itemsize < 4 or not x.is_contiguous() or x.numel() > 20_000:
            return None
        dims, step = self.choose.choice([2, 3]), self.choose.randint(1, 2)
        if x.ndim > dims + 1:
            return None
        kernel = tuple(self.choose.randint(1, 3) for _ in range(dims))
        images = x.view((1,) * (dims + 2 - x.ndim) + tuple(x.shape)).tanh()
        images = images.expand(self.choose.randint(1, 3), *images.shape[1:])
        channels, some = images.shape[1], self.choose.randint(1, 5)
        shape = (some, channels) if self.choose.random() < 0.5 else (channels, some)
        w = torch.randn(*shape, *kernel, dtype=x.dtype)
        w = w / w[0].numel() ** 0.5
        if shape[1] == channels:
            conv = F.conv2d if dims == 2 else F.conv3d
            y = conv(images, w, None, step, tuple(k // 2 for k in kernel))
        else:
            conv = F.conv_transpose2d if dims == 2 else F.conv_transpose3d
            y = conv(images, w, None, step)
        return torch.tanh(y / 4)

    def _remap(self, x: Any, pool: list[Any]) -> Any:
        if x.ndim == 0:
            return None
        d, n = self.choose.randrange(x.ndim), x.shape[-1]
        return self.choose.choice(
            [
                lambda: x.flip(d),
                lambda: x.roll(self.choose.randint(-3, 9), d),
                lambda: F.pad(x, (1, 2), value=0.5),
                lambda: F.pad(x, (-(n // 3), 1)),
                lambda: F.pad(x, (n // 2, n - 1), mode="reflect") if x.ndim in (2, 3) else x,
                lambda: F.pad(x, (2, 1), mode="replicate") if x.ndim in (2, 3) else x,
                lambda: x.tril(self.choose.randint(-2, 2)) if x.ndim > 1 else x,
                lambda: x.repeat(*(1,) * (x.ndim - 1), 2),
            ]
        )()

    def _rows(self, x: Any, pool: list[Any]) -> Any:
        if x.ndim == 0 or x.shape[-1] < 2 or x.dtype.itemsize < 4:
            return None
        return self.choose.choice(
            [
                lambda: F.softmax(x, -1),
                lambda: F.log_softmax(x, -1).exp(),
                lambda: F.layer_norm(x, x.shape[-1:], eps=0.1),
            ]
        )()

    def _product(self, x: Any, pool: list[Any]) -> Any:
        fitting = [
            y for y in pool
            if x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0] and x.dtype is y.dtype
        ]  # fmt: skip
        if x.dtype.itemsize < 4:
            return None
        if x.ndim == 2:
            fitting.append(x.t())
        return torch.tanh(x @ self.choose.choice(fitting) / 8) if fitting else None

    def _join(self, x: Any, pool: list[Any]) -> Any:
        if x.ndim == 0:
            return None
        return self.choose.choice([torch.cat, torch.stack])([x, x * 2], 0)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def check(seed: int) -> int:
    """Run one program on both tiers; how many results were compared.

    Some programs jump: they round, compare or sort a value that lies on the edge, and the tiers'
    last bits fall on either side. Such a difference is let pass if the same result jumps when the
    reference kernels' last bits are shaken.
    """
    program, results = _run(seed)
    wrong = {i for i, (a, b) in enumerate(results) if not _alike(a, b, program)}
    for size in range(1, 17) if wrong else ():
        _, shaken = _run(seed, size)
        wrong -= {i for i in wrong if not _alike(results[i][0], shaken[i][0], program)}
    assert not wrong, f"program {seed}: {len(wrong)} of {len(results)} results differ"
    return len(results)


def _run(seed: int, shake: int = 0) -> tuple[Program, list[tuple[Any, Any]]]:
    programs: list[Program] = []
    held: list[Any] = []

    def run() -> None:
        programs[:] = [Program(seed)]
        held[:] = programs[0].run()

    seen = run_both(run, seed, shake)
    return programs[0], [pair for _, pairs in seen for pair in pairs]


def _alike(reference: Any, result: Any, program: Program) -> bool:
    """Whether two results agree; halves overflow now and then, to the same infinity or NaN."""
    if reference.dtype == np.uint16:
        reference, result = from_bfloat16(reference), from_bfloat16(result)
    if reference.dtype.kind != "f":
        return bool(np.mean(reference != result) <= 0.01)
    finite = np.isfinite(reference)
    if not np.array_equal(result[~finite], reference[~finite], equal_nan=True):
        return False
    reference, result = reference[finite], result[finite]
    bound = program.precision * (1 + np.max(np.abs(reference), initial=0.0))
    return bool(np.max(np.abs(reference - result), initial=0.0) <= bound)


def main(count: int, first: int = 0) -> int:
    """Run that many programs; how many of them differed, each named with its difference."""
    total = failed = 0
    for seed in range(first, first + count):
        try:
            total += check(seed)
        except Exception:
            failed += 1
            print(f"program {seed}", traceback.format_exc(), sep="\n", flush=True)
    print(f"{count} programs, {failed} failed; {total} results alike on both tiers")
    return failed


if __name__ == "__main__":
    sys.exit(bool(main(*map(int, sys.argv[1:]))))
