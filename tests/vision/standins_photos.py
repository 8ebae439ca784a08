"""Small folders laid out as Flowers102, OxfordIIITPet, Caltech 101 and 256, and Food101 are.

Each function writes the folder below ``root`` and returns it; ``tar_of`` packs folders as the data
sets' own archives are packed.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def photo(file: Path, seed: int, mode: str = "RGB") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    size = 6 + seed % 3, 7 + seed % 4
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)


def make_flowers(root: Any, n: int = 30) -> Path:
    from scipy.io import savemat

    folder = Path(root) / "flowers-102"
    for k in range(1, n + 1):
        photo(folder / "jpg" / f"image_{k:05d}.jpg", k)
    rng = np.random.default_rng(0)
    savemat(folder / "imagelabels.mat", {"labels": rng.integers(1, 103, (1, n)).astype(np.uint8)})
    order = rng.permutation(n) + 1
    parts = {"trnid": order[: n // 3], "valid": order[n // 3 : n // 2], "tstid": order[n // 2 :]}
    savemat(folder / "setid.mat", {name: part[None] for name, part in parts.items()})
    return folder


PETS = ["Abyssinian", "american_bulldog", "Bengal", "great_pyrenees"]


def make_pets(root: Any, n: int = 12) -> Path:
    folder = Path(root) / "oxford-iiit-pet"
    lines = []
    for k in range(n):
        breed = k % len(PETS)
        name = f"{PETS[breed]}_{k}"
        photo(folder / "images" / f"{name}.jpg", k, "L" if k == 5 else "RGB")
        photo(folder / "annotations" / "trimaps" / f"{name}.png", k, "L")
        lines.append(f"{name} {breed + 1} {breed % 2 + 1} {k}\n")
    (folder / "annotations" / "trainval.txt").write_text("".join(lines[:8]))
    (folder / "annotations" / "test.txt").write_text("".join(lines[8:]))
    return folder


def make_caltech101(root: Any) -> Path:
    from scipy.io import savemat

    folder = Path(root) / "caltech101"
    outlines = {"Faces": "Faces_2", "airplanes": "Airplanes_Side_2", "crab": "crab"}
    for name, count in (("Faces", 2), ("airplanes", 1), ("crab", 3), ("BACKGROUND_Google", 2)):
        for k in range(1, count + 1):
            photo(folder / "101_ObjectCategories" / name / f"image_{k:04d}.jpg", k)
            if name in outlines:
                file = folder / "Annotations" / outlines[name] / f"annotation_{k:04d}.mat"
                file.parent.mkdir(parents=True, exist_ok=True)
                savemat(file, {"obj_contour": np.arange(2.0 * k).reshape(2, k)})
    return folder


def make_caltech256(root: Any) -> Path:
    folder = Path(root) / "caltech256"
    for number, (name, count) in enumerate([("ak47", 2), ("american-flag", 3)], start=1):
        place = folder / "256_ObjectCategories" / f"{number:03d}.{name}"
        for k in range(1, count + 1):
            photo(place / f"{number:03d}_{k:04d}.jpg", k)
        (place / "RENAME2").write_text("not an image")
    return folder


def make_food(root: Any) -> Path:
    folder = Path(root) / "food-101"
    for part, count in (("train", 3), ("test", 2)):
        files = {
            dish: [f"{dish}/{part}{k}" for k in range(count)] for dish in ("waffles", "apple_pie")
        }
        for k, name in enumerate(name for names in files.values() for name in names):
            photo(folder / "images" / f"{name}.jpg", k)
        (folder / "meta").mkdir(parents=True, exist_ok=True)
        (folder / "meta" / f"{part}.json").write_text(json.dumps(files))
    return folder


def tar_of(archive: Path, *folders: Path) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz" if archive.suffix in (".gz", ".tgz") else "w") as tar:
        for folder in folders:
            tar.add(folder, folder.name)
    return archive


def make_caltech101_archive(mirror: Any, scratch: Any) -> Path:
    """Writes ``mirror/Caltech101/caltech-101.zip``: two archives and a program."""
    folder = make_caltech101(scratch)
    images = tar_of(folder / "101_ObjectCategories.tar.gz", folder / "101_ObjectCategories")
    outlines = tar_of(folder / "Annotations.tar", folder / "Annotations")
    archive = Path(mirror) / "Caltech101" / "caltech-101.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as out:
        out.write(images, f"caltech-101/{images.name}")
        out.write(outlines, f"caltech-101/{outlines.name}")
        out.writestr("caltech-101/show_annotation.m", "% MATLAB")
    return archive
