"""Random programs of views, writes, shared memory, failures and interrupts, beside NumPy.

A NumPy view and an array share memory as a view and a tensor do, so the same program on arrays,
where everything happens at once, says what every value must be. Values stay small whole numbers:
results are exact.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

import cresset as torch
from cresset.core import graph, plan
from cresset.core.call import Op
from cresset.core.modes import PROCESS
from cresset.ops.registry import apply

SIZE = 12
PRIME = 97


class Pair:
    """A tensor and the array that tells what must be in it."""

    def __init__(self, tensor: torch.Tensor, array: np.ndarray) -> None:
        self.tensor, self.array = tensor, array


class Program:
    """One random program; ``log`` says what it did, for whoever must find the mistake."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pairs: list[Pair] = []
        #: Arrays that NumPy shows of a tensor's memory, each with its model.
        self.shown: list[tuple[np.ndarray, np.ndarray]] = []
        self.log: list[str] = []
        self.new()

    def pick(self) -> Pair:
        return self.random.choice(self.pairs)

    def source_for(self, target: Pair) -> Pair:
        """One of the same shape whose memory is not partly the target's: PyTorch refuses those."""
        return self.random.choice(
            [
                p
                for p in self.pairs
                if p.array.shape == target.array.shape
                and (p is target or not np.shares_memory(p.array, target.array))
            ]
        )

    def keep(self, tensor: torch.Tensor, array: np.ndarray) -> None:
        self.pairs.append(Pair(tensor, np.asarray(array)))

    # -- steps -----------------------------------------------------------------------------------

    def new(self) -> None:
        start = self.random.randrange(50)
        self.keep(
            torch.arange(start, start + SIZE, dtype=torch.float64),
            np.arange(start, start + SIZE, dtype=np.float64),
        )

    def view(self) -> None:
        p = self.pick()
        views: list[Callable] = [
            lambda x: x[1:], lambda x: x[:-1], lambda x: x[::2], lambda x: x[len(x) // 2 :],
            lambda x: x.reshape(-1, 2) if isinstance(x, np.ndarray) else x.view(-1, 2),
            lambda x: x.T if isinstance(x, np.ndarray) else x.t(), lambda x: x[0],
        ]  # fmt: skip
        view = self.random.choice(views)
        if p.array.ndim == 0 or len(p.array) < 3:
            return
        if view in views[4:5] and not (p.array.ndim == 1 and p.array.size % 2 == 0
                                       and p.tensor.is_contiguous()):  # fmt: skip
            return
        if view in views[5:6] and p.array.ndim != 2:
            return
        array = view(p.array)
        self.keep(view(p.tensor), array if isinstance(array, np.ndarray) else p.array[0:1][0, ...])

    def result(self) -> None:
        p = self.pick()
        q, c = self.source_for(p), self.random.randrange(9)
        self.keep(
            (p.tensor * 2 + q.tensor + c).remainder(PRIME), (p.array * 2 + q.array + c) % PRIME
        )

    def write(self) -> None:
        p, c = self.pick(), self.random.randrange(9)
        p.tensor.add_(c)
        p.array += c

    def write_all(self) -> None:
        p = self.pick()
        q = self.source_for(p)
        p.tensor.copy_(q.tensor)
        p.array[...] = q.array.copy()

    def write_part(self) -> None:
        p, c = self.pick(), self.random.randrange(9)
        if p.array.ndim and len(p.array) > 1:
            p.tensor[1:] = c
            p.array[1:] = c

    def write_masked(self) -> None:
        p = self.pick()
        p.tensor[p.tensor > 40] = 7.0
        p.array[p.array > 40] = 7.0

    def write_twice_from(self) -> None:
        p = self.pick()
        q = self.source_for(p)
        p.tensor.add_(q.tensor).remainder_(PRIME)
        p.array += q.array.copy()
        p.array %= PRIME

    def unnoticed_write(self) -> None:
        p = self.pick()
        p.tensor.detach().neg_()
        p.tensor.data.neg_().add_(1)
        p.array += 1

    def show(self) -> None:
        p = self.pick()
        self.shown.append((p.tensor.numpy(), p.array))

    def write_shown(self) -> None:
        if self.shown:
            shown, array = self.random.choice(self.shown)
            shown += 3
            array += 3

    def take_array(self) -> None:
        array = np.arange(float(SIZE))
        model = array.copy()
        self.keep(torch.from_numpy(array), model)
        if self.random.random() < 0.5:
            self.shown.append((array, model))

    def forget_shown(self) -> None:
        if self.shown:
            self.shown.pop(self.random.randrange(len(self.shown)))

    def drop(self) -> None:
        if len(self.pairs) > 2:
            self.pairs.pop(self.random.randrange(len(self.pairs)))

    def share(self) -> None:
        if not self.shown:  # as in PyTorch, arrays that show the memory would be left behind
            self.pick().tensor.share_memory_()

    def give_address(self) -> None:
        self.pick().tensor.data_ptr()

    def look(self) -> None:
        p = self.pick()
        assert p.tensor.tolist() == p.array.tolist()

    def flush(self) -> None:
        graph.flush()

    def fail(self) -> None:
        """A write of a value that cannot be: it does not happen, what was before it does."""
        p = self.pick()
        self.write()
        with pytest.raises(IndexError):
            wrong = torch.arange(3.0)[torch.tensor([self.random.randrange(3, 9)])]
            p.tensor.add_(wrong[0])
            p.tensor.tolist()

    def interrupt(self) -> None:
        """Ctrl-C while a value is computed: what was recorded has happened."""
        p = self.pick()
        presses = [KeyboardInterrupt()]

        def kernel(xp, x):
            if presses:
                raise presses.pop()
            return x + 1

        recorded = apply(Op("interrupted", lambda s: s, kernel), (p.tensor.clone(),))
        with pytest.raises(KeyboardInterrupt):
            recorded.tolist()
        assert recorded.tolist() == (p.array + 1).tolist()

    STEPS = (
        "new", "view", "view", "result", "result", "write", "write", "write_all", "write_part",
        "write_masked", "write_twice_from", "unnoticed_write", "show", "write_shown", "take_array",
        "forget_shown", "drop", "share", "give_address", "look", "look", "flush", "fail",
    )  # fmt: skip

    def run(self, length: int, steps: tuple[str, ...] = STEPS) -> None:
        for _ in range(length):
            name = self.random.choice(steps)
            self.log.append(name)
            getattr(self, name)()
        for p in self.pairs:
            assert p.tensor.tolist() == p.array.tolist(), self.log
        for shown, array in self.shown:
            assert shown.tolist() == array.tolist(), self.log


@pytest.mark.parametrize("seed", range(80))
def test_a_program_gives_numpys_values(seed):
    Program(seed).run(60)


@pytest.mark.parametrize("seed", range(20))
def test_a_program_of_recorded_steps_only_gives_numpys_values(seed):
    """Nothing looks at a value before the end: one long plan."""
    silent = ("view", "result", "write", "write_all", "write_part", "write_twice_from",
              "unnoticed_write", "drop", "new")  # fmt: skip
    Program(seed).run(150, silent)


@pytest.mark.parametrize("seed", range(20))
def test_a_program_that_is_run_again_compiled_gives_the_same_values(seed, monkeypatch):
    monkeypatch.setattr(plan, "LATE", 2)
    for _ in range(4):
        Program(seed).run(25)


def test_programs_of_several_threads_give_numpys_values(monkeypatch):
    """Each thread has tensors of its own; the graph, its plans and its flushes are common."""
    monkeypatch.setattr(plan, "LATE", 3)
    steps = tuple(step for step in Program.STEPS if step != "fail")
    wrong: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for seed in range(start, start + 30):
                Program(seed).run(40, steps)
        except BaseException as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


@pytest.mark.skipif(PROCESS.eager or PROCESS.check, reason="about recording")
@pytest.mark.parametrize("seed", range(20))
def test_a_program_that_is_interrupted_goes_on_with_numpys_values(seed):
    Program(seed).run(60, (*Program.STEPS, "interrupt", "interrupt"))
