"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict, beside PyTorch."""

from __future__ import annotations

import re
from collections import OrderedDict

import pytest

import cresset
from cresset import nn


def outcome(torch, action):
    """Type and words of what an action raises, or the repr of its value, without library names."""
    try:
        result = repr(action(torch))
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    return re.sub(r"<class '[\w.]*\.(\w+)'>", r"<\1>", result)


def seq(t):
    return t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh(), t.nn.GELU())


def named(t):
    return t.nn.Sequential(OrderedDict(conv=t.nn.ReLU(), act=t.nn.Tanh()))


def mods(t):
    return t.nn.ModuleList([t.nn.ReLU(), t.nn.ReLU(), t.nn.Tanh()])


def table(t):
    return t.nn.ModuleDict({"b": t.nn.ReLU(), "a": t.nn.Tanh()})


def plist(t):
    return t.nn.ParameterList([t.ones(1), t.ones(2, 3), 3])


def pdict(t):
    return t.nn.ParameterDict({"b": t.ones(1), "a": t.ones(2)})


def after(make, *steps):
    """An action: make a container, take the steps, show what each returned and the container."""

    def action(t):
        box = make(t)
        results = [step(t, box) for step in steps]
        return results, box

    return action


def put(key, value):
    return lambda t, box: box.__setitem__(key, value(t))


def drop(key):
    return lambda t, box: box.__delitem__(key)


