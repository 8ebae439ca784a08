"""Fetching: whole files or none, over connections that break in every way."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import standins
from oracle import load_torchvision

from cresset import download
from cresset.vision import datasets
from cresset.vision.datasets import utils

CONTENT = bytes(range(256)) * 1000
HALF = len(CONTENT) // 2
MD5 = hashlib.md5(CONTENT).hexdigest()
REST = f"bytes={HALF}-"


class Server(ThreadingHTTPServer):
    """Answers with ``content``, each time as the next word of ``script`` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.version: str | None = '"1"'  # the ETag
        self.knows_ranges = True
        self.script: list[str] = []
        self.asked: list[str | None] = []  # the range of each request
        self.silent = threading.Event()  # a half has been sent
        self.released = threading.Event()  # no more silence

    def url(self, path: str = "/file") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["Range"])
        how = self.server.script.pop(0) if self.server.script else "whole"
        self.close_connection = True
        if how.isdigit():
            self.send_error(int(how))
        elif how == "moved":
            self.answer(302, Location="/elsewhere")
        elif how == "chunked":
            self.answer(200, Transfer_Encoding="chunked")
            self.wfile.write(b"%x\r\n%s\r\n" % (HALF, self.server.content[:HALF]))
        else:
            self.send_content(how)

    def send_content(self, how: str) -> None:
        content, start = self.server.content, 0
        version = {"ETag": self.server.version} if self.server.version else {}
        wanted = self.headers["Range"] if self.server.knows_ranges else None
        if wanted and self.headers["If-Range"] in (None, self.server.version):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, Content_Range=f"bytes */{len(content)}")
        length = len(content) - start + {"long": 10, "short": -10}.get(how, 0)
        sent_from = start + (how == "wrong range")
        where = f"bytes {sent_from}-{len(content) - 1}/{len(content)}"
        if start:
            self.answer(206, Content_Length=length, Content_Range=where, **version)
        else:
            self.answer(200, Content_Length=length, **version)
        self.wfile.write(content[sent_from : HALF if how in ("cut", "silent") else None])
        if how == "silent":
            self.wfile.flush()
            self.server.silent.set()
            self.server.released.wait(20)

    def answer(self, code: int, **headers: Any) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: Any) -> Iterator[Server]:
    monkeypatch.setattr(download, "RETRY_AFTER", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    thread.join()
    running.server_close()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ([], [None]),
        (["moved"], [None, None]),
        (["503"], [None, None]),
        (["429", "408"], [None, None, None]),
        (["cut"], [None, REST]),
        (["cut", "503", "500"], [None, REST, REST, REST]),
        (["cut", "wrong range"], [None, REST, None]),
        (["cut", "cut", "cut"], [None, REST, REST, REST]),
    ],
)
def test_a_download_survives_redirects_and_failures_that_pass(
    server: Server, tmp_path: Path, script: list[str], asked: list[str | None]
) -> None:
    server.script = script
    utils.download_url(server.url(), tmp_path / "new", "x.bin", MD5)
    assert (tmp_path / "new" / "x.bin").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["x.bin"]
    assert server.asked == asked


@pytest.mark.parametrize("how", ["cut", "chunked"])
@pytest.mark.parametrize(
    ("md5", "version", "knows_ranges", "second"),
    [
        (MD5, '"1"', True, REST),
        (MD5, None, True, REST),  # the checksum will tell whether the halves fit
        (None, '"1"', True, REST),
        (None, None, True, None),  # nothing would tell
        (None, 'W/"1"', True, None),  # nor this, which may stay when bytes change
        (MD5, '"1"', False, REST),  # the whole file is the answer
    ],
)
def test_a_half_is_completed_where_it_can_be_known_to_fit(
    server: Server,
    tmp_path: Path,
    how: str,
    md5: Any,
    version: Any,
    knows_ranges: bool,
    second: Any,
) -> None:
    if how == "chunked" and md5 is None:
        second = None  # that answer names no version
    server.script, server.version, server.knows_ranges = [how], version, knows_ranges
    utils.download_url(server.url(), tmp_path, "x", md5)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == [None, second]
    assert names(tmp_path) == ["x"]


def test_a_good_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        utils.download_url(server.url(), tmp_path, md5=MD5)
    assert server.asked == [None]


def test_a_refusal_is_final_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.script = ["404"]
    with pytest.raises(OSError, match="404"):
        utils.download_url(server.url(), tmp_path)
    assert len(server.asked) == 1
    with pytest.raises(OSError, match="unknown url type"):
        utils.download_url("gopher://127.0.0.1/x", tmp_path)
    with pytest.raises(OSError, match="No such file"):
        utils.download_url((tmp_path / "none").as_uri(), tmp_path)
    with pytest.raises(ValueError, match="say filename="):
        utils.download_url(server.url("/"), tmp_path)
    assert names(tmp_path) == []


