"""``CRESSET_CHECK=1`` notices plans that go wrong."""

import numpy as np
import pytest

from cresset import float32
from cresset.core.call import Call, Op
from cresset.core.check import run_checked
from cresset.core.plan import Plan, Program, Step, reference_plan
from cresset.core.spec import dense

VECTOR = dense(float32, (3,))


def _negate(xp, x):
    return -x


def _spoil(xp, x):
    x += 1
    return -x


def _plan(kernel):
    call = Call(Op("test", lambda s: s, kernel), (), (VECTOR,), VECTOR)
    return reference_plan(Program((call,), ((1, 0),), (1,), ()), 2)


def test_a_sound_plan_passes_and_leaves_its_results():
    values = [np.arange(3, dtype=np.float32), None]
    assert run_checked(_plan(_negate), values, {}, (1,), ()) is None
    assert values[1].tolist() == [0.0, -1.0, -2.0]


def test_a_kernel_that_writes_into_its_operand_is_caught():
    values = [np.arange(3, dtype=np.float32), None]
    with pytest.raises(RuntimeError, match="changed input 0"):
        run_checked(_plan(_spoil), values, {}, (1,), ())


def test_a_plan_that_gives_other_values_is_caught():
    class Hasty(Plan):
        __slots__ = ()

        def run(self, values, lines):
            super().run(values, lines)
            values[1] = values[1] + 1
            return None

    values = [np.arange(3, dtype=np.float32), None]
    with pytest.raises(RuntimeError, match="another value for slot 1"):
        run_checked(Hasty(_plan(_negate).steps, 2), values, {}, (1,), ())


def test_an_error_is_reported_as_the_plan_reports_it():
    def fail(xp, x):
        raise IndexError("no such row")

    values = [np.arange(3, dtype=np.float32), None]
    failure = run_checked(_plan(fail), values, {}, (1,), ())
    assert isinstance(failure, IndexError)
    assert isinstance(_plan(_negate).steps[0], Step)
