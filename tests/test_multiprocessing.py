"""torch.multiprocessing: Python's, with spawn. Programs run in interpreters of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cresset import multiprocessing

PROGRAM = """
import sys
import torch
import torch.multiprocessing as mp

def work(rank, size, queue):
    if sys.argv[1:] == ["raise"] and rank == 1:
        raise ValueError("no luck")
    if sys.argv[1:] == ["exit"] and rank == 1:
        sys.exit(3)
    queue.put((rank, (torch.ones(2) * rank).tolist(), torch.__name__))

if __name__ == "__main__":
    queue = mp.get_context("spawn").SimpleQueue()
    try:
        mp.spawn(work, args=(2, queue), nprocs=2, join=True)
        print(sorted(queue.get() for _ in range(2)))
    except mp.ProcessException as e:
        print(type(e).__name__, e.error_index, str(e).strip().splitlines()[0])
        print(str(e).strip().splitlines()[-1])
"""


def _run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "cresset", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_spawned_processes_compute_and_are_bound(tmp_path: Path) -> None:
    done = _run(tmp_path)
    expected = "[(0, [0.0, 0.0], 'cresset'), (1, [1.0, 1.0], 'cresset')]\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_an_exception_in_a_process_is_raised_with_its_traceback(tmp_path: Path) -> None:
    assert _run(tmp_path, "raise").stdout.splitlines() == [
        "ProcessRaisedException 1 -- Process 1 terminated with the following error:",
        "ValueError: no luck",
    ]


def test_a_process_that_ends_with_a_status_is_an_error(tmp_path: Path) -> None:
    text = "process 1 terminated with exit code 3"
    assert _run(tmp_path, "exit").stdout.splitlines() == [f"ProcessExitedException 1 {text}", text]


def test_it_offers_what_pythons_module_offers() -> None:
    import multiprocessing as python

    assert multiprocessing.Process is python.Process
    multiprocessing.set_sharing_strategy("file_system")
    assert multiprocessing.get_sharing_strategy() == "file_system"
    with pytest.raises(AssertionError):
        multiprocessing.set_sharing_strategy("none")
    multiprocessing.set_sharing_strategy("file_descriptor")
