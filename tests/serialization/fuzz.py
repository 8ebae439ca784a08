"""Damaged and hostile checkpoints without end: ``python -m tests.serialization.fuzz 3600``.

Hypothesis takes a valid file and changes it, at random bytes or with knowledge of its structure
(the instructions of the pickle, the records and headers of the zip file). Each result is loaded in
a child process whose memory is limited, with a clock running and an ear on what Python does:
loading must end soon, in a value or in one of the errors of ``CLEAR``, and may not import, run or
open anything. A file that gets more out of it is kept in ``--keep`` (and belongs into
``test_hostile.py``).
"""

from __future__ import annotations

import argparse
import codecs
import faulthandler
import hashlib
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import cresset
from cresset.serialization import get_unsafe_globals_in_checkpoint, load

from .checkpoints import GOLDEN, repacked, saved

#: What loading may raise. Anything else, a MemoryError too, is a fault.
CLEAR = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError)
#: Memory beyond what the process has after its imports.
MEMORY = 512 << 20
#: Seconds for one file.
PATIENCE = 20
#: Events of ``sys.addaudithook`` that loading has no business with.
FORBIDDEN = (
    "os.", "subprocess.", "socket.", "shutil.", "exec", "compile", "import", "ctypes.dlopen",
    "marshal.", "pickle.find_class", "code.", "webbrowser.", "urllib.",
)  # fmt: skip

INTERESTING = (0, 1, 2, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40)
SNIPPETS = [
    b"cos\nsystem\n", b"cposix\nsystem\n", b"cbuiltins\neval\n", b"cbuiltins\n__import__\n",
    b"X\x02\0\0\0id\x85R", b"cbuiltins\nset\n", b"cbuiltins\nbytearray\n", b"c_codecs\nencode\n",
    b"ccollections\nOrderedDict\n", b"ccollections\nCounter\n", b"ctorch\nSize\n",
    b"ctorch\nTensor\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n", b"ctorch._utils\n_rebuild_parameter_with_state\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n", b"ctorch\ndevice\n", b"ctorch\nfloat32\n",
    b"ctorch\nFloatStorage\n", b"ctorch\nLongStorage\n", b"ctorch.nn.parameter\nParameter\n",
    b"cbuiltins\ncomplex\n", b"R", b"b", b"Q", b"0", b"2", b".", b")", b"]", b"}", b"(", b"t",
    b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"N", b"\x88", b"\x81", b"K\x00", b"K\x03",
    b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\x7f" * 8,
    b"\x8a\xff" + b"\x7f" * 255, b"X\xff\xff\xff\x7f", b"X\x03\0\0\0cpu",
    b"X\x04\0\0\0conj\x88\x86", b"\x80\x04", b"\x8f", b"\x94", b"q\x00", b"r\xff\xff\xff\x7f",
    b"G" + b"\x7f\xf0" + bytes(6),
]  # fmt: skip
SNIPPETS += [b"h" + bytes([i]) for i in range(24)]


def originals() -> list[bytes]:
    """Valid files of every kind."""
    weight = cresset.arange(12.0).view(3, 4)
    state = OrderedDict(w=weight, view=weight.t()[1:], b=cresset.tensor(True))
    noted = cresset.tensor([1.0, 2.0])
    noted.note = {"of": (1, "x")}
    things: list[Any] = [
        state,
        {
            "p": cresset.nn.Parameter(cresset.ones(2)),
            "h": noted.to(cresset.bfloat16),
            "c": noted * 1j,
        },
        {"plain": [1, 2**70, 1.5, "é", b"\xff", None, {3}, 1j, Counter("aab"), bytearray(b"x")]},
        [cresset.Size([2, 3]), cresset.device("cpu"), cresset.float16, noted],
    ]
    files = [saved(thing) for thing in things]
    files += [saved(thing, _use_new_zipfile_serialization=False) for thing in things]
    files.append(repacked(files[0], lambda records: None, zipfile.ZIP_DEFLATED))
    return files + [(GOLDEN / name).read_bytes() for name in ("zip.pt", "legacy.t7")]


ORIGINALS = originals()


# -- changing files ------------------------------------------------------------------------------


