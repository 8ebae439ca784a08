"""Every in-place method that ``torch.Tensor`` has, and what all of them have in common.

``CALLS`` gives one call per method. Each is run on a plain tensor, on a view (the base must see the
write), on a leaf that requires a gradient, in the middle of a differentiated program, on other
dtypes and on memory that overlaps itself; result, version counter, ``grad_fn``, gradient and error
must be PyTorch's.
"""

from __future__ import annotations

import numpy as np
import pytest

import cresset

from .harness import attempt, same, same_failure

#: Two operands and an index, made anew by each program (see ``_run``).
X, Y, I = "X()", "Y()", "I()"
MATRICES = "t.tensor([[[1., 2.], [3., 4.]]]), t.tensor([[[1., 0.5, 2.], [0., 1., 1.]]])"

UNARY = (
    "abs_ absolute_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ "
    "atan_ atanh_ bitwise_not_ ceil_ conj_physical_ cos_ cosh_ deg2rad_ digamma_ erf_ erfc_ "
    "erfinv_ exp2_ exp_ expm1_ fix_ floor_ frac_ i0_ lgamma_ log10_ log1p_ log2_ log_ "
    "logical_not_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ round_ rsqrt_ sgn_ "
    "sigmoid_ sign_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ zero_ tril_ triu_ "
    "detach_ squeeze_ t_"
).split()
BINARY = (
    "add_ sub_ subtract_ mul_ multiply_ div_ divide_ true_divide_ floor_divide_ remainder_ fmod_ "
    "pow_ float_power_ eq_ ne_ not_equal_ lt_ less_ le_ less_equal_ gt_ greater_ ge_ "
    "greater_equal_ bitwise_and_ bitwise_or_ bitwise_xor_ bitwise_left_shift_ "
    "bitwise_right_shift_ copysign_ xlogy_"
).split()
TENSORS_ONLY = (
    "arctan2_ atan2_ gcd_ lcm_ heaviside_ hypot_ igamma_ igammac_ ldexp_ logical_and_ logical_or_ "
    "logical_xor_ nextafter_"
).split()
OTHERS = {
    "addbmm_": f"x.addbmm_({MATRICES}, beta=0.5, alpha=2)",
    "addcdiv_": f"x.addcdiv_({Y}, {Y} + 3, value=0.5)",
    "addcmul_": f"x.addcmul_({Y}, {Y}, value=0.5)",
    "addmm_": "x.addmm_(t.tensor([[1., 2.], [3., 4.]]), t.ones(2, 3), beta=2)",
    "addmv_": "x[0].addmv_(t.ones(3, 2), t.tensor([1., 2.]))",
    "addr_": "x.addr_(t.tensor([1., 2.]), t.tensor([1., 2., 3.]))",
    "apply_": "x.apply_(lambda v: 2 * v)",
    "as_strided_": "x.as_strided_((2, 2), (1, 2), 1)",
    "baddbmm_": f"x.unsqueeze(0).baddbmm_({MATRICES})",
    "bernoulli_": "x.bernoulli_(0.4)",
    "cauchy_": "x.cauchy_()",
    "clamp_": "x.clamp_(0, 0.5)",
    "clamp_max_": "x.clamp_max_(0.25)",
    "clamp_min_": "x.clamp_min_(0.25)",
    "clip_": "x.clip_(-0.2, 0.5)",
    "copy_": f"x.copy_({Y})",
    "cumprod_": "x.cumprod_(1)",
    "cumsum_": "x.cumsum_(0)",
    "exponential_": "x.exponential_(2.)",
    "fill_": "x.fill_(3)",
    "fill_diagonal_": "x.fill_diagonal_(7)",
    "geometric_": "x.geometric_(0.4)",
    "index_add_": "x.index_add_(1, t.tensor([0, 0]), t.ones(2, 2), alpha=2)",
    "index_copy_": "x.index_copy_(1, t.tensor([2, 0]), t.ones(2, 2))",
    "index_fill_": "x.index_fill_(1, t.tensor([2, 0]), 5)",
    "index_put_": "x.index_put_((t.tensor([0, 0]), t.tensor([1, 1])), t.tensor(2.), True)",
    "index_reduce_": "x.index_reduce_(1, t.tensor([2, 0]), t.ones(2, 2), 'prod')",
    "lerp_": f"x.lerp_({Y}, 0.3)",
    "log_normal_": "x.log_normal_()",
    "map_": f"x.map_({Y}, lambda a, b: a + 2 * b)",
    "map2_": f"x.map2_({Y}, {Y}, lambda a, b, c: a + b * c)",
    "masked_fill_": f"x.masked_fill_({Y} > 0.5, 9)",
    "masked_scatter_": f"x.masked_scatter_({Y} > 0.5, t.tensor([1., 2., 3., 4.]))",
    "mvlgamma_": "x.add_(4).mvlgamma_(2)",
    "normal_": "x.normal_(1, 2)",
    "polygamma_": "x.polygamma_(1)",
    "put_": "x.put_(t.tensor([1, 4]), t.tensor([1., 2.]))",
    "random_": "x.random_(10)",
    "renorm_": "x.renorm_(2, 0, 0.5)",
    "requires_grad_": "x.requires_grad_(False)",
    "resize_": "x.resize_(3, 2)",
    "resize_as_": "x.resize_as_(t.ones(3, 2))",
    "scatter_": f"x.scatter_(0, {I}, {Y})",
    "scatter_add_": f"x.scatter_add_(0, {I}, {Y})",
    "scatter_reduce_": f"x.scatter_reduce_(0, {I}, {Y}, 'amax')",
    "set_": f"x.set_({Y})",
    "share_memory_": "x.share_memory_()",
    "swapaxes_": "x.swapaxes_(0, 1)",
    "swapdims_": "x.swapdims_(0, 1)",
    "transpose_": "x.transpose_(0, 1)",
    "uniform_": "x.uniform_(-1, 2)",
    "unsqueeze_": "x.unsqueeze_(1)",
}
#: A Python function for each element.
BY_HAND = {"apply_", "map_", "map2_"}
#: Of layouts that Cresset has not (sparse tensors).
NOT_HERE = {"resize_as_sparse_", "sparse_resize_", "sparse_resize_and_clear_"}

