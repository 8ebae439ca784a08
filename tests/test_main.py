"""The command line of ``python -m cresset`` itself (programs: tests/compat/test_runner.py)."""

from __future__ import annotations

import pytest

from cresset.compat import info
from cresset.compat.runner import USAGE, main
from cresset.compiler import cache


def test_help_goes_to_stdout_and_succeeds(capsys) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr() == (USAGE, "")


@pytest.mark.parametrize("arguments", [[], ["--legacy"], ["--no-such-option"], ["-m"], ["-c"]])
def test_a_command_line_that_says_nothing_to_run_is_refused_with_status_2(
    arguments, capsys
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(USAGE)


def test_version_names_cresset(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cresset {info.own_version()}\n"


def test_info_prints_what_a_bug_report_needs(capsys, monkeypatch) -> None:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "2")
    assert main(["info"]) == 0
    rows = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert list(rows) == [
        *["cresset", "python", "platform", "numpy", "scipy", "llvmlite", "optional"],
        *["cpu", "cpu features", "cores", "threads", "devices", "mode", "tiers", "cache"],
        "environment",
    ]
    assert rows["devices"].strip() == "cpu, cuda:0 (simulated), cuda:1 (simulated)"
    assert rows["mode"].strip() in ("lazy", "eager")
    assert "CRESSET_SIMULATE_CUDA=2" in rows["environment"]
    assert all(value.strip() for value in rows.values())


def test_cache_shows_and_clears_what_is_kept_between_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CRESSET_CACHE_DIR", str(tmp_path / "plans"))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'plans'} (empty)\n"
    cache.store("a" * 64, bytes(3 * 2**19))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'plans'} (1 file, 1.5 of 256 MiB)\n"
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'plans'}: 1 file removed\n"
    assert list(cache.entries()) == []


def test_cache_refuses_options_it_does_not_know(capsys) -> None:
    assert main(["cache", "--clean"]) == 2
    assert "unknown option: --clean" in capsys.readouterr().err
