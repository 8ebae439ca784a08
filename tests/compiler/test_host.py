"""What LLVM makes of a text."""

from __future__ import annotations

import pytest

from cresset.compiler import host
from cresset.compiler.code import Code
from cresset.core.modes import PROCESS

pytestmark = pytest.mark.skipif(not PROCESS.compile, reason="nothing is compiled in this mode")


def _running_product(kind: str) -> str:
    """A loop that multiplies 64 values one after the other."""
    code = Code()
    one = "1.0" if kind == "float" else code.splat("float", 4, "1.0")
    total = code.slot(kind, one)
    with code.loop(64, 1 if kind == "float" else 4) as i:
        value = code.load(kind, "%a0", i, align=4)
        code.set(kind, total, code.let(f"fmul {kind} {code.get(kind, total)}, {value}"))
    code.store(kind, code.get(kind, total), "%o0", align=4)
    text = code.function("product", ["ptr %a0", "ptr %o0"]).replace("internal ", "")
    return text + "\nattributes #0 = { nounwind }\n"


@pytest.mark.parametrize(("kind", "unrolled"), [("float", True), ("<4 x float>", False)])
def test_loops_over_single_elements_are_unrolled_and_those_over_vectors_are_left(kind, unrolled):
    products = host.assembly(_running_product(kind)).count("mul" if not host.is_arm() else "fmul")
    assert products >= 4 if unrolled else products == 1


def test_texts_given_together_are_one_module():
    texts = [f"define i32 @f{n}() {{\n  ret i32 {n}\n}}\n" for n in range(3)]
    module = host.Module(*texts)
    assert [module.function(f"f{n}")() for n in range(3)] == [0, 1, 2]


def _many() -> list[str]:
    return [_running_product(kind).replace("64", str(n)) for n in range(16, 96, 8)
            for kind in ("float", "<4 x float>")]  # fmt: skip


@pytest.mark.parametrize("locked", [False, True])
def test_threads_make_the_same_code_side_by_side(monkeypatch, locked):
    monkeypatch.setattr(PROCESS, "_threads", 1)
    expected = host.objects(_many())
    if locked:  # where llvmlite has no functions without its lock
        library = host.llvm().ffi.lib
        monkeypatch.setattr(host, "_free", lambda name: getattr(library, name))
    monkeypatch.setattr(PROCESS, "_threads", 4)
    for _ in range(3):
        assert host.objects(_many()) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_a_text_that_is_wrong_is_an_error_whichever_thread_meets_it(monkeypatch, threads):
    monkeypatch.setattr(PROCESS, "_threads", threads)
    with pytest.raises(RuntimeError, match="parsing error"):
        host.objects([*_many(), "define nonsense"])


def test_where_no_thread_can_be_started_one_makes_it_all(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(PROCESS, "_threads", 3)
    expected = host.objects(_many())
    monkeypatch.setattr(host.Thread, "start", refuse)
    assert host.objects(_many()) == expected
