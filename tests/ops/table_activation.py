"""The op table's rows for activation functions."""

from __future__ import annotations

from .harness import ALL, FLOATS, OpRow

KINKED = ("nonzero",)
FD = (*FLOATS, "int64", "bool", "complex64")


def _f(name: str, *args: object, **options: object) -> OpRow:
    """``torch.nn.functional.<name>(x, *args)``, also with ``inplace=True``."""
    title = "_".join([name, *map(str, args)])
    function = lambda t, x: getattr(t.nn.functional, name)(x, *args)
    options.setdefault("dtypes", FD)
    options.setdefault("values", ("any",))
    options.setdefault("grad_values", KINKED)
    return OpRow(title, function, **options)


def _inplace(name: str, **options: object) -> OpRow:
    """The functional form that writes over its input, gradients through it included."""

    def call(t, x):
        y = x * 1
        z = getattr(t.nn.functional, name)(y, inplace=True)
        return z, z is y

    options.setdefault("node", False)  # in place some nodes have names of their own
    return OpRow(name + "_inplace", call, dtypes=("float64",), grad_values=KINKED, **options)


# PyTorch multiplies by a float32 1/6 in hardsigmoid's backward: hence that slack.
ROWS = [
    OpRow("relu", dtypes=ALL, in_place=True, grad_values=KINKED,
          errors=(lambda t: t.relu(t.ones(2, dtype=t.bool)),)),
    _f("relu6"), _f("leaky_relu"), _f("leaky_relu", 0.3), _f("elu"), _f("elu", 0.7),
    _f("selu"), _f("celu"), _f("celu", 1.5), _f("gelu", values=("real",)),
    OpRow("gelu_tanh", lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), dtypes=FD,
          values=("real",), slack=4,
          errors=(lambda t: t.nn.functional.gelu(t.ones(1), approximate="x"),)),
    _f("silu", dtypes=(*FLOATS, "int64", "bool")), _f("mish"), _f("hardswish"), _f("hardtanh"),
    _f("hardsigmoid", grad=()),
    OpRow("hardsigmoid_gradient", lambda t, x: t.nn.functional.hardsigmoid(x), dtypes=("float64",),
          grad_values=KINKED, double=False, slack=1e3),
    _f("hardtanh", -0.5, 1.5, errors=(lambda t: t.nn.functional.hardtanh(t.ones(1), 2.0, 1.0),)),
    _f("softplus"), _f("softplus", 2, 1.0), _f("softsign", node=False),
    _f("tanhshrink", node=False),
    _f("hardshrink"), _f("hardshrink", 1.0), _f("softshrink"), _f("softshrink", 0.2,
       errors=(lambda t: t.nn.functional.softshrink(t.ones(1), -1.0),)),
    _f("logsigmoid", strides=False), _f("rrelu", strides=False), _f("tanh"), _f("sigmoid"),
    OpRow("threshold_0", lambda t, x: t.nn.functional.threshold(x, 0.0, 0.0), dtypes=FLOATS),
    OpRow("celu_function", lambda t, x: t.celu(x), dtypes=("float32",), grad=()),
    OpRow("selu_function", lambda t, x: t.selu(x), dtypes=("float32",), grad=()),
    OpRow("glu", lambda t, x: t.nn.functional.glu(x), values=("real",), dtypes=FLOATS,
          shapes=(((3, 4),), ((2, 2, 2),), ((0, 2),)), strides=False,
          errors=(lambda t: t.nn.functional.glu(t.ones(3)),
                  lambda t: t.nn.functional.glu(t.tensor(1.)))),
    OpRow("glu_dim", lambda t, x: t.nn.functional.glu(x, 0), values=("real",), dtypes=FLOATS,
          shapes=(((4, 3),), ((2, 2, 2),)), strides=False),
    OpRow("prelu", lambda t, x, w: t.nn.functional.prelu(x, w), values=("nonzero", "real"),
          dtypes=FLOATS, strides=False,
          shapes=(((4, 3), (1,)), ((4, 3), (3,)), ((2, 3, 2, 2), (3,)), ((3,), (1,)), ((), (1,))),
          errors=(lambda t: t.nn.functional.prelu(t.ones(2, 3), t.ones(2)),)),
    OpRow("softmax", lambda t, x: t.softmax(x, 0), values=("any",), grad_values=("real",),
          dtypes=FD, errors=(lambda t: t.softmax(t.ones(2), 1),)),
    OpRow("softmax_last", lambda t, x: x.softmax(-1), values=("real",), dtypes=FD,
          slack=2),
    OpRow("softmax_dtype", lambda t, x: t.softmax(x, -1, dtype=t.float64), values=("real",),
          dtypes=(*FLOATS, "int64")),
    OpRow("softmax_middle", lambda t, x: t.nn.functional.softmax(x, 1), values=("real",),
          dtypes=FLOATS, shapes=(((2, 3, 4),), ((2, 0, 3),))),
    OpRow("log_softmax", lambda t, x: t.log_softmax(x, 0), values=("any",), grad_values=("real",),
          dtypes=FD),
    OpRow("log_softmax_last", lambda t, x: t.nn.functional.log_softmax(x, dim=-1),
          values=("real",), dtypes=FD),
    OpRow("log_softmax_dtype", lambda t, x: x.log_softmax(-1, dtype=t.float32),
          values=("real",), dtypes=("float16", "int64"), grad=()),
    OpRow("softmin", lambda t, x: t.nn.functional.softmin(x, -1), values=("real",), dtypes=FD),
    OpRow("softmax_without_dim", lambda t, x: t.nn.functional.softmax(x), values=("real",),
          dtypes=("float32",), grad=()),
    *[_inplace(name) for name in (
        "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardswish",
        "hardtanh")],
    _inplace("hardsigmoid", slack=1e3, double=False),
]  # fmt: skip
