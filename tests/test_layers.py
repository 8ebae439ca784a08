"""The architecture, kept by reading the source: imports point downwards and form no cycle.

A *unit* is a folder or a single module directly under ``src/cresset``. The imports of every file
are read with ``ast``, those inside functions too, as they hide cycles rather than break them; only
imports under ``if TYPE_CHECKING:`` do not count. Nothing is imported to run this test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "cresset"

# From the ground up; units on one line stand side by side. A new folder needs a place here: choose
# the lowest line that it can live on.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("dtypes", "device", "size", "version"),
    ("runtime",),
    ("core",),
    ("compiler",),
    ("tensor", "printing"),
    ("dlpack",),
    ("random",),
    ("ops",),
    ("autograd",),
    ("nn", "serialization", "data", "hub", "download"),
    ("optim", "vision", "distributed", "distributions"),
    # PyTorch's names for what lies below: modules that only re-export or gather.
    (
        "namespace",
        "compilation",
        "utils",
        "cuda",
        "accelerator",
        "linalg",
        "fft",
        "special",
        "backends",
        "amp",
        "jit",
        "testing",
        "multiprocessing",
    ),
    ("compat",),
    ("__init__",),
    ("__main__",),
)
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}


def unit_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def import_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs and may import, at any depth."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_type_checking(child.test):
            for statement in child.orelse:
                yield statement
                yield from import_nodes(statement)
            continue
        yield child
        yield from import_nodes(child)


def imported_modules(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """``(dotted name, line)`` of each import; ``from a import b`` gives ``a.b``, module or not."""
    for node in import_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            argument = node.args[0] if node.args else None
            if name in ("import_module", "__import__"):
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value, node.lineno


def edges(text: str, path: Path, units: set[str]) -> Iterator[tuple[str, int]]:
    """``(unit, line)`` for every import of another unit of Cresset in one file."""
    package = ".".join(["cresset", *path.relative_to(PACKAGE).parent.parts])
    for name, line in imported_modules(ast.parse(text), package):
        parts = name.split(".")
        if parts[0] != "cresset":
            continue
        # `import cresset` and `from cresset import Tensor` need the whole package's __init__.
        unit = parts[1] if len(parts) > 1 and parts[1] in units else "__init__"
        if unit != unit_of(path):
            yield unit, line


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "_child" not in path.parts]
UNITS = {unit_of(path) for path in FILES}
IMPORTS = [
    (path, unit, line)
    for path in FILES
    for unit, line in edges(path.read_text(encoding="utf-8"), path, UNITS)
]


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(PACKAGE.parent)}:{line}"


def test_every_unit_has_a_layer() -> None:
    assert UNITS - set(RANK) == set()


def test_imports_point_downwards_or_sideways() -> None:
    upward = [
        f"{where(path, line)}: {unit_of(path)} imports {unit}, which is above it"
        for path, unit, line in IMPORTS
        if RANK.get(unit, -1) > RANK.get(unit_of(path), len(LAYERS))
    ]
    assert not upward, "\n" + "\n".join(upward)


def test_imports_between_units_form_no_cycle() -> None:
    graph: dict[str, set[str]] = {unit: set() for unit in UNITS}
    for path, unit, _ in IMPORTS:
        graph[unit_of(path)].add(unit)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = error.args[1]
        links = set(zip(cycle[1:], cycle))
        lines = [
            f"{where(path, line)}: {unit_of(path)} imports {unit}"
            for path, unit, line in IMPORTS
            if (unit_of(path), unit) in links
        ]
        pytest.fail("a cycle: " + " <- ".join(cycle) + "\n" + "\n".join(lines), pytrace=False)


def test_nothing_below_nn_knows_nn() -> None:
    knowing = [
        where(path, line)
        for path, unit, line in IMPORTS
        if unit == "nn" and RANK.get(unit_of(path), len(LAYERS)) < RANK["nn"]
    ]
    assert not knowing


def test_nothing_imports_the_real_torch() -> None:
    real = [
        where(path, line)
        for path in FILES
        for name, line in imported_modules(ast.parse(path.read_text(encoding="utf-8")), "cresset")
        if name.partition(".")[0] in ("torch", "torchvision")
    ]
    assert not real


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import cresset.nn.functional", ["nn"]),
        ("from cresset import nn, Tensor", ["nn", "__init__"]),
        ("from cresset.nn import Linear as L", ["nn"]),
        ("from ..nn.functional import relu", ["nn"]),
        ("from .. import nn", ["nn"]),
        ("from . import pointwise", []),
        ("from .pointwise import add", []),
        ("import cresset", ["__init__"]),
        ("def f():\n    class A:\n        import cresset.nn", ["nn"]),
        ("try:\n    pass\nfinally:\n    import cresset.nn", ["nn"]),
        ("if TYPE_CHECKING:\n    import cresset.nn\nelse:\n    import cresset.optim", ["optim"]),
        ("if typing.TYPE_CHECKING:\n    def f():\n        import cresset.nn", []),
        ("importlib.import_module('cresset.nn')", ["nn"]),
        ("import numpy.nn, cressets.nn", []),
    ],
)
def test_the_reader_of_imports_sees(text: str, found: list[str]) -> None:
    path = PACKAGE / "ops" / "example.py"
    assert [unit for unit, _ in edges(text, path, {"nn", "optim", "ops"})] == found
