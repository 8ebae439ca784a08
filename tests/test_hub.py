"""Checkpoints by URL: whole and right, or not at all; models of a folder's hubconf.py."""

from __future__ import annotations

import hashlib
import os
import socket
import textwrap
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import cresset as torch
from cresset import download, hub


@pytest.fixture(autouse=True)
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub, "_dir", None)
    return tmp_path / "home" / "hub"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint whose name has the beginning of its hash."""
    file = tmp_path / "state.pth"
    torch.save({"weight": torch.arange(3.0)}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return file.rename(tmp_path / f"state-{digest[:8]}.pth")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_folder_is_the_one_that_pytorch_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "/a/home")
    assert hub.get_dir() == "/a/home/hub"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/a/cache")
    assert hub.get_dir() == "/a/cache/torch/hub"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert hub.get_dir() == os.path.expanduser("~/.cache/torch/hub")
    hub.set_dir("~/other")
    assert hub.get_dir() == os.path.expanduser("~/other")


def test_a_checkpoint_is_fetched_once(source: Path, hub_folder: Path, capsys: Any) -> None:
    url = source.as_uri()
    first = hub.load_state_dict_from_url(url, check_hash=True)
    assert first["weight"].tolist() == [0.0, 1.0, 2.0]
    kept = hub_folder / "checkpoints" / source.name
    assert capsys.readouterr().out == f'Downloading: "{url}" to {kept}\n'
    source.unlink()
    again = hub.load_state_dict_from_url(url, check_hash=True)
    assert torch.equal(again["weight"], first["weight"])
    assert capsys.readouterr().out == ""
    assert names(kept.parent) == [source.name]


def test_place_and_name_of_a_checkpoint_can_be_chosen(source: Path, tmp_path: Path) -> None:
    hub.load_state_dict_from_url(source.as_uri(), model_dir=str(tmp_path / "m"), file_name="x.pth")
    assert names(tmp_path / "m") == ["x.pth"]


def test_a_wrong_hash_is_an_error_and_leaves_nothing(source: Path, hub_folder: Path) -> None:
    wrong = source.rename(source.with_name("state-00c0ffee.pth"))
    with pytest.raises(RuntimeError, match=r'invalid hash value \(expected "00c0ffee", got "'):
        hub.load_state_dict_from_url(wrong.as_uri(), check_hash=True)
    assert names(hub_folder / "checkpoints") == []
    assert "weight" in hub.load_state_dict_from_url(wrong.as_uri())  # unless nobody asks


def test_the_older_name_is_the_same_function() -> None:
    from cresset.utils import model_zoo

    assert model_zoo.load_url is hub.load_state_dict_from_url


class Cut(BaseHTTPRequestHandler):
    """Promises 1000 bytes and sends 10."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def cut_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), Cut)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/state-12345678.pth"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_connection_that_breaks_off_leaves_the_old_file(
    cut_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RETRY_AFTER", 0.001)
    target = tmp_path / "there" / "x.pth"
    target.parent.mkdir()
    target.write_bytes(b"the old file")
    with pytest.raises(urllib.error.URLError, match="990 more expected"):
        hub.download_url_to_file(cut_server, str(target))
    assert names(target.parent) == ["x.pth"] and target.read_bytes() == b"the old file"


def test_without_a_network_the_error_says_what_to_do(
    hub_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "RETRY_AFTER", 0.001)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    with pytest.raises(urllib.error.URLError) as caught:
        hub.load_state_dict_from_url(url)
    place = hub_folder / "checkpoints" / "resnet18-f37072fd.pth"
    assert f"{url} could not be fetched; without a network, put the file at {place}" in str(
        caught.value
    )


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("/nowhere/at/all",)


def test_a_checkpoint_from_the_network_runs_no_code(tmp_path: Path) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"weight": Evil()}, file)
    with pytest.raises(Exception, match="mkdir"):
        hub.load_state_dict_from_url(file.as_uri())


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "parts.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "hubconf.py").write_text(
        textwrap.dedent("""
            dependencies = ["json"]

            def doubled(x, plus=0):
                '''Twice x.'''
                from parts import double
                return double(x) + plus

            def _hidden():
                pass
        """)
    )
    return folder


def test_a_folders_models_load(repo: Path) -> None:
    assert hub.load(repo, "doubled", 4, plus=1, source="local") == 9
    assert hub.list(repo, source="local") == ["doubled"]
    assert hub.help(repo, "doubled", source="local") == "Twice x."
    with pytest.raises(RuntimeError, match="Cannot find callable tripled in hubconf"):
        hub.load(str(repo), "tripled", source="local")


def test_what_a_folder_lacks_is_named(repo: Path) -> None:
    (repo / "hubconf.py").write_text("dependencies = ['json', 'no_such_package_here']\n")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package_here"):
        hub.load(repo, "doubled", source="local")


def test_code_from_github_is_not_run(repo: Path) -> None:
    with pytest.raises(RuntimeError, match="clone pytorch/vision yourself"):
        hub.load("pytorch/vision", "resnet18")
    with pytest.raises(ValueError, match='Unknown source: "elsewhere"'):
        hub.load(repo, "doubled", source="elsewhere")
