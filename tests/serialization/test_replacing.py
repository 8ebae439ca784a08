from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cresset
from cresset.serialization import load, replacing, save
from cresset.utils import Checkpointer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's files")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cresset.__file__).parents[1])}

#: Saves 1, 2, 3, ... (a tensor full of it) over one file until it is killed.
WRITER = """
import sys, cresset
for number in range(1, 100_000):
    cresset.save({"w": cresset.full((3, 500_000), float(number))}, sys.argv[1])
    print(number, flush=True)
"""

#: Saves 2 over a file that holds 1, and dies at the given call of a function of ``os``.
CUT = """
import os, signal, sys, cresset
from cresset.serialization import save
path, zipped = sys.argv[1], sys.argv[2] == "zip"
names = ["pwrite", "fsync", "link", "replace", "chmod", "open", "close"]
for name in names:
    for call in range(40):
        save({"w": cresset.full((300_000,), 1.0)}, path)
        pid = os.fork()
        if pid == 0:
            real, left = getattr(os, name), [call]
            def deadly(*args, **kwargs):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return real(*args, **kwargs)
            setattr(os, name, deadly)
            save({"w": cresset.full((300_000,), 2.0)}, path,
                 _use_new_zipfile_serialization=zipped)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        found = cresset.load(path)["w"]
        first = found[0].item()
        assert first in (1.0, 2.0) and (found == first).all().item(), (name, call)
        print(name, call, status, first)
        if status == 0:
            assert first == 2.0
            break
"""


def whole(path: Path) -> float:
    """The number that a file of ``WRITER`` is full of."""
    found = load(path)["w"]
    assert found.shape == (3, 500_000) and found.min().item() == found.max().item()
    return found[0, 0].item()


def test_a_kill_at_a_random_moment_leaves_the_old_file_or_the_new_one(tmp_path):
    choose = random.Random(7)
    path = tmp_path / "w.pt"
    save({"w": cresset.zeros(3, 500_000)}, path)
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        ) as writer:
            assert writer.stdout is not None
            for _ in range(choose.randint(1, 6)):
                writer.stdout.readline()
            time.sleep(choose.random() * 0.03)
            writer.send_signal(signal.SIGKILL)
            said = [int(line) for line in writer.stdout.read().split()]
        assert writer.returncode == -signal.SIGKILL
        found = whole(path)
        assert found >= 1 and all(found >= number for number in said)
    # A name is given to what is whole already, a moment before it becomes the file's.
    left = [name for name in os.listdir(tmp_path) if name != "w.pt"]
    assert all(whole(tmp_path / name) for name in left)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_kill_at_every_step_of_a_save_leaves_the_old_file_or_the_new_one(tmp_path, form):
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(tmp_path / "w.pt"), form], capture_output=True, text=True,
        timeout=120, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    deaths = [line.split() for line in done.stdout.splitlines() if line.split()[2] != "0"]
    assert {name for name, *_ in deaths} >= {"fsync", "link", "replace"}
    assert {first for *_, first in deaths} == {"1.0", "2.0"}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(small_disk, zipped):
    path = small_disk / "w.pt"
    save({"w": cresset.ones(250_000)}, path)
    with pytest.raises(OSError, match="No space left on device"):
        save({"w": cresset.zeros(1_500_000)}, path, _use_new_zipfile_serialization=zipped)
    assert load(path)["w"].sum().item() == 250_000 and os.listdir(small_disk) == ["w.pt"]
    save({"w": cresset.zeros(250_000)}, path)
    assert load(path)["w"].sum().item() == 0


def test_a_run_on_a_full_disk_keeps_its_last_checkpoint(small_disk):
    run = Checkpointer(small_disk)
    run.save(w=cresset.ones(250_000))
    with pytest.raises(OSError, match="No space left on device"):
        run.save(w=cresset.zeros(1_500_000))
    again = Checkpointer(small_disk)
    assert again.resume() and again.extra["w"].sum().item() == 250_000
    assert [path.name for path in small_disk.iterdir()] == ["checkpoint-000000.pt"]


def test_without_unnamed_files_a_save_does_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(replacing, "_unnamed", lambda folder: None)
    path = tmp_path / "w.pt"
    save(cresset.ones(3), path)
    save(cresset.zeros(3), path)
    assert load(path).tolist() == [0, 0, 0] and os.listdir(tmp_path) == ["w.pt"]


def test_an_unnamed_file_that_cannot_be_named_is_copied(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "w.pt"
    save(cresset.ones(100_000), path)
    assert load(path).sum().item() == 100_000 and os.listdir(tmp_path) == ["w.pt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # not even root makes files there
    else:
        folder = tmp_path
        folder.chmod(0o500)
    with pytest.raises(OSError, match=r"\.tmp"):
        save(1, folder / "w.pt")


def test_a_pipe_is_written_to_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    save(cresset.ones(3), pipe)
    (tmp_path / "copy.pt").write_bytes(reader.communicate()[0])
    assert load(tmp_path / "copy.pt").tolist() == [1, 1, 1]


def test_new_files_have_the_permissions_of_the_process(tmp_path):
    before = os.umask(0o027)
    try:
        save(1, tmp_path / "w.pt")
    finally:
        os.umask(before)
    assert (tmp_path / "w.pt").stat().st_mode & 0o777 == 0o640


def test_the_room_of_a_large_file_that_was_replaced_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(replacing, "_LARGE", 1000)
    path = tmp_path / "file"
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for i in range(5):
        with replacing.replacing(path) as f:
            f.write(bytes([i]) * 5000)
        assert path.read_bytes() == bytes([i]) * 5000
    replacing._wait_for_room()
    if before is not None:
        assert set(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == ["file"]
