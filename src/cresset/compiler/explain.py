"""``cresset.explain``: what becomes of a function, from the graph to the machine code.

print(cresset.explain(f, x))           the ops, the kernels' loops, and how long they take
cresset.explain(f, x).ir               the LLVM IR, .assembly the machine code
cresset.explain(f, x).save("f.svg")    the fused graph as a picture
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from cresset.compiler import native
from cresset.compiler.fusion import Group
from cresset.compiler.host import assembly
from cresset.compiler.report import Report, report
from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.core.plan import Plan, Program, Step
from cresset.core.spec import Spec


class Explanation:
    """The plans that a call of a function became; texts of one after the other."""

    def __init__(self, plans: list[tuple[Program, Plan]]) -> None:
        #: (program, plan) pairs; a plan is a NativePlan where it could be compiled.
        self.plans = plans

    @property
    def graph(self) -> str:
        """The ops in the order they run: what each reads and gives."""
        return _sections(self.plans, lambda plan: "\n".join(map(_line, _reference(plan).steps)))

    @property
    def loops(self) -> str:
        """The kernels that are left, and what each loop does to one element."""
        return _sections(self.plans, lambda plan: "\n".join(map(_loop, _steps(plan))))

    @property
    def ir(self) -> str:
        """The LLVM IR before LLVM's own passes."""
        return _sections(self.plans, lambda plan: _module(plan, "ir"))

    @property
    def assembly(self) -> str:
        """The machine code as text."""
        return _sections(self.plans, lambda plan: _module(plan, "assembly"))

    @property
    def reports(self) -> list[Report]:
        """Kernel by kernel, with times."""
        return [report(plan) for _, plan in self.plans]

    @property
    def svg(self) -> str:
        """The fused graphs as one picture."""
        return _picture([_steps(plan) for _, plan in self.plans])

    def save(self, path: str | Path) -> None:
        """Write the picture to a file."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def __str__(self) -> str:
        parts = []
        for (_, plan), found in zip(self.plans, self.reports, strict=True):
            parts.append(
                f"ops\n{_indented(_line(s) for s in _reference(plan).steps)}\n"
                f"kernels\n{_indented(_loop(s) for s in _steps(plan))}\n"
                f"times\n{_indented(str(found).splitlines())}"
            )
        return "\n\n".join(parts)

    __repr__ = __str__


class _Watch:
    """Stands for the plan cache while a function is looked at: notes what runs."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.seen: dict[Program, Plan] = {}

    def get(self, program: Program) -> Plan | None:
        plan = self.real.get(program)
        if plan is not None:
            self.seen[program] = plan
        return plan

    def put(self, program: Program, plan: Plan) -> None:
        self.seen[program] = plan
        self.real.put(program, plan)


