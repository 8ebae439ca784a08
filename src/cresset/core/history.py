"""What a process knows of the programs it has met, for another process that goes on from there.

When a program is compiled depends on how often it was met (``plan_cache``), and compiled code
rounds differently from the reference kernels. A training run that is continued by a new process
would meet its programs for the first time again, run them on the reference kernels again, and end
with other last digits than a run that was never interrupted. So a checkpoint takes the counts along
(``cresset.utils.Checkpointer``), by the programs' fingerprints, and the new process counts on from
them: what was compiled is compiled when it comes.

Nothing here costs anything until ``HISTORY.recall`` was called: then each program that is met for
the first time in this process is looked up once.
"""

from __future__ import annotations

from typing import Any

from cresset.core import graph
from cresset.core.fingerprint import fingerprint


class History:
    """Counts by fingerprint: of this process, and of those before it."""

    def __init__(self) -> None:
        #: Programs of earlier processes that did not come back yet: (times met, on second tier).
        self._before: dict[str, tuple[int, bool]] = {}
        self._names: dict[Any, str | None] = {}

    def plans(self) -> dict[str, tuple[int, bool]]:
        """Every program that was met: how often, and whether its compilation was due."""
        with graph.LOCK:
            met = list(graph.RECORDER.cache.items())
        self._names = {program: self._name(program) for program, _ in met}
        found = dict(self._before)
        for program, plan in met:
            name = self._names[program]
            if name is not None:
                found[name] = plan.seen, plan.compile_at == 0
        return found

    def recall(self, plans: dict[str, Any]) -> None:
        """Count on from what ``plans`` returned in another process; forgets what this one met."""
        graph.flush("counts of programs are taken over")
        with graph.LOCK:
            self._before = {name: (int(seen), bool(due)) for name, (seen, due) in plans.items()}
            self._names = {}
            graph.RECORDER.cache.clear()
            graph.RECORDER.history = self

    def meet(self, program: Any, plan: Any) -> None:
        """Give a plan that was just made the count of its program's earlier life."""
        if not self._before:
            return
        name = self._names[program] = self._name(program)
        before = self._before.pop(name, None) if name is not None else None
        if before is not None:
            plan.seen += before[0]
            if before[1] or plan.seen >= plan.compile_at:
                plan.compile_at = plan.seen

    def _name(self, program: Any) -> str | None:
        if program in self._names:
            return self._names[program]
        return fingerprint(tuple(program))


HISTORY = History()