CALLS = {name: f"x.{name}()" for name in UNARY}
CALLS |= {name: f"x.{name}({Y})" for name in (*BINARY, *TENSORS_ONLY)}
CALLS |= {name + " number": f"x.{name}(2)" for name in BINARY}
CALLS |= OTHERS
CALLS |= {
    "round_ decimals": "x.round_(decimals=1)",
    "div_ rounding": f"x.div_({Y}, rounding_mode='floor')",
    "add_ alpha": f"x.add_({Y}, alpha=0.5)",
    "sub_ broadcast": "x.sub_(t.tensor([1., 2., 3.]))",
    "mul_ too large": "x.mul_(t.ones(2, 2, 3))",
    "lerp_ tensor": f"x.lerp_({Y}, {Y})",
    "clamp_ tensors": f"x.clamp_({Y} - 1, {Y})",
    "fill_ tensor": "x.fill_(t.tensor(2.5))",
    "fill_ too large": f"x.fill_({Y})",
    "copy_ broadcast": "x.copy_(t.tensor([1, 2, 3]))",
    "copy_ too large": "x.copy_(t.ones(2, 2, 3))",
    "logit_ eps": "x.logit_(0.1)",
    "nan_to_num_ values": "x.nan_to_num_(1., 2., 3.)",
    "squeeze_ dim": "x.unsqueeze_(0).squeeze_(0)",
    "scatter_ number": f"x.scatter_(0, {I}, 4.)",
    "scatter_ reduce": f"x.scatter_(0, {I}, {Y}, reduce='multiply')",
    "index_fill_ tensor": "x.index_fill_(0, t.tensor([1]), t.tensor(4.))",
    "tril_ diagonal": "x.tril_(-1)",
    "bernoulli_ tensor": f"x.bernoulli_({Y}.sigmoid())",
    "normal_ default": "x.normal_()",
    "random_ range": "x.random_(-3, 4)",
    "uniform_ default": "x.uniform_()",
    "self": "x.add_(x)",
    "shifted self": "x.view(-1)[1:].add_(x.view(-1)[:-1])",
    "augmented": "x.__iadd__(2); x.__imul__(x); x.__isub__(1); x.__itruediv__(2); x.__ipow__(2)",
}


def test_every_in_place_method_of_pytorch_is_called_here():
    torch = pytest.importorskip("torch")
    theirs = {n for n in dir(torch.Tensor) if n.endswith("_") and not n.startswith("_")}
    called = {name.split(" ")[0] for name in CALLS}
    assert theirs - NOT_HERE <= called
    assert {n for n in theirs - NOT_HERE if not hasattr(cresset.Tensor, n)} == set()