@st.composite
def changed_bytes(draw: Any, data: bytes) -> bytes:
    """Bits flipped, bytes put in, taken out, written over, or cut off."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(out) - 1, 0)))
        kind = draw(st.sampled_from("flip flip over number insert delete copy cut".split()))
        if kind == "flip" and out:
            out[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "over":
            out[at : at + 4] = draw(st.binary(min_size=4, max_size=4))
        elif kind == "number":
            form = draw(st.sampled_from(["<I", ">I", "<Q", "<H"]))
            size = struct.calcsize(form)
            number = draw(st.sampled_from(INTERESTING)) % (1 << 8 * size)
            out[at : at + size] = struct.pack(form, number)
        elif kind == "insert":
            out[at:at] = draw(st.sampled_from(SNIPPETS))
        elif kind == "delete":
            del out[at : at + draw(st.integers(1, 64))]
        elif kind == "copy":
            out[at:at] = out[at : at + draw(st.integers(1, 256))]
        else:
            del out[at:]
    return bytes(out)


def instructions(pickled: bytes) -> list[bytes]:
    """A pickle cut into its instructions, arguments and all."""
    starts = [at for _, _, at in pickletools.genops(pickled)]
    return [pickled[a:b] for a, b in zip(starts, [*starts[1:], len(pickled)], strict=True)]


@st.composite
def changed_pickle(draw: Any, pickled: bytes) -> bytes:
    """Instructions doubled, dropped, swapped, put in, repeated often, given other arguments."""
    steps = instructions(pickled)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(steps)))
        kind = draw(st.sampled_from("insert insert drop double swap argument repeat bomb".split()))
        if kind == "insert":
            steps[at:at] = draw(st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=6))
        elif kind == "drop":
            del steps[at : at + draw(st.integers(1, 3))]
        elif kind == "double":
            steps[at:at] = steps[at : at + draw(st.integers(1, 8))]
        elif kind == "swap":
            other = draw(st.integers(0, len(steps)))
            if at < len(steps) and other < len(steps):
                steps[at], steps[other] = steps[other], steps[at]
        elif kind == "argument" and at < len(steps) and len(steps[at]) > 1:
            steps[at] = steps[at][:1] + draw(st.binary(min_size=1, max_size=len(steps[at])))
        elif kind == "repeat" and at < len(steps):
            steps[at:at] = [steps[at]] * draw(st.sampled_from([10, 1000, 30_000]))
        elif kind == "bomb":  # a tuple of two that are one, and so on
            depth = draw(st.integers(2, 60))
            steps[at:at] = [b")q\xf0"] + [b"h\xf0h\xf0\x86q\xf0"] * depth
    return b"".join(steps)


@st.composite
def changed_archive(draw: Any, data: bytes) -> bytes:
    """The pickle changed, or records renamed, dropped, exchanged; packed again with right sums."""

    def edit(records: dict[str, bytes]) -> None:
        names = list(records)
        kind = draw(st.sampled_from("pickle pickle pickle rename drop exchange bytes".split()))
        name = draw(st.sampled_from(names))
        if kind == "pickle":
            home = next(n for n in names if n.endswith("data.pkl"))
            records[home] = draw(changed_pickle(records[home]))
        elif kind == "rename":
            paths = [
                "../../x",
                "/etc/x",
                "archive/../x",
                "archive/data/0/x",
                "a\\b",
                "é",
                "x" * 300,
            ]
            records[draw(st.sampled_from(paths))] = records.pop(name)
        elif kind == "drop":
            del records[name]
        elif kind == "exchange":
            records[name] = records[draw(st.sampled_from(names))]
        else:
            records[name] = draw(changed_bytes(records[name]))

    return repacked(data, edit, draw(st.sampled_from([0, 0, 0, zipfile.ZIP_DEFLATED])))


@st.composite
def changed_legacy(draw: Any, data: bytes) -> bytes:
    """The pickles of an old file, one of them changed."""
    parts, at = [], 0
    for _ in range(5):
        length = 1 + max(at for _, _, at in pickletools.genops(data[at:]))
        parts.append(data[at : at + length])
        at += length
    which = draw(st.sampled_from([3, 3, 3, 0, 1, 2, 4]))
    parts[which] = draw(changed_pickle(parts[which]))
    return b"".join(parts) + data[at:]


@st.composite
def files(draw: Any) -> bytes:
    """A file that was valid once."""
    data = draw(st.sampled_from(ORIGINALS))
    if draw(st.integers(0, 3)) == 0:
        return draw(changed_bytes(data))
    change = changed_archive if data[:2] == b"PK" else changed_legacy
    data = draw(change(data))
    return draw(changed_bytes(data)) if draw(st.integers(0, 9)) == 0 else data


# -- loading them --------------------------------------------------------------------------------


class Ear:
    """Hears of every forbidden thing that Python does while it listens."""

    def __init__(self) -> None:
        self.listening = False
        self.heard: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple) -> None:
        if not self.listening:
            return
        writes = event == "open" and isinstance(args[2], int) and args[2] & 0o3
        if writes or event.startswith(FORBIDDEN):
            self.heard.append(f"{event}{args[:2]!r}"[:200])


def touch(value: Any) -> None:
    """Look at every tensor: one that reaches out of its memory would crash."""
    seen: set[int] = set()
    stack = [value]
    while stack and len(seen) < 10_000:
        found = stack.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, cresset.Tensor):
            if found.numel() <= 10_000:
                found.tolist()
            stack.append(found.__dict__.get("note"))
        elif isinstance(found, dict):
            stack += [*found.keys(), *found.values()]
        elif isinstance(found, (list, tuple, set)):
            stack.extend(found)


def check(data: bytes, path: Path, ear: Ear) -> None:
    """Load a file in every way; AssertionError if that has an effect or an unclear error."""
    path.write_bytes(data)
    for attempt in (
        lambda: touch(load(path, weights_only=True)),
        lambda: touch(load(io.BytesIO(data), weights_only=True, map_location="cpu")),
        lambda: touch(load(path, weights_only=True, mmap=True)),
        lambda: get_unsafe_globals_in_checkpoint(io.BytesIO(data)),
    ):
        ear.listening = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attempt()
        except CLEAR as error:
            assert len(str(error)) < 5_000, "the error message shows the whole file"
        finally:
            ear.listening = False
        assert not ear.heard, ear.heard


def limit_memory(more: int) -> None:
    """Let this process have ``more`` bytes beyond what it has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def run_child(number: int, examples: int, path: Path) -> None:
    """Check so many files, the last of which lies at ``path`` when something goes wrong."""
    ear = Ear()
    for codec in ("raw_unicode_escape", "unicode_escape", "latin-1", "ascii"):
        codecs.lookup(codec)  # pickletools uses them
    for data in ORIGINALS:  # whatever is imported at first use is imported now
        check_quietly(data, path, ear)
    limit_memory(MEMORY)

    @seed(number)
    @settings(
        max_examples=examples, database=None, report_multiple_bugs=False, deadline=None,
        derandomize=False, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(files())
    def all_is_well(data: bytes) -> None:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        check(data, path, ear)
        faulthandler.cancel_dump_traceback_later()

    all_is_well()


def check_quietly(data: bytes, path: Path, ear: Ear) -> None:
    """What ``check`` does, without listening."""
    try:
        check(data, path, ear)
    except AssertionError:
        ear.heard.clear()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child is not None:
        run_child(options.seed, options.examples, options.child)
        return 0
    options.keep.mkdir(parents=True, exist_ok=True)
    started, rounds, found = time.time(), 0, 0
    while time.time() - started < options.seconds:
        last = options.keep / "last"
        done = subprocess.run(
            [sys.executable, "-m", "tests.serialization.fuzz", "0", "--child", str(last),
             "--seed", str(options.seed + rounds), "--examples", str(options.examples)],
            capture_output=True, text=True, env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip
        rounds += 1
        if done.returncode:
            found += 1
            name = hashlib.sha256(last.read_bytes()).hexdigest()[:12]
            last.replace(options.keep / name)
            (options.keep / f"{name}.txt").write_text(done.stdout + done.stderr)
            print(f"found {name} (exit status {done.returncode})", flush=True)
        print(f"{time.time() - started:.0f} s, {rounds * options.examples} files, {found} found",
              flush=True)  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
