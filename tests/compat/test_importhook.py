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


IMPORTS = [
    "import torch.backends.cudnn as cudnn",
    "import torch.nn as nn, torch.nn.functional as F",
    "from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split",
    "from torch.utils.data.dataloader import default_collate",
    "from torch.utils.data._utils.collate import default_collate",
    "from torch.nn.modules.utils import _pair, _single, _triple, _ntuple",
    "from torch.nn.modules.container import Sequential",
    "from torch.nn.modules.batchnorm import _BatchNorm",
    "from torch.nn.modules.conv import _ConvNd",
    "from torch.nn.modules.loss import _Loss",
    "from torch.nn.utils.convert_parameters import parameters_to_vector",
    "from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence",
    "from torch.optim.lr_scheduler import LRScheduler, _LRScheduler",
    "from torch.optim.optimizer import Optimizer",
    "from torch.autograd.variable import Variable",
    "from torch.autograd.function import Function, once_differentiable",
    "from torch.distributions import Categorical",
    "from torch.distributions.normal import Normal",
    "from torch._tensor import Tensor",
    "from torch.functional import einsum",
    "import torchvision.transforms as T, torchvision.transforms.functional as TF",
    "from torchvision.datasets.folder import default_loader",
]


def test_modules_are_found_where_programs_import_them_from(cresset) -> None:
    done = cresset("-c", "\n".join(IMPORTS))
    assert (done.stderr, done.returncode) == ("", 0)


LACKING = {
    "torch.nn.Linaer": "module 'torch.nn' has no attribute 'Linaer' (Cresset does not have it; "
    "the nearest it has: 'Linear')",
    "torch.nn.functional.rlu": "module 'torch.nn.functional' has no attribute 'rlu' (Cresset does "
    "not have it; the nearest it has: 'relu')",
    "torch.optim.Addam": "module 'torch.optim' has no attribute 'Addam' (Cresset does not have it; "
    "the nearest it has: 'Adam')",
    "torch.linalg.eigvalz": "module 'torch.linalg' has no attribute 'eigvalz' (Cresset does not "
    "have it; the nearest it has: 'eigvals')",
    "torch.utils.data.Datasets": "module 'torch.utils.data' has no attribute 'Datasets' (Cresset "
    "does not have it; the nearest it has: 'Dataset')",
    "torchvision.transforms.RandomCorp": "module 'torchvision.transforms' has no attribute "
    "'RandomCorp' (Cresset does not have it; the nearest it has: 'RandomCrop')",
}


def test_every_module_names_the_nearest_thing_it_has(cresset) -> None:
    program = "import torch, torchvision\n" + "".join(
        f"try:\n    {name}\nexcept AttributeError as e:\n    print(e)\n" for name in LACKING
    )
    assert cresset("-c", program).stdout.splitlines() == list(LACKING.values())


def test_the_classes_that_programs_print_have_pytorchs_names(cresset) -> None:
    program = """
import pickle, torch
for x in (torch.ones(1), torch.Size([1]), torch.float32, torch.device('cpu'), torch.strided):
    assert pickle.loads(pickle.dumps(type(x))) is type(x)
    print(type(x))
"""
    names = ("Tensor", "Size", "dtype", "device", "layout")
    assert cresset("-c", program).stdout.splitlines() == [f"<class 'torch.{n}'>" for n in names]
