"""What README.md and docs/*.md say is true: examples print what stands below them, files exist.

A page's ``python`` blocks are one program, run from top to bottom in a process of its own. A
``text`` block right after one of them is its output. The tables of docs/random.md are run against
PyTorch.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import cresset
import cresset.data
import cresset.nn

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Runs blocks given on stdin and hands back what each printed.
RUNNER = """
import contextlib, io, json, sys
page, blocks = json.load(sys.stdin)
names, printed = {"__name__": "__main__"}, []
for line, code in blocks:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile("\\n" * line + code, page, "exec"), names)
    printed.append(out.getvalue())
json.dump(printed, sys.stdout)
"""


class Block(NamedTuple):
    """A ``python`` block: the lines above it, its code, what the page says it prints."""

    line: int
    code: str
    output: str | None


def blocks_of(text: str) -> list[Block]:
    found: list[Block] = []
    end: int | None = None
    for fence in FENCE.finditer(text):
        kind, body = fence.groups()
        if kind == "python":
            found.append(Block(text.count("\n", 0, fence.start()) + 1, body, None))
        elif kind == "text" and end is not None and not text[end : fence.start()].strip():
            found[-1] = found[-1]._replace(output=body)
        end = fence.end() if kind == "python" else None
    return found


def run(page: str, blocks: list[Block], **environment: str) -> list[str]:
    settings = {k: v for k, v in os.environ.items() if not k.startswith("CRESSET_")}
    settings.update(environment, PYTHONPATH=str(ROOT / "src"))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([page, [(b.line, b.code) for b in blocks]]),
        capture_output=True,
        text=True,
        env=settings,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page.read_text())], ids=lambda page: page.name
)
def test_examples_print_what_the_page_says(page):
    blocks = blocks_of(page.read_text())
    # The pages tell of the recorded mode, whatever mode the tests run in.
    for block, printed in zip(blocks, run(page.name, blocks), strict=True):
        if block.output is not None:
            assert printed == block.output, f"{page.name}:{block.line}"


def test_the_reader_of_pages_pairs_code_with_its_output():
    text = "a\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n```text\nno\n```\n```sh\nls\n```\n"
    assert blocks_of(text) == [Block(3, "print(1)\n", "1\n")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    files = re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|md|toml))`", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    places = [ROOT, ROOT / "src", ROOT / "src" / "cresset", ROOT / "docs"]
    generic = {"script.py", "train.py"}
    missing += [f for f in files if f not in generic and not any((p / f).exists() for p in places)]
    assert not missing


DIFF = re.compile(r"^```diff\n--- a/(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIFFS = DIFF.findall((ROOT / "CONTRIBUTING.md").read_text())


@pytest.mark.parametrize(("path", "diff"), DIFFS, ids=[path for path, _ in DIFFS])
def test_the_diffs_that_newcomers_follow_lead_to_what_is_there(path, diff):
    added = "\n".join(line[1:] for line in diff.splitlines()[2:] if line.startswith("+"))
    assert added in (ROOT / path).read_text()


# -- the tables of docs/random.md ------------------------------------------------------------------

ROW = re.compile(
    r"^\| `(.+?)` \| (same bits|to rounding|but for ties|not there)(.*)\|$", re.MULTILINE
)
ROWS = ROW.findall((ROOT / "docs" / "random.md").read_text())


def drawn(call: str, torch: Any, seed: int) -> list[np.ndarray]:
    """What a call draws, and the three numbers that come next."""
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "init": torch.nn.init}
    names["data"] = torch.utils.data
    torch.manual_seed(seed)
    result = eval(call, names)
    return [*arrays(result), *arrays(torch.rand(3))]


def arrays(result: Any) -> list[np.ndarray]:
    if isinstance(result, (list, tuple)):
        return [leaf for part in result for leaf in arrays(part)]
    if not hasattr(result, "detach"):
        return [np.asarray(result)]
    result = result.detach()
    return [(result.float() if "bfloat16" in str(result.dtype) else result).numpy()]


def on_intel() -> bool:
    about = Path("/proc/cpuinfo")
    return about.exists() and "GenuineIntel" in about.read_text()


@pytest.mark.parametrize(("call", "claim", "more"), ROWS, ids=[row[0] for row in ROWS])
def test_streams_are_what_the_page_says(call, claim, more):
    if claim == "not there":
        with pytest.raises(AttributeError):
            drawn(call, cresset, 0)
        return
    torch = pytest.importorskip("torch")
    if "except on Intel" in more and on_intel():
        pytest.skip("PyTorch takes MKL's generator on this processor")
    for seed in range(2):
        ours, theirs = drawn(call, cresset, seed), drawn(call, torch, seed)
        assert [a.shape for a in ours] == [b.shape for b in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            if claim == "same bits":
                assert a.tobytes() == b.tobytes()
            elif claim == "to rounding":
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
            else:
                assert np.mean(a != b) < 0.005


def test_the_tables_are_read():
    assert len(ROWS) > 50
    assert {row[1] for row in ROWS} == {"same bits", "to rounding", "but for ties", "not there"}