def _run(torch, before: str, call: str, after: str):
    """The objects that ``after`` lists, once ``before`` has made ``x`` and ``call`` has run."""
    names = {
        "t": torch,
        "X": lambda: torch.tensor([[0.3, -0.5, 0.9], [0.7, 0.2, -0.1]]),
        "Y": lambda: torch.tensor([[0.5, 0.25, 2.0], [-0.75, 1.5, 0.5]]),
        "I": lambda: torch.tensor([[0, 1, 1], [1, 0, 1]]),
    }
    torch.manual_seed(3)
    exec(f"{before}\nfirst = x\nresult = ({call.split(';')[-1].strip()})", names)
    return eval(after, names)


def _agree(before: str, call: str, after: str, words: bool = True, kinds: bool = True) -> None:
    """``kinds=False``: it is no claim which of two errors comes first."""
    torch = pytest.importorskip("torch")
    where = f"{before}; {call}; {after}"
    theirs, error = attempt(lambda: _run(torch, before, call, after))
    ours, mine = attempt(lambda: _run(cresset, before, call, after))
    if not kinds and error is not None and mine is not None:
        return
    if not same_failure(mine, error, where, words=words):
        same(ours, theirs, where)


AFTER = "(x, result, result is first, x._version, x.stride(), x.requires_grad)"


@pytest.mark.parametrize("name", CALLS)
def test_writes_what_pytorch_writes(name):
    # PyTorch does not count apply_ and map_ as writes; here autograd notices them.
    _agree(f"x = {X}", CALLS[name], AFTER.replace(" x._version,", "") if name in BY_HAND else AFTER)


@pytest.mark.parametrize("name", CALLS)
def test_a_write_through_a_view_reaches_the_base(name):
    if name.startswith(("set_", "resize_", "share_memory_")):
        pytest.skip("changes which memory the tensor has")
    view = f"b = t.zeros(4, 4); x = b[1:3, :3]; x.copy_({X}); other = b.view(-1)"
    versions = "" if name in BY_HAND else ", b._version, other._version"
    _agree(view, CALLS[name], f"(b, x, other{versions})")


@pytest.mark.parametrize("name", CALLS)
def test_a_transposed_tensor_keeps_its_strides(name):
    if name.startswith(("set_", "resize_", "cauchy_", "as_strided_")):
        pytest.skip("about other memory")
    _agree(f"x = {X}.t().contiguous().t()", CALLS[name], "(x, x.stride())")


#: Here the last of several nodes, where PyTorch has one of its own name.
OF_SEVERAL_OPS = {"mvlgamma_", "renorm_", "index_reduce_", "as_strided_", "polygamma_"}


@pytest.mark.parametrize("name", CALLS)
def test_gradients_flow_through_the_write(name):
    if name in ("apply_", "map_", "map2_", "share_memory_", "set_", "requires_grad_"):
        pytest.skip("not differentiable")
    torch = pytest.importorskip("torch")
    program = f"w = {X}.requires_grad_(); x = w * 1"
    after = (
        "(x, x.requires_grad, type(x.grad_fn).__name__, t.autograd.grad("
        "x, w, t.arange(1., x.numel() + 1).view(x.shape), allow_unused=True)"
        " if x.requires_grad else 0)"
    )
    if name in OF_SEVERAL_OPS:
        after = after.replace("type(x.grad_fn).__name__", "x.requires_grad")
    _, error = attempt(lambda: _run(torch, program, CALLS[name], after))
    if "not implemented" in str(error) or "not currently implemented" in str(error):
        pytest.skip("PyTorch has no derivative of this form")
    _agree(program, CALLS[name], after)


@pytest.mark.parametrize("name", CALLS)
def test_a_leaf_that_requires_grad_is_not_written(name):
    if "too large" in name or name == "shifted self":
        pytest.skip("another error comes first")
    _agree(f"x = {X}.requires_grad_()", CALLS[name], "(x, x.requires_grad)")