def test_a_wrong_checksum_leaves_the_old_file_and_no_other(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="File not found or corrupted."):
        utils.download_url(server.url(), tmp_path, md5="0" * 32)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]
    assert server.asked == [None]


@pytest.mark.parametrize("script", [["cut"] * 9, ["long"] * 9, ["503"] * 9])
def test_a_server_that_never_sends_all_gives_no_file(
    server: Server, tmp_path: Path, script: list[str]
) -> None:
    server.script, server.version = script, None
    with pytest.raises(OSError, match="IncompleteRead|503"):
        utils.download_url(server.url(), tmp_path, "x")
    assert len(server.asked) in (download.ATTEMPTS, download.ATTEMPTS + 1)
    assert names(tmp_path) == []


def test_a_length_that_is_too_long_is_no_harm_where_a_checksum_is_known(
    server: Server, tmp_path: Path
) -> None:
    server.script = ["long"]
    utils.download_url(server.url(), tmp_path, "x", MD5)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_length_that_is_too_short_is_noticed_by_the_checksum(
    server: Server, tmp_path: Path
) -> None:
    server.script = ["short"]
    with pytest.raises(RuntimeError, match="File not found or corrupted."):
        utils.download_url(server.url(), tmp_path, "x", MD5)
    assert names(tmp_path) == []


def test_a_silent_server_is_asked_again_for_the_rest(
    server: Server, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.script = ["silent"]
    utils.download_url(server.url(), tmp_path, "x")
    assert not server.released.is_set()
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == [None, REST]


def leave_a_half(server: Server, folder: Path, md5: str | None = None) -> None:
    server.script = ["cut"] * 9
    with pytest.raises(OSError):
        utils.download_url(server.url(), folder, "x", md5)
    assert not (folder / "x").exists()
    server.script, server.asked = [], []


def test_a_later_call_completes_what_is_there(server: Server, tmp_path: Path) -> None:
    leave_a_half(server, tmp_path)
    assert names(tmp_path) == [".x.note", ".x.part"]
    utils.download_url(server.url(), tmp_path, "x")
    assert server.asked == [REST]
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert names(tmp_path) == ["x"]


def test_a_half_of_an_older_version_is_not_joined_to_the_new_one(
    server: Server, tmp_path: Path
) -> None:
    leave_a_half(server, tmp_path)
    server.content, server.version = CONTENT[::-1], '"2"'
    utils.download_url(server.url(), tmp_path, "x")
    assert (tmp_path / "x").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[: HALF - 5], CONTENT[:HALF]])
def test_a_half_that_proves_wrong_is_fetched_anew(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    md5 = hashlib.md5(content).hexdigest()
    server.version = None
    leave_a_half(server, tmp_path, md5)
    server.content = content
    utils.download_url(server.url(), tmp_path, "x", md5)
    assert (tmp_path / "x").read_bytes() == content
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("other", ["url", "md5"])
def test_a_half_of_another_file_is_not_used(server: Server, tmp_path: Path, other: str) -> None:
    leave_a_half(server, tmp_path, "0" * 32 if other == "md5" else None)
    server.version = '"2"'
    utils.download_url(server.url("/other" if other == "url" else "/file"), tmp_path, "x", MD5)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_the_next_mirror_completes_what_the_last_one_began(server: Server, tmp_path: Path) -> None:
    server.script = ["cut", "503", "503", "503", "404"]
    utils.try_each(
        [server.url("/a/"), server.url("/b/"), server.url("/c/")],
        lambda place: utils.download_url(place + "x", tmp_path, md5=MD5),
    )
    assert server.asked == [None, REST, REST, REST, REST, REST]
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1}', "\0"])
def test_a_damaged_note_means_a_new_start(server: Server, tmp_path: Path, note: str) -> None:
    (tmp_path / ".x.part").write_bytes(b"anything")
    (tmp_path / ".x.note").write_text(note)
    utils.download_url(server.url(), tmp_path, "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


DOWNLOAD = """
import sys
from cresset.vision.datasets.utils import download_url
download_url(sys.argv[1], sys.argv[2], "x", *sys.argv[3:])
"""


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_process_killed_on_the_way_leaves_nothing_that_looks_whole(
    server: Server, tmp_path: Path, md5: str | None
) -> None:
    server.script = ["silent"]
    arguments = [server.url(), str(tmp_path), *([md5] if md5 else [])]
    process = subprocess.Popen([sys.executable, "-c", DOWNLOAD, *arguments])
    part = tmp_path / ".x.part"
    try:
        assert server.silent.wait(60)
        while part.stat().st_size < HALF:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "x").exists()
    utils.download_url(server.url(), tmp_path, "x", md5)
    assert server.asked == [None, REST]
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert names(tmp_path) == ["x"]


