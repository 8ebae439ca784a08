"""``import torch`` in a bound process gives Cresset's own modules."""

from __future__ import annotations

IN_PROCESS = "from cresset.compat import install, uninstall; install()\n"


def test_bound_modules_are_cressets_own_objects(run) -> None:
    done = run(
        "-c",
        IN_PROCESS
        + """
import cresset, cresset.nn, cresset.nn.functional, cresset.utils.data, cresset.vision
import torch, torchvision, torch.utils.data
import torch.nn as nn, torch.nn.functional as F
from torch.utils.data import Dataset
from torchvision import transforms
import torchvision.transforms as again
assert torch is cresset and nn is cresset.nn and F is cresset.nn.functional
assert torch.utils.data is cresset.utils.data and Dataset is cresset.utils.data.Dataset
assert torchvision is cresset.vision and transforms is again is cresset.vision.transforms
assert cresset.__name__ == cresset.__spec__.name == 'cresset'
assert nn.__name__ == nn.__spec__.name == 'cresset.nn'
""",
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_pytorchs_deeper_paths_reach_the_shorter_ones_here(run) -> None:
    done = run(
        "-c",
        IN_PROCESS
        + """
import cresset.nn, cresset.nn.linear
from torch.nn.modules import Linear
import torch.nn.modules.linear
assert Linear is cresset.nn.Linear
assert torch.nn.modules.linear is cresset.nn.linear
""",
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_submodule_that_is_lacking_is_said_so_with_the_nearest(run) -> None:
    done = run("-c", IN_PROCESS + "import torch.utils.dat")
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: No module named 'torch.utils.dat' "
        "(Cresset does not have it; the nearest it has: 'torch.utils.data')"
    )


def test_a_name_that_is_lacking_in_a_from_import_is_said_so_with_the_nearest(run) -> None:
    done = run("-c", IN_PROCESS + "from torch.nn import Lineaar")
    assert done.stderr.splitlines()[-1] == (
        "ImportError: cannot import name 'Lineaar' from 'torch.nn' "
        "(Cresset does not have it; the nearest it has: 'Linear')"
    )


def test_asking_whether_a_module_exists_raises_nothing(run) -> None:
    done = run(
        "-c",
        IN_PROCESS
        + """
from importlib.util import find_spec
print(find_spec('torch.no_such_thing'), find_spec('torch.nn') is None)
""",
    )
    assert (done.stdout, done.stderr) == ("None False\n", "")


def test_other_imports_fail_in_pythons_words(run) -> None:
    done = run("-c", IN_PROCESS + "import no_such_thing")
    assert done.stderr.splitlines()[-1] == ("ModuleNotFoundError: No module named 'no_such_thing'")


def test_a_process_that_holds_the_real_torch_is_not_bound(run, write) -> None:
    write("torch.py", "")
    done = run("-c", "import torch\n" + IN_PROCESS)
    assert "RuntimeError: cannot bind 'torch' to Cresset: the real torch is already" in done.stderr
    assert "torch.py" in done.stderr


def test_uninstall_gives_the_names_back_and_leaves_no_trace(run, write) -> None:
    write("torch.py", "really = True")
    done = run(
        "-c",
        """
import os, sys
before = dict(os.environ), list(sys.meta_path)
from cresset.compat import install, uninstall
install(children=True)
install(children=True)
import torch.nn, torchvision.transforms
assert not hasattr(torch, 'really')
uninstall()
uninstall()
assert (dict(os.environ), list(sys.meta_path)) == before
assert not [name for name in sys.modules if name.startswith('torch')]
import torch
print(torch.really)
""",
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
