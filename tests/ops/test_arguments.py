"""What is no tensor is refused by every function of ``torch.*`` that needs one."""

from __future__ import annotations

import pytest

import cresset

from .harness import attempt

NO_TENSORS = (5, None, "a", [1, 2])
#: Settings and constructors, and functions whose tensors come in other ways.
SKIPPED = {
    "manual_seed", "compile", "seed", "set_num_threads", "set_num_interop_threads",
    "set_default_device", "set_default_dtype", "set_default_tensor_type", "inference_mode",
    "set_grad_enabled", "use_deterministic_algorithms", "set_printoptions",
    "set_float32_matmul_precision", "from_dlpack", "randint", "scalar_tensor", "broadcast_shapes",
    "chain_matmul",
    # PyTorch's own is an AttributeError; takes numbers in other places.
    "norm", "normal",
}  # fmt: skip


def _functions(torch):
    for name in sorted(cresset.__all__):
        theirs = getattr(torch, name, None)
        if theirs is None or isinstance(theirs, type) or not callable(theirs) or name in SKIPPED:
            continue
        yield name, theirs, getattr(cresset, name)


@pytest.mark.parametrize("given", NO_TENSORS, ids=repr)
def test_what_is_no_tensor_is_refused_with_pytorchs_type_of_error(given):
    torch = pytest.importorskip("torch")
    wrong = []
    for name, theirs, ours in _functions(torch):
        _, error = attempt(lambda f=theirs: f(given))
        _, mine = attempt(lambda f=ours: f(given))
        if type(error) is not type(mine) and error is not None:
            wrong.append(f"{name}: {mine!r}, PyTorch raises {error!r}"[:200])
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", ["sum", "mean", "tril", "argmax", "cumsum", "exp", "flip"])
def test_the_words_name_function_argument_and_type(name):
    with pytest.raises(TypeError) as caught:
        getattr(cresset, name)(5)
    assert str(caught.value).startswith(f"{name}()")
    assert "int" in str(caught.value)


def test_a_parameter_is_a_tensor():
    weight = cresset.nn.Parameter(cresset.ones(2))
    assert cresset.sum(weight).item() == 2
    assert cresset.flip(weight, (0,)).tolist() == [1, 1]
