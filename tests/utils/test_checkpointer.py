from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cresset as torch
from cresset import nn
from cresset.utils import Checkpointer, moment
from cresset.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from .training import BATCH, EPOCHS, SAMPLES

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are killed")
STEPS = EPOCHS * -(-SAMPLES // BATCH)


@pytest.fixture(autouse=True)
def _no_history():
    yield
    torch.core.graph.RECORDER.history = None
    moment.recall_passes([])


# -- killed and resumed --------------------------------------------------------------------------


def train(folder: Path, workers: int, every: int, kill: int) -> tuple[int, str]:
    """How the run ended: its exit status, and what it printed."""
    script = Path(__file__).with_name("training.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(workers), str(every), str(kill)],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(torch.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path, workers):
    choose = random.Random(workers)
    straight = train(tmp_path / "straight", workers, 0, 0)
    assert straight[0] == 0 and straight[1].split()[0] == str(STEPS)
    for kill in sorted(choose.sample(range(1, STEPS), 2)):
        status, _ = train(tmp_path / "killed", workers, choose.choice([1, 2, 5]), kill)
        assert status == -signal.SIGKILL
    assert train(tmp_path / "killed", workers, 2, 0) == straight


def small_run(folder: Path, **options: Any) -> tuple[Checkpointer, Any, Any]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Checkpointer(folder, model=model, optimizer=optimizer, **options), model, optimizer


class Stop(Exception):
    """What interrupts the runs below, where a kill would take the test along."""


class Recorder(Dataset):
    """Counts how often each sample is loaded."""

    def __init__(self, count: int) -> None:
        self.count, self.loaded = count, Counter()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> int:
        self.loaded[i] += 1
        return i


class Stream(IterableDataset):
    def __iter__(self):
        yield from range(10)


def interrupted(folder: Path, loader: Any, after: int, **options: Any) -> tuple[list, list]:
    """The batches before an interruption after that many, and those after resuming."""
    torch.manual_seed(0)
    run = Checkpointer(folder)
    first: list = []
    try:
        for _ in run.epochs(1):
            for batch in run.batches(loader):
                first.append(batch.tolist())
                if len(first) == after:
                    run.save()
                    raise Stop
    except Stop:
        pass
    torch.manual_seed(99)
    again = Checkpointer(folder)
    assert again.resume()
    rest = [b.tolist() for _ in again.epochs(1) for b in again.batches(loader, **options)]
    assert again.steps == len(first) + len(rest)
    return first, rest


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skip", [None, "load", "index"])
@pytest.mark.parametrize("batch_size", [3, None])
def test_the_rest_of_an_epoch_is_what_it_would_have_been(tmp_path, workers, skip, batch_size):
    loader = DataLoader(
        TensorDataset(torch.arange(10)), batch_size, shuffle=True, num_workers=workers,
        collate_fn=lambda found: torch.stack([x for x, in found]) if batch_size else found[0],
    )  # fmt: skip
    first, rest = interrupted(tmp_path, loader, 2, skip=skip)
    torch.manual_seed(0)
    assert first + rest == [batch.tolist() for batch in loader]


def test_generators_of_the_loader_go_along(tmp_path):
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(torch.arange(10)), 2, shuffle=True, generator=generator,
                        collate_fn=lambda found: torch.stack([x for x, in found]))  # fmt: skip
    first, rest = interrupted(tmp_path, loader, 1)
    after = torch.rand(1, generator=generator)
    generator.manual_seed(5)
    assert first + rest == [batch.tolist() for batch in loader]
    assert torch.equal(torch.rand(1, generator=generator), after)


def test_batches_that_were_taken_are_not_loaded_again(tmp_path):
    data = Recorder(10)
    first, rest = interrupted(tmp_path, DataLoader(data, batch_size=3), 2)
    assert sum(map(len, first + rest)) == 10 and set(data.loaded.values()) == {1}


def test_a_stream_is_resumed_by_loading(tmp_path):
    loader = DataLoader(Stream(), batch_size=3)
    assert interrupted(tmp_path / "a", loader, 2)[1] == [[6, 7, 8], [9]]
    loader = DataLoader(Stream(), batch_size=3, num_workers=2)  # each worker has its own copy
    assert sum(interrupted(tmp_path / "c", loader, 3), []) == [b.tolist() for b in loader]
    with pytest.raises(ValueError, match="only a DataLoader of a dataset with indices can skip"):
        interrupted(tmp_path / "b", loader, 2, skip="index")


def test_any_iterable_can_be_resumed(tmp_path):
    batches = [torch.tensor([i]) for i in range(4)]
    assert interrupted(tmp_path, batches, 3) == ([[0], [1], [2]], [[3]])


def test_a_loader_that_became_shorter_is_an_error(tmp_path):
    batches = [torch.tensor([i]) for i in range(4)]
    run = Checkpointer(tmp_path)
    for _ in run.batches(batches):
        if run.steps == 3:
            run.save()
    again = Checkpointer(tmp_path)
    again.resume()
    with pytest.raises(RuntimeError, match="3 batches were taken before, but the loader has o"):
        list(again.batches(batches[:1]))


def test_an_unknown_way_to_skip_is_refused(tmp_path):
    with pytest.raises(ValueError, match="skip should be 'load', 'index' or None, but got 'jump'"):
        list(Checkpointer(tmp_path).batches([], skip="jump"))


def test_passes_of_an_epoch_that_were_over_stay_over(tmp_path):
    def epoch(run: Checkpointer, stop: bool) -> list:
        seen = []
        for number in run.epochs(2):
            for x in run.batches([1, 2, 3]):
                seen.append((number, "train", x))
            for x in run.batches([4, 5]):
                seen.append((number, "test", x))
                if stop:
                    run.save()
                    return seen
        return seen

    first = epoch(Checkpointer(tmp_path), True)
    again = Checkpointer(tmp_path)
    again.resume()
    assert first + epoch(again, False) == epoch(Checkpointer(tmp_path / "other"), False)


def test_a_save_outside_of_the_batches_ends_the_epoch(tmp_path):
    run = Checkpointer(tmp_path)
    for epoch in run.epochs(5):
        list(run.batches([1, 2]))
        run.save(loss=epoch / 2)
        if epoch == 1:
            break
    again = Checkpointer(tmp_path)
    assert again.resume() and (again.epoch, again.steps, again.extra) == (2, 4, {"loss": 0.5})
    assert list(again.epochs(5)) == [2, 3, 4]


def test_random_numbers_go_on_where_they_were(tmp_path):
    def draws() -> list:
        return [torch.rand(1).item(), random.random(), np.random.rand()]

    run = Checkpointer(tmp_path)
    expected = None
    for _ in run.epochs(1):
        for _ in run.batches([1]):
            torch.randn(3)
            run.save()
            expected = draws()
    again = Checkpointer(tmp_path)
    again.resume()
    assert draws() == expected


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_that_add_up_go_along_if_asked_for(tmp_path, set_to_none):
    data = TensorDataset(torch.randn(24, 3))

    def train(folder: str, stop: int, gradients: bool = True) -> list | None:
        run, model, optimizer = small_run(tmp_path / folder, gradients=gradients)
        run.resume()
        for _ in run.epochs(2):
            for (x,) in run.batches(DataLoader(data, batch_size=3, shuffle=True)):
                model(x).square().mean().backward()
                if run.steps % 3 == 0:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=set_to_none)
                if run.steps == stop:
                    run.save()
                    return None
        return model.weight.tolist()

    expected = train("straight", 0)
    for folder, gradients in (("with", True), ("without", False)):
        train(folder, 4, gradients)
        train(folder, 9, gradients)
        assert (train(folder, 0, gradients) == expected) is gradients


