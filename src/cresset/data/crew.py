"""The worker processes of one loader, seen from the main process.

Tasks are handed to a worker through a pipe, answers come through another (see ``handover``). What
must stay true: the main process never waits for room in a pipe while a worker waits for room in the
other one, so tasks that might not fit are kept until the worker has read those before; and while it
waits for an answer it watches the processes too, so it notices a dead worker immediately.
"""

from __future__ import annotations

import collections
import contextlib
import math
import multiprocessing
import os
import pickle
import signal
import time
import warnings
from multiprocessing.reduction import ForkingPickler
from typing import Any, NoReturn

from cresset.core import graph
from cresset.data import handover
from cresset.data import worker as workers
from cresset.data.waiting import Waiter, interrupts_held_back

#: How long workers get to end by themselves, and then to be terminated.
_PATIENCE = 0.5, 1.0
#: How often the processes are looked after while nothing comes.
_LOOK = 2.0
#: So many bytes fit into a pipe on all systems.
_ROOM = 16 << 10
#: Slots per worker beyond the prefetched batches: for those that the program holds.
_HELD = 4


class _Worker:
    """One process and the two pipes to it."""

    def __init__(self, process: Any, tasks: Any, pipe: Any) -> None:
        self.process, self.tasks, self.pipe = process, tasks, pipe
        self.inbox = handover.Inbox(pipe)
        #: Tasks that wait for more, or for room.
        self.kept: list[tuple[Any, Any]] = []
        #: A message that waits for room, and the last task in it.
        self.message: tuple[bytes, Any] | None = None
        #: (bytes, last task) of each message that the worker may not have read.
        self.unread: collections.deque[tuple[int, Any]] = collections.deque()
        #: How many tasks it was sent and has not answered, as far as we know.
        self.unanswered = 0
        #: Whether its last batch was quickly made (the first tasks go together in any case).
        self.quick = True
        self.waiter = Waiter([pipe])

    def flow(self) -> None:
        """Send what is kept, as far as there is room."""
        while self.kept or self.message:
            if self.message is None:
                message = _message((self.inbox.returned(), self.kept))
                self.message = message, self.kept[-1][0]
                self.unanswered += len(self.kept)
                self.kept = []
            message, last = self.message
            if self.unread and sum(n for n, _ in self.unread) + len(message) > _ROOM:
                return
            self.unread.append((len(message), last))
            self.message = None
            self.say(message)

    def say(self, message: bytes) -> None:
        """Send a message at once; whoever waits for the answer of a dead worker will be told."""
        with contextlib.suppress(OSError):
            self.tasks.send_bytes(message)

    def receive(self) -> tuple[Any, handover.Parcel]:
        """The next answer; EOFError or OSError if the process has ended."""
        (number, self.quick), parcel = self.inbox.receive()
        self.unanswered -= 1
        if self.unread and self.unread[0][1] == number:
            self.unread.popleft()
            if self.message:
                self.flow()
        return number, parcel


def _message(data: Any) -> bytes:
    try:
        return pickle.dumps(data, 5)
    except Exception:  # a sampler may give what only processes can hand on
        return bytes(ForkingPickler.dumps(data))


_STOP = pickle.dumps(([], None))


