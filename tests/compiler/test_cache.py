"""The cache of machine code on disk: what lies there is run, so only what is ours and whole is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cresset.compiler import cache, host

NAME = "0" * 64
CODE = bytes(range(256)) * 16

IR = """
define i32 @answer() {
  ret i32 42
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    where = tmp_path / "plans"
    monkeypatch.setenv("CRESSET_CACHE_DIR", str(where))
    monkeypatch.delenv("CRESSET_CACHE_SIZE", raising=False)
    return where


def _file(folder):
    (path,) = folder.iterdir()
    return path


def test_what_is_stored_comes_back() -> None:
    assert cache.load(NAME) is None
    cache.store(NAME, CODE)
    assert cache.load(NAME) == CODE
    assert cache.load("1" * 64) is None


def test_the_folder_is_for_the_user_alone(folder) -> None:
    cache.store(NAME, CODE)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert _file(folder).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720])
def test_a_folder_that_others_may_write_to_is_not_used(folder, mode) -> None:
    cache.store(NAME, CODE)
    folder.chmod(mode)
    assert cache.load(NAME) is None
    before = sorted(folder.iterdir())
    cache.store("1" * 64, CODE)
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are numbers on POSIX alone")
def test_a_folder_that_somebody_else_owns_is_not_used(folder, monkeypatch) -> None:
    cache.store(NAME, CODE)
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    assert cache.load(NAME) is None


def test_a_link_to_a_folder_is_not_used(folder, tmp_path) -> None:
    cache.store(NAME, CODE)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert cache.load(NAME) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-7] + bytes([data[-7] ^ 1]) + data[-6:],
        lambda data: b"C" + data[1:],
    ],
    ids=["empty", "header only", "cut", "longer", "one bit", "another format"],
)
def test_a_damaged_file_is_ignored_and_removed(folder, damage) -> None:
    cache.store(NAME, CODE)
    path = _file(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.load(NAME) is None
    assert not path.exists()


def test_the_files_not_used_for_longest_go_when_the_limit_is_reached(folder, monkeypatch) -> None:
    monkeypatch.setenv("CRESSET_CACHE_SIZE", str(9 * len(CODE) / 2**20))
    for k in range(8):
        cache.store(str(k) * 64, CODE)
        os.utime(folder / f"{str(k) * 64}.plan", (k, k))
    assert cache.load("0" * 64) == CODE  # used just now
    cache.store("8" * 64, CODE)
    kept = [k for k in range(9) if cache.load(str(k) * 64) is not None]
    assert kept == [0, 4, 5, 6, 7, 8]


def test_the_folder_is_looked_through_only_when_it_may_be_full(folder, monkeypatch) -> None:
    looks = []
    look = cache.entries
    monkeypatch.setattr(cache, "entries", lambda: looks.append(1) or look())
    for i in range(20):
        cache.store(f"{i + 1:02d}" * 32, CODE)
    assert looks == []
    cache.store("00" * 32, CODE)  # one name in 256
    assert len(looks) == 1
    monkeypatch.setenv("CRESSET_CACHE_SIZE", str(64 * len(CODE) / 2**20))
    for i in range(20, 90):
        cache.store(f"{i + 1:02d}" * 32, CODE)
        assert len(list(look())) <= 64
    assert len(looks) == 1 + 70 // 4  # whenever a sixteenth was stored


def test_code_over_the_limit_and_a_limit_of_zero_store_nothing(folder, monkeypatch) -> None:
    monkeypatch.setenv("CRESSET_CACHE_SIZE", "0.001")
    cache.store(NAME, CODE)
    assert cache.load(NAME) is None
    monkeypatch.setenv("CRESSET_CACHE_SIZE", "0")
    cache.store(NAME, b"x")
    assert not folder.exists() or not any(folder.iterdir())
    assert cache.describe() == "off (CRESSET_CACHE_SIZE=0)"


def test_a_limit_that_is_no_number_is_the_usual_one(monkeypatch) -> None:
    monkeypatch.setenv("CRESSET_CACHE_SIZE", "plenty")
    assert cache.limit() == 256 << 20


def test_a_folder_that_cannot_be_made_does_no_harm(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CRESSET_CACHE_DIR", str(tmp_path / "file" / "plans"))
    cache.store(NAME, CODE)
    assert cache.load(NAME) is None
    assert cache.clear() == 0


def test_a_failed_write_leaves_nothing_behind(folder, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.store(NAME, CODE)
    assert list(folder.iterdir()) == []


def test_the_name_follows_from_each_part_and_where_it_ends() -> None:
    assert cache.key("ab", "c") != cache.key("a", "bc") != cache.key("abc")
    assert cache.key("ab", "c") == cache.key("ab", "c")


def test_a_module_comes_from_the_cache_the_second_time() -> None:
    first, second = host.Module(IR), host.Module(IR)
    assert (first.cached, second.cached) == (False, True)
    assert first.function("answer")() == second.function("answer")() == 42


def test_code_for_another_processor_or_version_is_not_taken(monkeypatch) -> None:
    host.Module(IR)
    monkeypatch.setattr(host, "__version__", "99.0")
    assert not host.Module(IR).cached
    monkeypatch.setattr(host, "llvmlite_version", lambda: "another")
    assert not host.Module(IR).cached


def test_the_second_run_of_a_program_takes_its_plans_from_the_disk_and_gives_the_same_bits(
    folder,
) -> None:
    program = """if True:
        import cresset as torch
        from cresset.compiler import host
        seen, init = [], host.Module.__init__
        def noted(self, *texts):
            init(self, *texts)
            seen.append(self.cached)
        host.Module.__init__ = noted
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.GELU(), torch.nn.MaxPool2d(2),
            torch.nn.Flatten(), torch.nn.Linear(4 * 13 * 13, 10),
        )
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(6):
            x, y = torch.randn(8, 1, 28, 28), torch.randint(0, 10, (8,))
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        print(loss.item().hex(), *[p.double().sum().item().hex() for p in net.parameters()])
        print(bool(seen) and all(seen))
    """
    cold, warm = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "CRESSET_MODE": "lazy", "CRESSET_CHECK": "0"},
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()
        for _ in range(2)
    ]  # fmt: skip
    assert cold[0] == warm[0]
    assert (cold[1], warm[1]) == ("False", "True")