# -- files ---------------------------------------------------------------------------------------


def test_there_is_nothing_to_resume_from_at_first(tmp_path):
    run, model, _ = small_run(tmp_path / "new" / "folder")
    before = model.weight.tolist()
    assert run.resume() is False and model.weight.tolist() == before and run.best_path() is None


def test_the_last_few_and_the_best_are_kept(tmp_path):
    run, model, _ = small_run(tmp_path, keep=2, best="max")
    for metric in [0.1, 0.9, 0.5, float("nan"), 0.3]:
        model.bias.data.fill_(metric)
        run.save(metric=metric)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.pt", "checkpoint-000003.pt", "checkpoint-000004.pt"]
    best = torch.load(run.best_path())
    assert best["parts"]["model"]["bias"].item() == pytest.approx(0.9)
    again, model, _ = small_run(tmp_path, keep=2, best="max")
    assert again.resume() and again.best_metric == 0.9 and model.bias.item() == pytest.approx(0.3)
    again.save(metric=0.8)
    assert again.best_metric == 0.9 and again.paths()[-1].name == "checkpoint-000005.pt"


def test_the_best_is_made_up_for_if_the_run_was_killed_before(tmp_path):
    run, _, _ = small_run(tmp_path, best="min")
    run.save(metric=2.0)
    (tmp_path / "best.pt").unlink()
    again, _, _ = small_run(tmp_path, best="min")
    again.resume()
    assert again.best_path() is not None