ACTIONS = {
    "seq index": lambda t: (seq(t)[0], seq(t)[-1], seq(t)[1:], len(seq(t))),
    "seq index too big": lambda t: seq(t)[5],
    "seq index too small": lambda t: seq(t)[-4],
    "seq index text": lambda t: seq(t)["0"],
    "seq of a number": lambda t: t.nn.Sequential(3),
    "seq of a list": lambda t: t.nn.Sequential([t.nn.ReLU()]),
    "seq names": lambda t: (named(t), named(t)[:1], named(t).conv, named(t) + seq(t)),
    "seq add list": lambda t: seq(t) + [t.nn.ReLU()],
    "seq times": lambda t: (seq(t) * 2, 2 * seq(t)),
    "seq times zero": lambda t: seq(t) * 0,
    "seq times text": lambda t: seq(t) * "a",
    "seq add in place": lambda t: seq(t).__iadd__(seq(t)),
    "seq times in place": lambda t: seq(t).__imul__(3),
    "seq insert": after(seq, lambda t, s: s.insert(1, t.nn.SELU()) is s),
    "seq insert from the end": after(seq, lambda t, s: s.insert(-1, t.nn.SELU()) is s),
    "seq insert too far": lambda t: seq(t).insert(9, t.nn.ReLU()),
    "seq insert a number": lambda t: seq(t).insert(0, 3),
    "seq pop": after(seq, lambda t, s: s.pop(0), lambda t, s: s.pop(-1)),
    "seq pop then append": after(
        seq, lambda t, s: s.pop(0), lambda t, s: s.append(t.nn.ReLU()) is s
    ),
    "seq pop a slice": after(seq, lambda t, s: s.pop(slice(0, 2))),
    "seq pop without key": lambda t: seq(t).pop(),
    "seq append a number": lambda t: seq(t).append(3),
    "seq extend": after(seq, lambda t, s: s.extend([t.nn.ReLU(), t.nn.ReLU()]) is s),
    "seq delete": after(seq, drop(0), lambda t, s: list(s._modules)),
    "seq delete last": after(seq, drop(-1)),
    "seq delete slice": after(seq, drop(slice(None, None, 2))),
    "seq delete outside": lambda t: seq(t).__delitem__(7),
    "seq set": after(seq, put(0, lambda t: t.nn.SELU()), put(-1, lambda t: t.nn.ReLU())),
    "seq set a number": lambda t: seq(t).__setitem__(0, 3),
    "seq empty": lambda t: (t.nn.Sequential(), t.nn.Sequential()(3), bool(t.nn.Sequential())),
    "list repr": lambda t: (
        mods(t), t.nn.ModuleList(), t.nn.ModuleList([seq(t), seq(t), t.nn.ReLU()]),
    ),
    "list index": lambda t: (mods(t)[0], mods(t)[-1], mods(t)[1:], len(mods(t))),
    "list index outside": lambda t: mods(t)[9],
    "list add": lambda t: mods(t) + [t.nn.ReLU()],
    "list add a number": lambda t: mods(t) + 3,
    "list append a number": lambda t: mods(t).append(3),
    "list extend a number": lambda t: mods(t).extend(3),
    "list insert": after(mods, lambda t, m: m.insert(0, t.nn.Tanh()), lambda t, m: m[1]),
    "list pop": after(mods, lambda t, m: m.pop(0), lambda t, m: list(m._modules)),
    "list delete": after(mods, drop(0), drop(-1)),
    "list delete slice": after(mods, drop(slice(0, 2))),
    "list set": after(mods, put(1, lambda t: t.nn.GELU())),
    "list set outside": lambda t: mods(t).__setitem__(9, t.nn.ReLU()),
    "list call": lambda t: mods(t)(1),
    "list of none": lambda t: t.nn.ModuleList([t.nn.ReLU(), None]),
    "list of a generator": lambda t: t.nn.ModuleList(t.nn.ReLU() for _ in range(2)),
    "dict": lambda t: (table(t), list(table(t)), "a" in table(t), len(table(t)), table(t)["a"]),
    "dict of pairs": lambda t: t.nn.ModuleDict([["a", t.nn.ReLU()], ("b", t.nn.Tanh())]),
    "dict views": lambda t: (table(t).keys(), table(t).items(), table(t).values()),
    "dict of a number": lambda t: t.nn.ModuleDict(3),
    "dict of numbers": lambda t: t.nn.ModuleDict([3]),
    "dict of triples": lambda t: t.nn.ModuleDict([(1, 2, 3)]),
    "dict value no module": lambda t: t.nn.ModuleDict({"a": 3}),
    "dict key no text": lambda t: t.nn.ModuleDict({3: t.nn.ReLU()}),
    "dict key taken": lambda t: t.nn.ModuleDict({"keys": t.nn.ReLU()}),
    "dict missing": lambda t: table(t)["z"],
    "dict pop": after(table, lambda t, d: d.pop("a"), lambda t, d: d.clear()),
    "dict update": after(table, lambda t, d: d.update({"c": t.nn.GELU(), "b": t.nn.SELU()})),
    "plist": lambda t: (plist(t), plist(t)[1], plist(t)[-1], plist(t)[:1], len(plist(t))),
    "plist outside": lambda t: plist(t)[9],
    "plist set": after(plist, put(0, lambda t: t.zeros(4)), lambda t, p: list(p.state_dict())),
    "plist append": after(plist, lambda t, p: p.append(t.ones(5)) is p),
    "plist extend": after(plist, lambda t, p: p.extend(plist(t)) is p),
    "plist extend a number": lambda t: plist(t).extend(3),
    "plist extend a tensor": lambda t: plist(t).extend(t.ones(1)),
    "plist call": lambda t: plist(t)(3),
    "pdict": lambda t: (pdict(t), list(pdict(t)), pdict(t)["a"], len(pdict(t)), "a" in pdict(t)),
    "pdict ordered": lambda t: t.nn.ParameterDict(OrderedDict(b=t.ones(1), a=3)),
    "pdict missing": lambda t: pdict(t)["z"],
    "pdict get": lambda t: (pdict(t).get("z"), pdict(t).get("z", 3), pdict(t).get("a")),
    "pdict setdefault": after(pdict, lambda t, p: p.setdefault("c", t.ones(3))),
    "pdict pop": after(pdict, lambda t, p: p.pop("a"), lambda t, p: p.popitem()),
    "pdict or": lambda t: (pdict(t) | {"q": t.ones(1)}, t.nn.ParameterDict({"q": 3}) | pdict(t)),
    "pdict or reversed": lambda t: {"q": t.ones(1)} | pdict(t),
    "pdict or in place": lambda t: pdict(t).__ior__({"q": t.ones(1)}),
    "pdict items": lambda t: (list(pdict(t).items()), list(pdict(t).values()), pdict(t).keys()),
    "pdict reversed": lambda t: (list(reversed(pdict(t))), pdict(t).copy()),
    "pdict fromkeys": lambda t: pdict(t).fromkeys(["x", "y"], t.ones(1)),
    "pdict of a number": lambda t: t.nn.ParameterDict(3),
    "pdict of numbers": lambda t: t.nn.ParameterDict([3]),
    "pdict of triples": lambda t: t.nn.ParameterDict([(1, 2, 3)]),
    "pdict key no text": lambda t: t.nn.ParameterDict({3: t.ones(1)}),
    "pdict clear": after(pdict, lambda t, p: p.clear()),
    "pdict call": lambda t: pdict(t)(3),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIONS)
def test_behaves_as_in_pytorch(name):
    torch = pytest.importorskip("torch")
    assert outcome(cresset, ACTIONS[name]) == outcome(torch, ACTIONS[name])


def test_sequential_runs_its_modules_in_order():
    class Add(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.n = n

        def forward(self, x):
            return x * 2 + self.n

    assert nn.Sequential(Add(1), Add(2))(cresset.zeros(1)).item() == 4


def test_removed_modules_leave_no_attribute_behind():
    s = nn.Sequential(nn.ReLU(), nn.Tanh())
    del s[0]
    assert isinstance(getattr(s, "0"), nn.Tanh) and not hasattr(s, "1")
    s.append(nn.GELU())
    assert isinstance(s[1], nn.GELU) and list(s._modules) == ["0", "1"]


def test_everything_held_is_registered():
    m = nn.Module()
    m.layers = nn.ModuleList([nn.Linear(1, 1, bias=False)])
    m.table = nn.ModuleDict({"x": nn.Linear(1, 1, bias=False)})
    m.values = nn.ParameterList([cresset.ones(1)])
    m.more = nn.ParameterDict({"y": cresset.ones(1)})
    assert list(m.state_dict()) == ["layers.0.weight", "table.x.weight", "values.0", "more.y"]
    assert all(p.requires_grad for p in m.parameters())
