"""``explain``, ``report`` and CRESSET_DEBUG: the compiler shown to a reader."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import native
from cresset.core.modes import PROCESS

recorded = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


def _step():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10)
    )
    x, y = torch.randn(5, 1, 8, 8), torch.randint(0, 10, (5,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


@recorded
@pytest.mark.skipif(PROCESS.check, reason="checks look at every backward pass: plans end there")
def test_the_report_of_a_training_step_has_its_kernels():
    step = torch.compile(_step())
    for _ in range(4):
        step().item()
    found = torch.compiler.report()
    names = [op for kernel in found.kernels for op in kernel.ops]
    assert {"convolution_relu", "convolution_weight", "linear", "sgd_step"} <= set(names)
    assert found.tier == "native" and found.fallbacks == ()
    (conv,) = [k for k in found.kernels if k.ops == ("convolution_relu",)]
    assert conv.flops == 2 * 5 * 4 * 36 * 9 and conv.writes == ((5, 4, 6, 6),)
    assert conv.bytes == 4 * (5 * 64 + 4 * 9 + 4 + 5 * 4 * 36)
    assert all(k.seconds > 0 for k in found.kernels)
    assert conv.gflops == pytest.approx(conv.flops / conv.seconds / 1e9)
    assert len(str(found).splitlines()) == len(found.kernels) + 2


@recorded
def test_what_has_no_lowering_is_named():
    x = torch.randn(6, 6)
    (plan,) = torch.explain(lambda: (x * 2 + 1).tanh().logcumsumexp(1) * 3).reports
    assert plan.fallbacks == ("logcumsumexp",)
    assert "on reference kernels: logcumsumexp" in str(plan)


def test_without_a_compiled_plan_there_is_nothing_to_report(monkeypatch):
    monkeypatch.setattr(native.LAST, "plan", None)
    with pytest.raises(RuntimeError, match="no plan has run as machine code yet"):
        torch.compiler.report()


@recorded
def test_an_explanation_shows_every_stage():
    x = torch.randn(4, 40)
    found = torch.explain(lambda: F.layer_norm(x, (40,)).relu())
    assert "mean(" in found.graph and "float32[4 x 40]" in found.graph
    assert "rows of 40" in found.loops and "over the row" in found.loops
    assert "once a row" in found.loops
    assert "define internal i1 @fused_" in found.ir
    assert "fused_" in found.assembly
    assert all(part in str(found) for part in ("ops\n", "kernels\n", "times\n"))


@recorded
def test_looks_on_the_way_make_several_plans():
    x = torch.randn(4, 40)

    def look():
        y = (x * 2 + 1).tanh()
        return y * float(y.sum()) + 1

    assert len(torch.explain(look).plans) == 2


@recorded
def test_the_picture_is_an_svg_with_a_box_for_each_kernel(tmp_path):
    found = torch.explain(_step())
    found.save(tmp_path / "step.svg")
    root = ET.parse(tmp_path / "step.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    boxes = [r for r in root.iter(f"{space}rect") if r.get("rx")]
    kernels = sum(len(plan.built.steps) for _, plan in found.plans)
    assert len(boxes) == kernels
    arrows = root.findall(f"{space}path")
    assert len(arrows) >= kernels - 4
    assert any("convolution" in (t.text or "") for t in root.iter(f"{space}text"))


@recorded
def test_what_was_explained_still_runs():
    x = torch.randn(4, 40)
    results = []
    torch.explain(lambda: results.append((x * 2 + 1).tanh()))
    assert torch.equal(results[0], (x * 2 + 1).tanh())


def test_eager_mode_has_no_plan_to_explain(monkeypatch):
    monkeypatch.setattr(PROCESS, "eager", True)
    with pytest.raises(RuntimeError, match="op by op"):
        torch.explain(lambda: None)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_debug_levels_add_a_stage_each(level):
    program = (
        "import cresset as torch\n"
        "f = torch.compile(lambda x: ((x * 2 + 1).tanh() @ x).relu() + 3)\n"
        "f(torch.ones(8, 8)).sum().item()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "CRESSET_DEBUG": str(level), "CRESSET_MODE": "lazy"},
    )  # fmt: skip
    titles = ["[cresset] ops", "[cresset] kernels", "[cresset] LLVM IR", "[cresset] assembly"]
    assert [t in done.stderr for t in titles] == [n < level for n in range(4)]
    assert "[cresset] flush of" in done.stderr
