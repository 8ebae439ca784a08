"""``Checkpointer``: a training run that may be killed at any moment and goes on as if never killed.

A checkpoint holds the states of everything that trains, and the place in the data: the epoch, how
many batches of it were taken, the *moment* (``utils/moment.py``) at which the pass over the loader
began, and the present one. To continue in the middle of an epoch, the pass is begun again from its
first moment, so that the sampler draws the same order; the batches that were taken are passed over;
then the present moment is brought back.

What must stay true: everything is read through the safe loader, files are replaced in one step, and
a save does nothing to the run but look at its values. (A look ends the program being recorded, so
the saves of a run belong to what it does: with others, last digits can differ.)
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cresset.core import graph
from cresset.data.sampler import Sampler
from cresset.random.generator import Generator
from cresset.serialization import get_unsafe_globals_in_checkpoint, load, save
from cresset.utils import moment

_NAME = re.compile(r"checkpoint-(\d+)\.pt")
_FORMAT = 1


@dataclass
class _Pass:
    """A pass over a loader: the how-manieth of its epoch, its first moment, what was taken."""

    number: int
    start: dict[str, Any]
    taken: int
    generators: list[Generator]


class Checkpointer:
    """Keeps checkpoints of a training run in a folder and resumes from the newest.

    Args:
        folder: where the files are; it is made if need be.
        keep: how many of the last checkpoints stay (``checkpoint-000012.pt``, the numbers go up).
        best: ``'min'`` or ``'max'`` to keep the checkpoint with the best metric too (``best.pt``).
        gradients: whether the gradients of modules are saved too, for runs whose gradients live
            longer than a step (they are added up, or set to zero instead of None).
        parts: what has ``state_dict`` and ``load_state_dict``: the model, the optimiser, the
            scheduler, under names of your choice.

    A run that is killed and started again ends with the same weights, bit for bit, as one that was
    not, if batches come through ``batches`` and epochs through ``epochs``, gradients are reset at
    each step (or saved), and values that the program keeps besides go through ``save(...)`` and
    ``extra``.
    What else that takes is told in ``docs/checkpoints.md``.

    Raises ValueError for a ``keep`` below 1 or an unknown ``best``, TypeError for a part without
    state.

    >>> import tempfile
    >>> import cresset as torch
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> data = torch.utils.data.TensorDataset(torch.randn(8, 2))
    >>> loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = torch.utils.Checkpointer(folder, model=model, optimizer=optimizer)
    ...     resumed = run.resume()
    ...     for epoch in run.epochs(3):
    ...         for (x,) in run.batches(loader):
    ...             optimizer.zero_grad()
    ...             model(x).square().mean().backward()
    ...             optimizer.step()
    ...         path = run.save(note='end of an epoch')
    ...     again = torch.utils.Checkpointer(folder, model=model, optimizer=optimizer)
    ...     print(resumed, path.name, again.resume(), again.epoch, again.extra)
    False checkpoint-000002.pt True 3 {'note': 'end of an epoch'}
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep: int = 3,
        best: str | None = None,
        gradients: bool = False,
        **parts: Any,
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep should be at least 1, but got {keep}")
        if best not in (None, "min", "max"):
            raise ValueError(f"best should be 'min', 'max' or None, but got {best!r}")
        for name, part in parts.items():
            if not (hasattr(part, "state_dict") and hasattr(part, "load_state_dict")):
                raise TypeError(
                    f"{name} should have state_dict and load_state_dict, but {type(part).__name__} "
                    "has not"
                )
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keep, self.best, self.parts, self.gradients = keep, best, parts, gradients
        #: The epoch that runs (or runs next), and the batches taken in all epochs.
        self.epoch = self.steps = 0
        #: What the checkpoint that was resumed from was given besides.
        self.extra: dict[str, Any] = {}
        #: The best metric so far.
        self.best_metric: float | None = None
        self._number = 0
        self._passes = 0
        self._pass: _Pass | None = None
        self._epoch_start: dict[str, Any] | None = None
        self._place: dict[str, Any] | None = None

    # -- the loops -------------------------------------------------------------------------------

    def epochs(self, count: int) -> Iterator[int]:
        """The numbers of the epochs up to ``count`` that are still to run."""
        for epoch in range(self.epoch, count):
            self.epoch, self._passes = epoch, 0
            if self._place is not None:
                begin = self._place["epoch_start"] or self._place["now"]
                if self._place["pass"] is None:
                    self._place = None
                moment.bring_back({**begin, "others": []})
            self._epoch_start = moment.take()
            yield epoch
            self.epoch = epoch + 1

    def batches(self, loader: Any, *, skip: str | None = None) -> Iterator[Any]:
        """The batches of a loader; after ``resume`` those that were not taken yet.

        ``skip`` says how the others are passed over: ``'load'`` loads them, which is always exact;
        ``'index'`` only takes their indices from the sampler, and is exact unless loading a sample
        draws random numbers in a worker process or changes the dataset. By default they are loaded
        where there are workers or a stream, and else passed over by index.
        """
        if skip not in (None, "load", "index"):
            raise ValueError(f"skip should be 'load', 'index' or None, but got {skip!r}")
        number = self._passes
        self._passes += 1
        generators = _generators(loader)
        place = self._place
        if place is not None and place["pass"] is not None and number < place["pass"]["number"]:
            return
        if place is not None and place["pass"] is not None:
            self._place = None
            start, taken = place["pass"]["start"], place["pass"]["taken"]
            moment.bring_back(start, generators)
            batches = _rest(loader, taken, skip)
            moment.bring_back(place["now"], generators)
        else:
            start, taken = moment.take(generators), 0
            batches = iter(loader)
        self._pass = _Pass(number, start, taken, generators)
        try:
            for batch in batches:
                self._pass.taken += 1
                self.steps += 1
                yield batch
        finally:
            self._pass = None

    # -- files -----------------------------------------------------------------------------------

    def save(self, metric: float | None = None, **extra: Any) -> Path:
        """Write a checkpoint, and return its path.

        Within a loop over ``batches``, it is taken between two batches: call it after the
        optimiser's step. Outside of one, it says that the epoch is over: call it last in the epoch.
        ``metric`` decides which checkpoint is the best; ``extra`` are plain values and tensors.
        """
        graph.flush("a checkpoint is saved")
        better = metric is not None and self._is_better(float(metric))
        if better:
            self.best_metric = float(metric)  # type: ignore[arg-type]
        here = self._pass
        place = {
            "epoch": self.epoch + (here is None),
            "steps": self.steps,
            "epoch_start": None if here is None else self._epoch_start,
            "pass": here and {"number": here.number, "start": here.start, "taken": here.taken},
            "now": moment.take(here.generators if here else ()),
        }
        state = {
            "format": _FORMAT,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "gradients": _gradients(self.parts) if self.gradients else {},
            "place": place,
            "best_metric": self.best_metric,
            "is_best": better,
            "extra": extra,
        }
        path = self.folder / f"checkpoint-{self._number:06d}.pt"
        save(state, path)
        unsafe = get_unsafe_globals_in_checkpoint(path)
        if unsafe:
            path.unlink()
            raise TypeError(
                f"a checkpoint with {', '.join(unsafe)} in it could not be resumed from; save "
                "plain values and tensors, or allow it with torch.serialization.add_safe_globals"
            )
        self._number += 1
        if better:
            self._make_best(path)
        for old in self.paths()[: -self.keep]:
            old.unlink()
        return path

    def resume(self) -> bool:
        """Go back to the newest checkpoint; False if there is none.

        A file that cannot be read is passed over for the next older one, with a warning. Raises
        what the newest raised if none can be read, RuntimeError for other parts than were saved.
        """
        paths = self.paths()
        if not paths:
            return False
        path, state = _newest_readable(paths)
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise RuntimeError(f"{path} is not a checkpoint of a run")
        if state["parts"].keys() != self.parts.keys():
            raise RuntimeError(
                f"{path} holds {sorted(state['parts'])}, but the run has {sorted(self.parts)}"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        _set_gradients(self.parts, state["gradients"])
        graph.flush("a checkpoint is loaded")
        self._place = place = state["place"]
        self.epoch, self.steps, self.extra = place["epoch"], place["steps"], state["extra"]
        self.best_metric = state["best_metric"]
        self._number = int(_NAME.fullmatch(path.name)[1]) + 1  # type: ignore[index]
        if state["is_best"]:
            self._make_best(path)  # the run may have been killed before this
        moment.bring_back({**place["now"], "others": []})
        return True

    def paths(self) -> list[Path]:
        """The last checkpoints, oldest first."""
        found = [p for p in self.folder.iterdir() if _NAME.fullmatch(p.name)]
        return sorted(found, key=lambda p: int(_NAME.fullmatch(p.name)[1]))  # type: ignore[index]

    def best_path(self) -> Path | None:
        """The checkpoint with the best metric, None if there is none."""
        path = self.folder / "best.pt"
        return path if path.exists() else None

    def _is_better(self, metric: float) -> bool:
        if self.best is None or metric != metric:
            return False
        if self.best_metric is None:
            return True
        return metric < self.best_metric if self.best == "min" else metric > self.best_metric

    def _make_best(self, path: Path) -> None:
        """Give a checkpoint its second name, in one step."""
        beside = self.folder / ".best.tmp"
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        try:
            os.link(path, beside)
        except OSError:  # a file system without links
            beside.write_bytes(path.read_bytes())
        os.replace(beside, self.folder / "best.pt")


def _gradients(parts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The gradients of each module among the parts, by the parameters' names."""
    return {
        name: {key: p.grad for key, p in part.named_parameters() if p.grad is not None}
        for name, part in parts.items()
        if hasattr(part, "named_parameters")
    }


def _set_gradients(parts: dict[str, Any], gradients: dict[str, dict[str, Any]]) -> None:
    for name, found in gradients.items():
        for key, parameter in parts[name].named_parameters():
            parameter.grad = found.get(key)


def _newest_readable(paths: list[Path]) -> tuple[Path, Any]:
    first: Exception | None = None
    for path in reversed(paths):
        try:
            return path, load(path)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            if first is None:
                first = error
            warnings.warn(f"{path} cannot be read: {error}", stacklevel=3)
    assert first is not None
    raise first


# -- the rest of a loader ------------------------------------------------------------------------


def _generators(loader: Any) -> list[Generator]:
    """The generators that belong to a loader and its samplers."""
    found: list[Generator] = []
    stack = [loader]
    while stack:
        thing = stack.pop()
        generator = getattr(thing, "generator", None)
        if isinstance(generator, Generator) and not any(generator is g for g in found):
            found.append(generator)
        stack += [
            getattr(thing, name)
            for name in ("batch_sampler", "sampler")
            if getattr(thing, name, None) is not None
        ]
    return found


class _Later(Sampler):
    """A sampler without its first ``count`` draws (which are made all the same)."""

    def __init__(self, sampler: Any, count: int) -> None:
        self.sampler, self.count = sampler, count

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self.sampler), self.count, None)

    def __len__(self) -> int:
        return len(self.sampler) - self.count


def _rest(loader: Any, taken: int, skip: str | None) -> Iterator[Any]:
    """An iterator over ``loader`` that stands behind its first ``taken`` batches."""
    by_index = getattr(loader, "_auto_collation", None) is not None and not loader.iterable
    if skip == "index" and not by_index:
        raise ValueError("only a DataLoader of a dataset with indices can skip by index")
    if skip == "load" or not by_index or (skip is None and loader.num_workers):
        batches = iter(loader)
        for i in range(taken):
            try:
                next(batches)
            except StopIteration:
                raise RuntimeError(
                    f"{taken} batches were taken before, but the loader has only {i}"
                ) from None
        return batches
    if loader.num_workers == 0:
        batches = iter(loader)
        for _ in range(taken):
            next(batches.indices, None)
        return batches
    # Workers are given their first indices at once.
    later = copy.copy(loader)
    name = "batch_sampler" if loader._auto_collation else "sampler"
    later.__dict__[name] = _Later(getattr(loader, name), taken)
    return iter(later)