class Crew:
    """Starts the workers, gives them tasks, takes their answers, ends them."""

    def __init__(self, loader: Any, base_seed: int) -> None:
        self.workers: list[_Worker] = []
        self.closed, self.owner_pid = False, os.getpid()
        self.timeout = loader.timeout or None
        #: Tasks that a worker has at most, so that more would never come.
        self.most = loader.prefetch_factor
        #: Answers that were read before they were asked for.
        self.arrived: collections.deque[tuple[Any, handover.Parcel]] = collections.deque()
        context = loader.multiprocessing_context
        if context is None:
            context = multiprocessing.get_context(_start_method())
        graph.flush("starting data workers")
        for i in range(loader.num_workers):
            self._start(context, loader, base_seed, i)
        pipes = [worker.pipe for worker in self.workers]
        self.waiter = Waiter([*pipes, *[worker.process.sentinel for worker in self.workers]])
        self.by_pipe = {worker.pipe: worker for worker in self.workers}

    def _start(self, context: Any, loader: Any, base_seed: int, i: int) -> None:
        their_tasks, tasks = context.Pipe(duplex=False)
        pipe, theirs = context.Pipe()  # both ways: files are handed over through sockets
        inherited = []
        if context.get_start_method() == "fork":
            inherited = [tasks, pipe]
            for worker in self.workers:
                inherited += [worker.tasks, worker.pipe]
        process = context.Process(
            target=workers.run,
            args=(
                i, loader.num_workers, loader.dataset, loader.iterable, loader._auto_collation,
                loader.collate_fn, loader.drop_last, base_seed, loader.worker_init_fn, their_tasks,
                theirs, inherited, os.getpid(), loader.prefetch_factor + _HELD,
            ),
            daemon=True,
        )  # fmt: skip
        try:
            with interrupts_held_back():
                process.start()
                self.workers.append(_Worker(process, tasks, pipe))
        except (TypeError, AttributeError, pickle.PicklingError):
            self.close()
            warnings.warn(
                "Got pickle error when attempting to start a worker Process. This might be "
                "because the worker Process arguments are not picklable. Python 3.14+ changed "
                "the multiprocessing start method in non-Mac POSIX platforms to 'forkserver', "
                "which requires the worker Process arguments to be picklable. You can also try "
                "multiprocessing.set_start_method('fork').",
                stacklevel=2,
            )
            raise
        finally:
            their_tasks.close()
            theirs.close()  # so that its end is seen when the worker dies

    @property
    def processes(self) -> list[Any]:
        return [worker.process for worker in self.workers]

    def tell(self, i: int, number: Any, indices: Any) -> None:
        """Give worker ``i`` a task, at the latest when ``take`` has to wait.

        A worker that is at work is told at once, which does not disturb it. One that waits would
        have to be woken. If its batches are quickly made, waking costs more than they do, so it is
        told of several tasks together.
        """
        worker = self.workers[i]
        worker.kept.append((number, indices))
        if not worker.quick or len(worker.kept) >= self.most or self._is_busy(worker):
            worker.flow()

    def _is_busy(self, worker: _Worker) -> bool:
        with contextlib.suppress(EOFError, OSError):  # its death is reported by ``take``
            while worker.unanswered and worker.waiter.wait(0):
                self.arrived.append(worker.receive())
        return worker.unanswered > 0

    def flow(self) -> None:
        """Send all tasks that are kept."""
        for worker in self.workers:
            worker.flow()

    def take(self) -> tuple[Any, handover.Parcel]:
        """The next answer of any worker; RuntimeError if one has died or time is up."""
        if not self.arrived:
            self._listen()
        return self.arrived.popleft()

    def _listen(self) -> None:
        ready = self.waiter.wait(0)
        if not ready:
            self.flow()
            ready = self._waited()
        for source in ready:
            worker = self.by_pipe.get(source)
            if worker is not None:
                with contextlib.suppress(EOFError, OSError):
                    self.arrived.append(worker.receive())
        if self.arrived:
            return
        for worker in self.workers:
            if worker.pipe in ready or worker.process.sentinel in ready:
                worker.process.join(_PATIENCE[0])
        self._report_death()

    def _waited(self) -> list[Any]:
        """What becomes ready. A process that a worker has forked can hold pipes and sentinel open
        beyond its death, so the system is asked from time to time."""
        until = math.inf if self.timeout is None else time.monotonic() + self.timeout
        while not (ready := self.waiter.wait(min(_LOOK, max(until - time.monotonic(), 0)))):
            if not all([process.is_alive() for process in self.processes]):
                self._report_death()
            if time.monotonic() >= until:
                raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
        return ready

    def _report_death(self) -> NoReturn:
        """Raise what PyTorch raises when a worker has died."""
        dead = [process for process in self.processes if not process.is_alive()]
        self.close()
        pids = ", ".join(str(process.pid) for process in dead)
        first = dead[0] if dead else None
        cause = None
        if first is not None and first.exitcode < 0:
            text = (
                f"DataLoader worker (pid {first.pid}) is killed by signal: "
                f"{signal.strsignal(-first.exitcode)}. "
            )
            if -first.exitcode == getattr(signal, "SIGBUS", 0):
                text += (
                    "It is possible that dataloader's workers are out of shared memory. Please "
                    "try to raise your shared memory limit."
                )
            cause = RuntimeError(text)
        elif first is not None and first.exitcode:
            cause = RuntimeError(
                f"DataLoader worker (pid {first.pid}) exited unexpectedly with exit code "
                f"{first.exitcode}. Details are lost due to multiprocessing. Rerunning with "
                "num_workers=0 may give better error trace."
            )
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from cause

    def close(self) -> None:
        """End the workers; never raises, also at interpreter exit."""
        # A fork (another loader's worker) inherits this object, but not the workers.
        if self.closed or os.getpid() != self.owner_pid:
            return
        self.closed = True
        for worker in self.workers:
            worker.say(_STOP)
            with contextlib.suppress(OSError):
                worker.tasks.close()
                worker.pipe.close()  # a worker that waits for room in it gives up
        if not self._have_ended(_PATIENCE[0]):
            for process in self.processes:
                process.terminate()
            if not self._have_ended(_PATIENCE[1]):
                for process in self.processes:
                    process.kill()
                self._have_ended(_PATIENCE[1])

    def _have_ended(self, patience: float) -> bool:
        """Whether all workers end within ``patience`` seconds.

        Asked of the system, as the garbage collector may have closed what ``join`` waits on.
        """
        until, pause = time.monotonic() + patience, 1e-4
        while any([process.is_alive() for process in self.processes]):
            if time.monotonic() > until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        return True


def _start_method() -> str:
    method = multiprocessing.get_start_method(allow_none=True)
    if method is not None:
        return method
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