def test_weights_momentum_and_rate_come_back(tmp_path):
    run, model, optimizer = small_run(tmp_path)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.05
    run.save()
    again, other, its_optimizer = small_run(tmp_path)
    again.resume()
    assert torch.equal(other.weight, model.weight) and its_optimizer.param_groups[0]["lr"] == 0.05
    momentum = its_optimizer.state[other.weight]["momentum_buffer"]
    assert torch.equal(momentum, optimizer.state[model.weight]["momentum_buffer"])


def test_a_damaged_file_gives_way_to_the_one_before(tmp_path):
    run, model, _ = small_run(tmp_path)
    model.bias.data.fill_(1)
    run.save()
    model.bias.data.fill_(2)
    newest = run.save()
    newest.write_bytes(newest.read_bytes()[:-100])
    again, model, _ = small_run(tmp_path)
    with pytest.warns(UserWarning, match="checkpoint-000001.pt cannot be read"):
        assert again.resume()
    assert model.bias.item() == 1
    run.paths()[0].write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be read"), pytest.raises(RuntimeError):
        again.resume()


def test_other_parts_than_were_saved_are_named(tmp_path):
    small_run(tmp_path)[0].save()
    run = Checkpointer(tmp_path, net=nn.Linear(3, 1))
    with pytest.raises(RuntimeError, match=r"holds \['model', 'optimizer'\], but the run has"):
        run.resume()


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "checkpoint-000000.pt")
    with pytest.raises(RuntimeError, match="is not a checkpoint of a run"):
        Checkpointer(tmp_path).resume()


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    run, _, _ = small_run(tmp_path)
    run.save(note="fine")
    with pytest.raises(TypeError, match="a checkpoint with builtins.range in it could not be resu"):
        run.save(note=range(3))
    assert [path.name for path in run.paths()] == ["checkpoint-000000.pt"]


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="keep should be at least 1, but got 0"):
        Checkpointer(tmp_path, keep=0)
    with pytest.raises(ValueError, match="best should be 'min', 'max' or None, but got 'up'"):
        Checkpointer(tmp_path, best="up")
    with pytest.raises(TypeError, match="model should have state_dict and load_state_dict, but in"):
        Checkpointer(tmp_path, model=3)


def test_saving_changes_nothing_in_a_run(tmp_path):
    def run(every: int) -> list:
        keeper, model, optimizer = small_run(tmp_path / str(every))
        loader = DataLoader(TensorDataset(torch.randn(12, 3)), batch_size=4, shuffle=True)
        for _ in keeper.epochs(2):
            for (x,) in keeper.batches(loader):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
                if every:
                    keeper.save()
        return model.weight.tolist()

    assert run(0) == run(1)