def test_of_two_that_want_a_file_one_fetches_it(server: Server, tmp_path: Path) -> None:
    server.script = ["silent"]
    both = [
        threading.Thread(target=utils.download_url, args=(server.url(), tmp_path, "x", MD5))
        for _ in range(2)
    ]
    both[0].start()
    assert server.silent.wait(20)
    both[1].start()
    server.released.set()
    for thread in both:
        thread.join()
    assert server.asked == [None, REST]
    assert names(tmp_path) == ["x"]


def test_a_full_disk_is_an_error_at_once(server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    def full(part: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.Part, "write", full)
    with pytest.raises(OSError, match="No space left"):
        utils.download_url(server.url(), tmp_path, "x", MD5)
    assert names(tmp_path) == []
    assert server.asked == [None]


def test_progress_is_shown_on_a_terminal_only(
    server: Server, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    utils.download_url(server.url(), tmp_path, "quiet")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    utils.download_url(server.url(), tmp_path, "shown")
    shown = capsys.readouterr().err
    assert shown.startswith("\rshown: ")
    assert shown.endswith("\rshown: 100% |##############################| 0.3 MB of 0.3 MB\n")


def test_google_drives_files_need_gdown(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(RuntimeError, match="'gdown' is required"):
        utils.download_url("https://drive.google.com/file/d/abc/view?usp=x", tmp_path, "x")
    assert names(tmp_path) == []


def test_google_drives_files_come_whole_or_not(tmp_path: Path, monkeypatch: Any) -> None:
    class Gdown:
        @staticmethod
        def download(id: str, output: str, quiet: bool, user_agent: str) -> None:
            Path(output).write_bytes(CONTENT if id == "good" else b"quota exceeded")

    monkeypatch.setitem(sys.modules, "gdown", Gdown)
    with pytest.raises(RuntimeError, match="File not found or corrupted."):
        utils.download_file_from_google_drive("bad", tmp_path, "x", MD5)
    assert names(tmp_path) == []
    utils.download_url("https://docs.google.com/file/d/good/edit", tmp_path, "x", MD5)
    assert (tmp_path / "x").read_bytes() == CONTENT


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


def test_verify_str_arg_names_what_is_valid() -> None:
    assert utils.verify_str_arg("a", "split", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="Unknown value 'c' for argument split. Valid values are"):
        utils.verify_str_arg("c", "split", ("a", "b"))
    with pytest.raises(ValueError, match="Expected type str for argument split, but got type"):
        utils.verify_str_arg(3, "split")


def test_helpers_agree_with_torchvisions(tmp_path: Path, monkeypatch: Any) -> None:
    _, torchvision = load_torchvision()
    theirs = torchvision.datasets.utils
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("a.txt", "b.bin"):
        (tmp_path / name).write_bytes(name.encode())
    for packed in ("x.gz", "d/y.tar.gz", "z.zip"):
        standins.pack(tmp_path / packed, tmp_path / "a.txt")
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("list_dir", (tmp_path,)),
        ("list_dir", (str(tmp_path), True)),
        ("list_files", (tmp_path, ".txt")),
        ("list_files", (tmp_path, (".txt", ".bin"), True)),
        ("iterable_to_str", ([1, "b"],)),
        ("verify_str_arg", ("a", "split", ["a"])),
        ("verify_str_arg", ("c", "split", ["a", "b"])),
        ("verify_str_arg", ("c", "split", ["a", "b"], "own words")),
        ("verify_str_arg", (3, "split")),
        ("verify_str_arg", (3,)),
        ("calculate_md5", (tmp_path / "a.txt",)),
        ("check_md5", (tmp_path / "a.txt", "0")),
        ("check_integrity", (tmp_path / "none", None)),
        ("check_integrity", (tmp_path / "d",)),
        ("check_integrity", ("a.txt", MD5)),
        ("extract_archive", ("x.gz",)),
        ("extract_archive", (Path("x.gz"), "d")),
        ("extract_archive", ("d/y.tar.gz",)),
        ("extract_archive", (Path("z.zip"), tmp_path / "new")),
        ("extract_archive", ("a.txt",)),
        ("extract_archive", ("d",)),
    ]
    for name, arguments in calls:
        results = []
        for lib in (utils, theirs):
            try:
                found = getattr(lib, name)(*arguments)
                results.append(sorted(found) if isinstance(found, list) else found)
            except (ValueError, RuntimeError) as error:
                results.append((type(error), str(error)))
        assert results[0] == results[1], (name, arguments)
