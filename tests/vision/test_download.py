"""Fetching, checking and unpacking: whole files or none, and nothing outside of the folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standins

from cresset.vision import datasets
from cresset.vision.datasets import utils
from cresset.vision.datasets.unpickle import load_plain

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """``/file`` has CONTENT; the others fail in their own ways."""

    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        first = self.server.asked.count(self.path) == 1
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        elif self.path == "/busy" and first:
            self.send_error(503)
        else:
            cut = self.path == "/cut" and first
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000] if cut else CONTENT)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: Any) -> Iterator[Server]:
    monkeypatch.setattr(utils, "RETRY_AFTER", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server(("127.0.0.1", 0), Handler)
    running.asked = []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


@pytest.mark.parametrize("path", ["/file", "/moved", "/busy", "/cut"])
def test_a_download_survives_redirects_and_failures_that_pass(
    server: Server, tmp_path: Path, path: str
) -> None:
    utils.download_url(url(server, path), tmp_path / "new", "x.bin", MD5)
    assert (tmp_path / "new" / "x.bin").read_bytes() == CONTENT
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["x.bin"]


def test_a_good_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        utils.download_url(url(server, "/file"), tmp_path, md5=MD5)
    assert server.asked == ["/file"]


def test_a_refusal_is_final_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="404"):
        utils.download_url(url(server, "/missing"), tmp_path)
    assert server.asked == ["/missing"]
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_leaves_the_old_file_and_no_other(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="File not found or corrupted."):
        utils.download_url(url(server, "/file"), tmp_path, md5="0" * 32)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_cifar10_downloads_from_the_mirror(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    archive = standins.make_cifar10_archive(tmp_path / "mirror")
    standins.make_cifar10(tmp_path / "sums")
    standins.accept_cifar10(monkeypatch, tmp_path / "sums")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", standins.md5_of(archive))
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", str(tmp_path / "mirror"))
    data = datasets.CIFAR10(tmp_path / "data", download=True)
    assert len(data) == 100
    printed = capsys.readouterr().out
    assert printed.startswith(f"Downloading {archive.as_uri()} to {tmp_path}/data/cifar-10-python")
    assert "Extracting" in printed
    archive.unlink()
    datasets.CIFAR10(tmp_path / "data", download=True)
    assert capsys.readouterr().out == "Files already downloaded and verified\n"


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_mnist_downloads_from_the_mirror(tmp_path: Path, monkeypatch: Any, name: str) -> None:
    standins.make_mnist(tmp_path / "mirror", name=name, compressed=True)
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", (tmp_path / "mirror").as_uri() + "/")
    monkeypatch.setenv("CRESSET_DATASETS_CHECK", "0")
    assert len(getattr(datasets, name)(tmp_path, download=True)) == 60
    assert len(getattr(datasets, name)(tmp_path, train=False, download=True)) == 20


def test_mnist_reports_each_mirror_that_failed(tmp_path: Path, monkeypatch: Any) -> None:
    good = standins.make_mnist(tmp_path / "good", compressed=True)
    bad = tmp_path / "bad"
    bad.mkdir()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [bad.as_uri() + "/", good.as_uri() + "/"])
    with pytest.raises(RuntimeError) as raised:  # the second has the files, but other sums
        datasets.MNIST(tmp_path, download=True)
    text = str(raised.value)
    assert text.startswith("Error downloading train-images-idx3-ubyte.gz:\nTried file://")
    assert "No such file" in text
    assert text.endswith("File not found or corrupted.\n")
    sums = [(name, standins.md5_of(good / name)) for name, _ in datasets.MNIST.resources]
    monkeypatch.setattr(datasets.MNIST, "resources", sums)
    assert len(datasets.MNIST(tmp_path, download=True)) == 60


def tar_of(path: Path, members: list[tuple[str, bytes | None, bytes]]) -> Path:
    """Members (name, content or None, type)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/passwd" if content is None else ""
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("name", ["../evil", "/tmp/cresset-evil", "a/../../evil", "link/evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_outside_of_the_folder_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    archive = tmp_path / f"x.{'tar.gz' if kind == 'tar' else 'zip'}"
    if kind == "tar":
        tar_of(archive, [(name, b"evil", tarfile.REGTYPE)])
    else:
        with zipfile.ZipFile(archive, "w") as out:
            out.writestr(name, b"evil")
    with pytest.raises(RuntimeError, match="lies outside of"):
        utils.extract_archive(archive, folder)
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/cresset-evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_archive_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tar_of(tmp_path / "x.tgz", [("ok", b"fine", tarfile.REGTYPE), ("bad", None, kind)])
    with pytest.raises(RuntimeError, match="'bad' is neither a file nor a folder"):
        utils.extract_archive(archive, tmp_path / "in")
    assert not (tmp_path / "in" / "bad").exists()


def test_archives_unpack_by_their_names(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar.gz", [("d", b"", tarfile.DIRTYPE), ("d/x", b"1", tarfile.REGTYPE)])
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        out.writestr("e/y", b"2")
    (tmp_path / "z.gz").write_bytes(gzip.compress(b"3"))
    for name in ("a.tar.gz", "b.zip", "z.gz"):
        utils.extract_archive(str(tmp_path / name), remove_finished=True)
    assert (tmp_path / "d" / "x").read_bytes() == b"1"
    assert (tmp_path / "e" / "y").read_bytes() == b"2"
    assert (tmp_path / "z").read_bytes() == b"3"
    assert not (tmp_path / "b.zip").exists()
    with pytest.raises(RuntimeError, match="Unknown compression or archive type: '.rar'"):
        utils.extract_archive(tmp_path / "x.rar")
    with pytest.raises(RuntimeError, match="has no suffixes"):
        utils.extract_archive(tmp_path / "x")


def test_a_broken_archive_leaves_no_half_file(tmp_path: Path) -> None:
    whole = gzip.compress(np.random.default_rng(0).bytes(100_000))
    (tmp_path / "x.gz").write_bytes(whole[:50_000])
    with pytest.raises(EOFError):
        utils.extract_archive(tmp_path / "x.gz")
    assert [f.name for f in tmp_path.iterdir()] == ["x.gz"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", ">i4", "float64", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_pickles_of_each_protocol_are_read(
    tmp_path: Path, protocol: int, dtype: str, order: Any
) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    content = {"data": array, "labels": [1, 2], "more": (None, True, 1.5, "text", {"k": array[0]})}
    (tmp_path / "x").write_bytes(pickle.dumps(content, protocol))
    read = load_plain(tmp_path / "x")
    assert read["data"].dtype == array.dtype
    assert (read["data"] == array).all()
    assert read["labels"] == [1, 2]
    assert read["more"][:4] == (None, True, 1.5, "text")
    assert (read["more"][4]["k"] == array[0]).all()


@pytest.mark.parametrize(
    "thing",
    [np.array([{}], dtype=object), np.array(["text"]), np.zeros(2, "i4,f4"), {1}.__class__, print,
     np.random.default_rng(0), slice(1)],
)  # fmt: skip
def test_pickles_of_anything_else_are_refused(tmp_path: Path, thing: Any) -> None:
    for protocol in (2, 5):
        (tmp_path / "x").write_bytes(pickle.dumps({"data": thing}, protocol))
        with pytest.raises(pickle.UnpicklingError):
            load_plain(tmp_path / "x")


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x80\x02}q", b"cnumpy\ndtype\n(S'u1'\ntR}b.", b"cnumpy\nndarray\n(I9\ntR.",
     b"cnumpy\ndtype\n(S'O'\ntR.", b"c_codecs\nencode\n(S'a'\nS'zip'\ntR.",
     b"cnumpy.core.multiarray\n_reconstruct\n(tR(tb.",
     b"cnumpy.core.multiarray\n_reconstruct\n}S'x'\nI1\nsb.", b"\x82\x01."],
)  # fmt: skip
def test_malformed_pickles_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(pickle.UnpicklingError):
        load_plain(tmp_path / "x")


def test_every_damaged_byte_of_a_batch_is_read_or_refused(tmp_path: Path) -> None:
    raw = standins.python2_pickle({"data": np.zeros((1, 4), np.uint8), "labels": [3]})
    for place in range(len(raw)):
        for change in (1, 0x20, 0xFF):
            damaged = bytearray(raw)
            damaged[place] ^= change
            (tmp_path / "x").write_bytes(damaged)
            try:
                load_plain(tmp_path / "x")
            except pickle.UnpicklingError:
                pass


def test_verify_str_arg_names_what_is_valid() -> None:
    assert utils.verify_str_arg("a", "split", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="Unknown value 'c' for argument split. Valid values are"):
        utils.verify_str_arg("c", "split", ("a", "b"))
    with pytest.raises(ValueError, match="Expected type str for argument split, but got type"):
        utils.verify_str_arg(3, "split")