UNCHECKED = {
    *BY_HAND, "gcd_", "lcm_", "bitwise_not_", "bitwise_and_", "bitwise_or_", "bitwise_xor_",
    "bitwise_left_shift_", "bitwise_right_shift_", "tril_", "triu_", "baddbmm_", "index_put_",
    "masked_fill_", "copy_", "conj_physical_", "resize_", "resize_as_",
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_memory_that_overlaps_itself_is_not_written(name):
    if name.split(" ")[0] in UNCHECKED:
        pytest.skip("another error comes first, or PyTorch checks nothing there")
    _agree("x = t.tensor([0.5, 0.25, 0.75]).expand(2, 3)", CALLS[name], "x")


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float64", "float16", "complex64"])
def test_other_dtypes_are_converted_or_refused(dtype):
    wrong = []
    for name, call in CALLS.items():
        if name.split(" ")[0] in ELSEWHERE:
            continue
        try:
            _agree(f"x = ({X} * 4).to(t.{dtype})", call, "(x, result is first)", kinds=False)
        except AssertionError as difference:
            wrong.append(str(difference)[:400])
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


#: Methods whose dtypes are tested in their own files.
ELSEWHERE = {
    "polygamma_",
    "ldexp_",
    "map_",
    "map2_",
    "apply_",
    "set_",
    "share_memory_",
    "requires_grad_",
}


OVERLAPS = [
    "x[1:].copy_(x[:-1])", "x[1:].mul_(x[:-1])", "x[::2].mul_(x[1::2])",
    "x.view(2, 2).t().mul_(x.view(2, 2))", "x.view(2, 2).view(4).mul_(x)",
    "x[1:].addcmul_(x[:-1], x[1:])", "t.add(x[1:], 1, out=x[:-1])", "t.exp(x[1:], out=x[:-1])",
    "x[:2].add_(x[2:])", "x[1:3].sub_(x[2:])",
]  # fmt: skip


@pytest.mark.parametrize("call", OVERLAPS)
def test_an_operand_that_overlaps_with_the_result_is_refused(call):
    _agree("x = t.arange(4.)", call, "(x, result)")


def test_results_are_the_tensor_itself():
    x = cresset.tensor([1.0, -2.0])
    y = x
    assert x.abs_() is y
    assert x.add_(1).mul_(2) is y
    assert y.tolist() == [4, 6]
    x += 1
    assert x is y
    assert y.tolist() == [5, 7]


def test_a_view_made_before_sees_a_write_made_after():
    x = cresset.zeros(2, 2)
    row, flat = x[0], x.view(-1)
    x.add_(1)
    flat[0] = 5
    assert row.tolist() == [5, 1]
    row.zero_()
    assert x.tolist() == [[0, 0], [1, 1]]


def test_what_was_computed_before_a_write_keeps_its_value():
    x = cresset.ones(3)
    y = x + 1
    x.fill_(100)
    assert y.tolist() == [2, 2, 2]
    assert np.array_equal((x + 1).numpy(), [101, 101, 101])


# -- out= ------------------------------------------------------------------------------------------

OUT = {
    "add": f"t.add({X}, {Y}, out=o)", "sub": f"t.sub({X}, 1, out=o)",
    "mul": f"t.mul({X}, {Y}, out=o)", "div": f"t.div({X}, {Y}, out=o)",
    "pow": f"t.pow({X}, 2, out=o)", "exp": f"t.exp({X}, out=o)", "sin": f"t.sin({X}, out=o)",
    "sum": f"t.sum({X}, 1, out=o)", "mean": f"t.mean({X}, 0, out=o)",
    "prod": f"t.prod({X}, 0, out=o)", "cumsum": f"t.cumsum({X}, 0, out=o)",
    "cat": f"t.cat([{X}, {Y}], out=o)", "stack": f"t.stack([{X}, {Y}], out=o)",
    "matmul": f"t.matmul({X}, {Y}.t(), out=o)", "mm": f"t.mm({X}, {Y}.t(), out=o)",
    "mv": f"t.mv({X}, t.ones(3), out=o)", "dot": "t.dot(t.ones(3), t.ones(3), out=o)",
    "addmm": f"t.addmm(t.ones(2, 2), {X}, {Y}.t(), out=o)",
    "where": f"t.where({X} > 0, {X}, {Y}, out=o)", "clamp": f"t.clamp({X}, 0, 1, out=o)",
    "maximum": f"t.maximum({X}, {Y}, out=o)", "eq": f"t.eq({X}, {Y}, out=o)",
    "lt": f"t.lt({X}, {Y}, out=o)", "logical_and": f"t.logical_and({X}, {Y}, out=o)",
    "isfinite neg": f"t.neg({X}, out=o)", "gather": f"t.gather({X}, 0, {I}, out=o)",
    "index_select": f"t.index_select({X}, 1, t.tensor([0, 2]), out=o)",
    "masked_select": f"t.masked_select({X}, {X} > 0, out=o)", "take": f"t.take({X}, {I}, out=o)",
    "tril": f"t.tril({X}, out=o)", "diag": "t.diag(t.ones(2), out=o)",
    "zeros": "t.zeros(2, 3, out=o)", "ones": "t.ones(2, 3, out=o)",
    "full": "t.full((2, 3), 2., out=o)", "arange": "t.arange(3, out=o)",
    "linspace": "t.linspace(0, 1, 3, out=o)", "logspace": "t.logspace(0, 1, 3, out=o)",
    "eye": "t.eye(2, out=o)",
    "rand": "t.rand(2, 3, out=o)", "randn": "t.randn(2, 3, out=o)",
    "randint": "t.randint(5, (2, 3), out=o)", "randperm": "t.randperm(4, out=o)",
    "normal": f"t.normal({X}, {X}.abs(), out=o)", "bernoulli": f"t.bernoulli({X}.abs(), out=o)",
    "argmax": f"t.argmax({X}, 1, out=o)", "nonzero": f"t.nonzero({X} > 0, out=o)",
    "bmm": "t.bmm(t.ones(1, 2, 3), t.ones(1, 3, 2), out=o)", "lerp": f"t.lerp({X}, {Y}, .5, out=o)",
    "addcmul": f"t.addcmul({X}, {X}, {Y}, out=o)", "floor_divide": f"t.floor_divide({X}, 2, out=o)",
    "remainder": f"t.remainder({X}, 2, out=o)", "round": f"t.round({X}, out=o)",
    "sigmoid": f"t.sigmoid({X}, out=o)", "all": f"t.all({X} > 0, 1, out=o)",
    "logsumexp": f"t.logsumexp({X}, 1, out=o)", "norm": f"t.norm({X}, 2, 1, out=o)",
    "std": f"t.std({X}, 1, out=o)", "var": f"t.var({X}, 1, out=o)",
    "amax": f"t.amax({X}, 1, out=o)",
    "outer": "t.outer(t.ones(2), t.ones(3), out=o)", "kron": "t.kron(t.ones(2), t.ones(2), out=o)",
    "bitwise_and": f"t.bitwise_and({I}, 1, out=o)", "softmax": f"t.softmax({X}, 1, out=o)",
}  # fmt: skip
PAIRS = {
    "max": f"t.max({X}, 1, out=(o, i))", "min": f"t.min({X}, 0, True, out=(o, i))",
    "sort": f"t.sort({X}, 1, out=(o, i))", "topk": f"t.topk({X}, 2, out=(o, i))",
    "kthvalue": f"t.kthvalue({X}, 1, 1, out=(o, i))", "mode": f"t.mode({X}, 1, out=(o, i))",
    "median": f"t.median({X}, 1, out=(o, i))", "cummax": f"t.cummax({X}, 1, out=(o, i))",
}  # fmt: skip
DRAWN = {"rand", "randn", "randint", "normal", "bernoulli"}
TARGETS = {
    "empty": "o = t.empty(0)",
    "right shape": "o = t.zeros(2, 3)",
    "wrong shape": "o = t.zeros(4)",
    "a view": "b = t.zeros(3, 4); o = b[:2, 1:]",
    "strided": "o = t.zeros(3, 2).t()",
}


@pytest.mark.parametrize("target", TARGETS)
def test_out_is_filled_as_in_pytorch(target):
    wrong = []
    for name, call in OUT.items():
        if target == "strided" and name in DRAWN:
            continue  # drawn in the order of memory there
        try:
            _agree(f"{TARGETS[target]}; x = o", call, "(o, result is o, o.stride())")
        except AssertionError as difference:
            wrong.append(f"{name}: {difference}"[:400])
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", PAIRS)
def test_out_of_two_results(name):
    before = "o = t.empty(0); i = t.empty(0, dtype=t.int64); x = o"
    _agree(before, PAIRS[name], "(o, i, result[0] is o, result[1] is i)")


@pytest.mark.parametrize("call", ["t.exp(X(), out='a')", "t.sum(X(), 1, out=3)"])
def test_out_that_is_no_tensor_is_refused(call):
    _agree("x = 0", call, "x", words=False)


def test_out_may_be_an_operand():
    x = cresset.tensor([1.0, 2.0])
    assert cresset.add(x, x, out=x) is x
    assert x.tolist() == [2, 4]
    assert cresset.cumsum(x, 0, out=x).tolist() == [2, 6]
