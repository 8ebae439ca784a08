"""Files from the network and models from a folder: what users know as ``torch.hub``.

Checkpoints are kept in ``<hub folder>/checkpoints``, the same place that PyTorch uses, so what one
has downloaded the other finds. The hub folder is the one given to ``set_dir``, else
``$TORCH_HOME/hub``, else ``~/.cache/torch/hub``.

A file takes its final name only when it is whole and its hash is right. ``load`` runs the
``hubconf.py`` of a folder on this machine; fetching and running a repository from GitHub is left
to the user, who can clone and read it first.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import urllib.error
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

from cresset.download import fetch
from cresset.serialization import load as _load_file

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url",
           "set_dir"]  # fmt: skip

#: ``resnet18-f37072fd.pth``: the file's SHA-256 sum begins so.
HASH_IN_NAME = re.compile(r"-([a-f0-9]*)\.")

_dir: str | None = None


def get_dir() -> str:
    """The folder in which downloads are kept.

    >>> get_dir().endswith("hub")
    True
    """
    if _dir is not None:
        return _dir
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keeps downloads in the folder ``d`` from now on."""
    global _dir
    _dir = os.path.expanduser(d)


def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetches ``url`` into the file ``dst``.

    A connection that breaks off is tried again, and a later call goes on where this one was
    stopped, if the server can do that.

    Args:
        url: http, https or file.
        dst: the whole path of the file. It is replaced in one step, at the end.
        hash_prefix: how the SHA-256 sum must begin, in hexadecimal.
        progress: show how far it is, on stderr, where that is a terminal.

    Raises:
        RuntimeError: the sum is another one.
        urllib.error.URLError: the file cannot be fetched.
    """

    def check(path: str) -> None:
        if hash_prefix is None:
            return
        with open(path, "rb") as f:
            digest = hashlib.sha256()
            while chunk := f.read(1 << 20):
                digest.update(chunk)
        found = digest.hexdigest()
        if not found.startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')

    fetch(url, os.path.expanduser(dst), check, hash_prefix, progress)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """Loads a checkpoint from the network, or from the folder where an earlier call put it.

    Args:
        url: the file.
        model_dir: where to keep it, in place of ``<hub folder>/checkpoints``.
        map_location: as for ``torch.load``.
        progress: show how far the download is.
        check_hash: the name holds a dash and the beginning of the file's SHA-256 sum
            (``resnet18-f37072fd.pth``), to be compared.
        file_name: the name to keep it under; else the last part of ``url``.
        weights_only: build tensors and plain containers only. PyTorch's default here is False; a
            file from the network that runs code is one to ask for by name.

    Raises:
        RuntimeError: the file's sum is another one.
        urllib.error.URLError: it is not here and cannot be fetched.
    """
    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        print(f'Downloading: "{url}" to {path}')
        match = HASH_IN_NAME.search(name) if check_hash else None
        try:
            download_url_to_file(url, path, match[1] if match else None, progress)
        except urllib.error.HTTPError:
            raise  # the server's own words: 404 and the like
        except urllib.error.URLError as error:
            raise urllib.error.URLError(
                f"{error.reason}. {url} could not be fetched; without a network, put the file at "
                f"{path}"
            ) from error
    return _load_file(path, map_location=map_location, weights_only=weights_only)


# -- models of a folder's hubconf.py ---------------------------------------------------------------


def _hubconf(repo: str | os.PathLike[str], source: str) -> ModuleType:
    if source.lower() not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source.lower() == "github":
        raise RuntimeError(
            f"Cresset does not run code from GitHub: clone {os.fspath(repo)} yourself and call "
            "torch.hub.load(folder, model, source='local')"
        )
    path = os.path.join(os.path.expanduser(repo), "hubconf.py")
    spec = importlib.util.spec_from_file_location("hubconf", path)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    with _first_on_path(os.path.dirname(path)):
        spec.loader.exec_module(module)
        missing = [
            name
            for name in getattr(module, "dependencies", None) or []
            if importlib.util.find_spec(name) is None
        ]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


@contextlib.contextmanager
def _first_on_path(folder: str) -> Any:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _entry(module: ModuleType, name: str) -> Any:
    found = getattr(module, name, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found


def load(
    repo_or_dir: str | os.PathLike[str],
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = "check",
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """What the function ``model`` of a folder's ``hubconf.py`` returns for ``args``.

    Args:
        repo_or_dir: the folder.
        model: the function's name.
        source: ``'local'``. The default of PyTorch's signature, ``'github'``, is refused.
        trust_repo, force_reload, verbose, skip_validation: of no meaning for a folder.

    Raises:
        RuntimeError: no such function, or a package that ``hubconf.dependencies`` names is missing.
    """
    module = _hubconf(repo_or_dir, source)
    with _first_on_path(os.path.expanduser(repo_or_dir)):
        return _entry(module, model)(*args, **kwargs)


def list(  # noqa: A001
    github: str | os.PathLike[str],
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = "check",
    verbose: bool = True,
    *,
    source: str = "github",
) -> Any:
    """The names of a folder's models: the public functions of its ``hubconf.py``.

    ``source='local'`` as for ``load``.
    """
    module = _hubconf(github, source)
    return [
        name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
    ]


def help(  # noqa: A001
    github: str | os.PathLike[str],
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = "check",
    *,
    source: str = "github",
) -> str | None:
    """The docstring of one of a folder's models. ``source='local'`` as for ``load``."""
    return _entry(_hubconf(github, source), model).__doc__
