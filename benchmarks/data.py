"""Loading data, and whole scripts from files to accuracy, beside PyTorch with torchvision.

``python benchmarks/data.py`` prints both tables; ``report`` returns them. The files are small
stand-ins in the real formats, made by ``tests/vision/standins.py``. Everything runs in processes of
its own, by turns: ``python benchmarks/data.py MODULE loading ROOT WORK WORKERS`` prints images per
second, ``python benchmarks/data.py MODULE SCRIPT ROOT`` runs one script and prints its seconds last
(imports apart). Compiled code is kept between runs in a folder of the benchmark's own, so the first
run of a script is told apart.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import os
import pickle
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import startup

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "vision"))

#: name -> the transforms, made from ``torchvision.transforms``.
LOADING = {
    "ToTensor, Normalize": lambda T: [T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)],
    "RandomCrop, flip, ToTensor, Normalize": lambda T: [
        T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.ToTensor(),
        T.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
    ],
    "the same and a Lambda, image by image": lambda T: [
        T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.Lambda(_same), T.ToTensor(),
        T.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
    ],
    "RandomRotation, ToTensor, image by image": lambda T: [T.RandomRotation(10), T.ToTensor()],
}  # fmt: skip
SCRIPTS = {
    "blitz": "blitz script: CIFAR-10, batch 4, 2 workers",
    "lenet": "LeNet script: MNIST, batch 64",
    "nn_tutorial": "nn tutorial's script",
}
BATCH = 128
#: Images in the file of the nn tutorial, to train, to validate and to test.
NN_TUTORIAL = (50_000, 10_000, 10_000)


def _same(image: Any) -> Any:
    return image


# -- in a child process ----------------------------------------------------------------------------


def _bind(module: str) -> None:
    """Makes the names ``torch`` and ``torchvision`` those of one library."""
    if module == "cresset":
        from cresset.compat.importhook import install

        install()
        return
    # torchvision describes two operators to torch when it is imported; its own library, which
    # declares them, may be missing.
    torch = importlib.import_module("torch")
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.kept = library


def _accept(root: str) -> Any:
    """torchvision with the sums of the stand-in files."""
    import standins

    torchvision = importlib.import_module("torchvision")
    patch = types.SimpleNamespace(setattr=setattr)
    standins.accept_cifar(patch, torchvision.datasets.CIFAR10, root)
    return torchvision


def _images_per_second(root: str, work: str, workers: int) -> float:
    torchvision, torch = _accept(root), importlib.import_module("torch")
    transform = torchvision.transforms.Compose(LOADING[work](torchvision.transforms))
    dataset = torchvision.datasets.CIFAR10(root, transform=transform)
    loader = torch.utils.data.DataLoader(
        dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in loader)
        best = max(best, count / (time.perf_counter() - start))
    return best


def _run_script(name: str, root: str) -> None:
    _accept(root)
    sys.argv = [name, root]
    start = time.perf_counter()
    runpy.run_path(str(HERE / "scripts" / f"{name}.py"), run_name="__main__")
    print(time.perf_counter() - start)


# -- the tables ------------------------------------------------------------------------------------


def _by_turns(modules: list[str], rounds: int, what: str, root: str, *more: str) -> list[Any]:
    """For each module what its runs printed last."""
    found: list[list[float]] = [[] for _ in modules]
    for _ in range(rounds):
        for i, module in enumerate(modules):
            done = subprocess.run(
                [sys.executable, __file__, module, what, root, *more],
                stdout=subprocess.PIPE, text=True, check=True, env=_environment(module, root),
            )  # fmt: skip
            found[i].append(float(done.stdout.split()[-1]))
    return found


def _environment(module: str, root: str) -> dict[str, str]:
    """With byte code that is there already, as installing a package leaves it."""
    found = dict(os.environ)
    if module == "cresset":
        found = startup.environment(f"{root}/bytecode")
        found["CRESSET_CACHE_DIR"] = f"{root}/compiled"
        if not os.path.exists(f"{root}/bytecode"):
            spec = importlib.util.find_spec("cresset")
            assert spec is not None and spec.origin is not None
            package = os.path.dirname(spec.origin)
            subprocess.run([sys.executable, "-m", "compileall", "-q", package], env=found)
    return found


def make_files(root: str, cifar: int, mnist: int) -> None:
    """``cifar`` and ``mnist`` training images, a fifth as many to test; and the nn tutorial's file,
    as large as that is."""
    import numpy as np
    import standins

    standins.make_cifar10(root, cifar // 5, cifar // 5)
    standins.make_mnist(root, mnist, mnist // 5)
    parts = []
    for n in NN_TUTORIAL:
        labels = np.arange(n) % 10
        images = standins.images_of(labels, 28, 1, n).reshape(n, 784)
        parts.append(((images / np.float32(256)).astype(np.float32), labels))
    with gzip.open(f"{root}/mnist.pkl.gz", "wb", compresslevel=1) as f:
        pickle.dump(tuple(parts), f)


def loading(modules: list[str], root: str) -> str:
    """Images per second through a loader."""
    lines = ["| transforms of 32x32 images | workers | Cresset | PyTorch | Cresset / PyTorch |",
             "|---|---|---|---|---|"]  # fmt: skip
    for work in LOADING:
        for workers in ("0", "2"):
            found = _by_turns(modules, 3, "loading", root, work, workers)
            ours, *theirs = map(statistics.median, found)
            others = f"{theirs[0]:,.0f} | {ours / theirs[0]:.1f}" if theirs else "not installed |"
            lines.append(f"| {work} | {workers} | {ours:,.0f} | {others} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def scripts(modules: list[str], root: str) -> str:
    """Seconds of whole scripts."""
    lines = ["| script | Cresset | its first run | PyTorch | PyTorch / Cresset |",
             "|---|---|---|---|---|"]  # fmt: skip
    for name, title in SCRIPTS.items():
        found = _by_turns(modules, 3, name, root)
        ours, *theirs = map(statistics.median, found)
        others = f"{theirs[0]:.2f} s | {theirs[0] / ours:.2f}" if theirs else "not installed |"
        lines.append(f"| {title} | {ours:.2f} s | {found[0][0]:.2f} s | {others} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def report(modules: list[str]) -> tuple[str, str]:
    """Both tables, over files of this size: 10,000 images for CIFAR-10 and for MNIST 12,800."""
    with tempfile.TemporaryDirectory() as root:
        make_files(root, 10_000, 12_800)
        return loading(modules, root), scripts(modules, root)


def main() -> None:
    if len(sys.argv) > 1:
        module, what, root, *rest = sys.argv[1:]
        _bind(module)
        if what == "loading":
            print(_images_per_second(root, rest[0], int(rest[1])))
        else:
            _run_script(what, root)
        return
    import timing

    report(["cresset"] + (["torch"] if timing.peer() is not None else []))


if __name__ == "__main__":
    main()