def explain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Call ``function(*args, **kwargs)`` and tell what became of it.

    Whatever it leaves to be computed is computed. Plans of more than one stand for looks at values
    on the way.

    >>> import cresset as torch
    >>> x = torch.ones(8, 32)
    >>> print(torch.explain(lambda: (x * 2 + 1).tanh()).loops)
    over (8, 32), each element: fused(mul, add, tanh)
        t0 = mul(a, n0)
        t1 = add(t0, n1)
        o0 = tanh(t1)
    """
    if PROCESS.eager:
        raise RuntimeError("CRESSET_MODE=eager runs op by op: there is no plan to explain")
    graph.flush("before an explanation")
    real = graph.RECORDER.cache
    watch = _Watch(real)
    graph.RECORDER.cache = watch  # type: ignore[assignment]
    try:
        result = function(*args, **kwargs)
        graph.flush("the end of an explanation")
    finally:
        graph.RECORDER.cache = real
    del result
    plans = []
    for program, plan in watch.seen.items():
        if not isinstance(plan, native.NativePlan):
            plan = native.native_plan(program, plan)
        plans.append((program, plan))
    return Explanation(plans)


def debug(program: Program, plan: Plan) -> str:
    """What CRESSET_DEBUG=1..4 prints of a plan that was compiled: each level adds a stage."""
    found = Explanation([(program, plan)])
    stages = [("ops", "graph"), ("kernels", "loops"), ("LLVM IR", "ir"), ("assembly", "assembly")]
    return "\n".join(
        f"[cresset] {title}\n{getattr(found, stage)}" for title, stage in stages[: PROCESS.debug]
    )


def _sections(plans: list[tuple[Program, Plan]], text: Callable[[Plan], str]) -> str:
    return "\n\n".join(text(plan) for _, plan in plans)


def _indented(lines: Any) -> str:
    return "\n".join(f"    {line}" for text in lines for line in text.splitlines())


def _reference(plan: Plan) -> Plan:
    return plan.reference if isinstance(plan, native.NativePlan) else plan


def _steps(plan: Plan) -> list[Step]:
    return plan.built.steps if isinstance(plan, native.NativePlan) else plan.steps


def _module(plan: Plan, what: str) -> str:
    if not isinstance(plan, native.NativePlan):
        return "; nothing in this plan could be compiled"
    kernels = plan.built.kernels
    return "\n\n".join(k.ir if what == "ir" else assembly(k.ir) for k in kernels)


def _shape(spec: Spec) -> str:
    if spec.number is not None:
        return "number"
    layout = "" if spec.contiguous else f" stride {tuple(spec.stride)}"
    return f"{spec.dtype.name}[{' x '.join(map(str, spec.shape))}]{layout}"


def _line(step: Step) -> str:
    """One op: ``v3 = add(v1, v2)  float32[8 x 32]``."""
    call: Any = step.call
    operands = ", ".join(f"v{slot}" for slot, _, _ in step.operands)
    outs = ", ".join(f"v{slot}" for slot, _ in step.outs)
    shapes = ", ".join(_shape(spec) for _, spec in step.outs)
    return f"{outs} = {call.op.name}({operands})  {shapes}"


def _loop(step: Step) -> str:
    """A kernel; of a group, the formula for one element."""
    group: Any = step.call
    if not isinstance(group, Group):
        return _line(step)
    names: dict[int, str] = {}
    tensors = numbers = 0
    for i, spec in enumerate(group.specs):
        if spec.number is None:
            names[i] = _letter(tensors)
            tensors += 1
        else:
            names[i] = f"n{numbers}"
            numbers += 1
    rows = group.depth and group.space[len(group.space) - group.depth :]
    where = f", rows of {' x '.join(map(str, rows))}" if rows else ", each element"
    lines = [
        f"over {group.space}{where}: fused({', '.join(m.call.op.name for m in group.members)})"
    ]
    for position, member in enumerate(group.members):
        value = len(group.specs) + position
        kept = position in group.escapes
        names[value] = f"o{group.escapes.index(position)}" if kept else f"t{position}"
        operands = ", ".join(names[o] for o in member.operands)
        note = {"each": "", "fold": "  over the row", "row": "  once a row"}[member.role]
        lines.append(f"    {names[value]} = {member.call.op.name}({operands}){note}")
    return "\n".join(lines)


def _letter(n: int) -> str:
    return chr(ord("a") + n) if n < 13 else f"a{n}"


# -- the picture -----------------------------------------------------------------------------------

_WIDTH, _GAP, _LINE, _MARGIN = 250, 36, 15, 20
_COLOURS = {"fused": "#dbe9f6", "other": "#f3ead6"}


def _picture(plans: list[list[Step]]) -> str:
    """Boxes for kernels, in layers by what they wait for; arrows for values."""
    boxes: list[tuple[float, float, float, list[str], str]] = []
    arrows: list[tuple[int, int]] = []
    top, widest = float(_MARGIN), 0
    for steps in plans:
        made: dict[int, int] = {}
        level: list[int] = []
        for i, step in enumerate(steps):
            before = {made[slot] for slot, _, _ in step.operands if slot in made}
            level.append(1 + max((level[b] for b in before), default=-1))
            arrows += [(len(boxes) + b, len(boxes) + i) for b in sorted(before)]
            made.update({slot: i for slot, _ in step.outs})
        texts = [_caption(step) for step in steps]
        placed: list[Any] = [None] * len(steps)
        for layer in range(max(level, default=-1) + 1):
            members = [i for i in range(len(steps)) if level[i] == layer]
            height = max(_LINE * len(texts[i]) + 12 for i in members)
            for column, i in enumerate(members):
                kind = "fused" if isinstance(steps[i].call, Group) else "other"
                left = _MARGIN + column * (_WIDTH + _GAP)
                placed[i] = (left, top, _LINE * len(texts[i]) + 12, texts[i], _COLOURS[kind])
                widest = max(widest, left + _WIDTH)
            top += height + _GAP
        boxes += placed
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{widest + _MARGIN}" height="{top:.0f}" '
        'font-family="monospace" font-size="11">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#777"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for source, target in arrows:
        (x0, y0, h0, *_), (x1, y1, *_) = boxes[source], boxes[target]
        x0, x1, y0 = x0 + _WIDTH / 2, x1 + _WIDTH / 2, y0 + h0
        middle = (y0 + y1) / 2
        # A value that waits for some layers goes around the boxes in between.
        aside = _WIDTH / 2 + _GAP / 2 if y1 - y0 > 2 * _GAP and x0 == x1 else 0
        far = aside * 1.4
        parts.append(
            f'<path d="M{x0 + aside * 0.8},{y0} C{x0 + far},{middle} {x1 + far},{middle} '
            f'{x1 + aside * 0.8},{y1}" fill="none" '
            'stroke="#777" marker-end="url(#tip)"/>'
        )
    for x, y, height, text, colour in boxes:
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{height}" rx="4" fill="{colour}" '
            'stroke="#555"/>'
        )
        for i, line in enumerate(text):
            weight = ' font-weight="bold"' if i == 0 else ""
            parts.append(
                f'<text x="{x + 8}" y="{y + _LINE * (i + 1)}"{weight}>{escape(line)}</text>'
            )
    return "\n".join([*parts, "</svg>"])


def _caption(step: Step) -> list[str]:
    call: Any = step.call
    shapes = [_shape(spec) for _, spec in step.outs[:2]]
    shapes += [f"and {len(step.outs) - 2} more"] if len(step.outs) > 2 else []
    if not isinstance(call, Group):
        return [call.op.name, *shapes]
    names = [m.call.op.name for m in call.members]
    if len(names) == 1:
        return [names[0], *shapes]
    lines, line = [], ""
    for name in names:
        if line and len(line) + len(name) > 32:
            lines.append(line)
            line = ""
        line += (" " if line else "") + name
    return [f"fused: {len(names)} ops", *lines, line, *shapes]
