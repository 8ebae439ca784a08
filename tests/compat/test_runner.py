"""A program under ``python -m cresset`` behaves as under plain ``python``, byte for byte.

The programs here need no torch (but where they say so), so that plain Python can run them too: most
tests compare the two.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

SURROUNDINGS = """
    import sys
    print(sys.argv, sys.path[0], __name__, sys.modules['__main__'].__dict__ is globals())
    print(globals().get('__file__'), __package__, getattr(__spec__, 'name', None), __doc__)
    print(type(__loader__), __builtins__, '__cached__' in globals(), __annotations__)
"""

ENDINGS = {
    "with an error": "def f(x):\n    return 1 / x\n\nprint('out')\nf(0)\n",
    "with a chain of errors": "try:\n    {}['a']\nexcept KeyError as e:\n"
    "    raise ValueError('b') from e\n",
    "with a failing import": "try:\n    import json.no_such\nexcept ImportError:\n    1 / 0\n",
    "with a syntax error": "x = (1,\nprint(]\n",
    "with a status": "import sys\nsys.exit(7)\n",
    "with a message": "raise SystemExit('the end')\n",
    "by interruption": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile 1: pass\n",
    "with a hook of its own": "import sys\nsys.excepthook = lambda *a: print(a[:2])\n1 / 0\n",
    "in a thread": "from threading import Thread\nThread(target=lambda: 1 / 0, name='t').start()\n",
    "at exit": "import atexit\natexit.register(lambda: print('last', __name__))\n1 / 0\n",
    "well": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.2), print(__name__))).start()\n",
}


def same(plain, ours) -> None:
    """Two finished processes printed the same and ended the same."""
    assert (ours.stdout, ours.stderr, ours.returncode) == (
        plain.stdout,
        plain.stderr,
        plain.returncode,
    )


@pytest.mark.parametrize("path", ["program.py", "./program.py", "deep/link.py"])
def test_a_script_sees_the_same_surroundings(run, cresset, write, tmp_path, path) -> None:
    write("program.py", SURROUNDINGS)
    write("deep/other.py", "")
    (tmp_path / "deep" / "link.py").symlink_to(tmp_path / "program.py")
    same(run(path, "a", "-b", "--help"), cresset(path, "a", "-b", "--help"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "package.module", "a", "-m"),
        ("-m", "package", "a"),
        ("-m", "package.absent"),
        ("-m", "absent.module"),
        ("-m", "no_main"),
        ("folder", "a"),
        ("archive.zip", "a"),
        ("empty"),
        ("absent.py",),
    ],
)
def test_modules_folders_and_archives_run_as_in_python(
    run, cresset, write, tmp_path, arguments
) -> None:
    write("package/__init__.py", "print('package')")
    write("package/module.py", SURROUNDINGS)
    write("package/__main__.py", SURROUNDINGS)
    write("no_main/__init__.py", "")
    write("folder/__main__.py", SURROUNDINGS)
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", "import sys; print(sys.argv, sys.path[0], __file__)")
    arguments = (arguments,) if isinstance(arguments, str) else arguments
    plain, ours = run(*arguments), cresset(*arguments)
    # Python words this one differently from version to version.
    ours.stderr = ours.stderr.replace("No module named absent.module", "")
    plain.stderr = plain.stderr.replace(
        "Error while finding module specification for 'absent.module' "
        "(ModuleNotFoundError: No module named 'absent')",
        "",
    )
    same(plain, ours)


def test_a_program_in_the_command_line_sees_the_same_surroundings(run, cresset) -> None:
    text = "import sys; print(sys.argv, sys.path[0] == '', __name__, sorted(globals()), __loader__)"
    same(run("-c", text, "-c", "a"), cresset("-c", text, "-c", "a"))


@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_ends_as_in_python(run, cresset, tmp_path: Path, name) -> None:
    (tmp_path / "program.py").write_text(ENDINGS[name])
    same(run("program.py"), cresset("program.py"))


def test_errors_inside_the_binding_show_only_the_programs_frames(cresset, write) -> None:
    write("program.py", "import torch.no_such_thing\n")
    lines = cresset("program.py").stderr.splitlines()
    assert [line for line in lines if "File" in line] == [
        f'  File "{(write("program.py", "import torch.no_such_thing")).resolve()}", '
        "line 1, in <module>"
    ]
    assert lines[-1].startswith("ModuleNotFoundError: No module named 'torch.no_such_thing' (Cres")


def test_classes_of_the_script_can_be_pickled(cresset, write) -> None:
    write(
        "program.py",
        """
        import copy, pickle
        class Net:
            def __init__(self): self.w = 3
        again = pickle.loads(pickle.dumps(Net()))
        print(type(again) is Net, again.w, Net.__module__)
        """,
    )
    done = cresset("program.py")
    assert (done.stdout, done.stderr) == ("True 3 __main__\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_are_bound(cresset, write, method) -> None:
    write(
        "program.py",
        """
        import multiprocessing, sys
        import torch
        import helper
        class Item:
            pass
        def work(item):
            import torchvision
            return torch.__name__, torchvision.__name__, type(item) is Item
        if __name__ == '__main__':
            with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
                print(pool.map(work, [Item()]))
        """,
    )
    write("helper.py", "import torch.nn")
    done = cresset("program.py", method)
    assert done.stdout == "[('cresset', 'cresset.vision', True)]\n", done.stderr
    assert (done.stderr, done.returncode) == ("", 0)


def test_programs_that_a_program_starts_are_bound_and_their_children_too(cresset, write) -> None:
    write(
        "program.py",
        """
        import subprocess, sys
        import torch
        depth = int(sys.argv[1])
        print(depth, torch.__name__, sys.path[0], 'sitecustomize' in sys.path, flush=True)
        if depth:
            subprocess.run([sys.executable, __file__, str(depth - 1)], cwd='/', check=True)
        """,
    )
    done = cresset("program.py", "2")
    folder = str(write("x", "").parent.resolve())
    expected = [f"{depth} cresset {folder} False" for depth in (2, 1, 0)]
    assert done.stdout.splitlines() == expected, done.stderr


def test_the_sitecustomize_of_the_environment_still_runs_in_children(run, write, tmp_path) -> None:
    write("site/sitecustomize.py", "mark = 'theirs'")
    write(
        "program.py",
        """
        import subprocess, sys
        child = "import sys, sitecustomize as s, torch; print(s.mark, torch.__name__, '_child' in str(sys.path))"
        subprocess.run([sys.executable, '-c', child], check=True)
        """,  # noqa: E501
    )
    import importlib.util

    packages = Path(importlib.util.find_spec("cresset").origin).parent.parent
    path = f"{tmp_path / 'site'}:{packages}"
    done = run("-m", "cresset", "program.py", PYTHONPATH=path)
    assert (done.stdout, done.stderr) == ("theirs cresset False\n", "")


def test_a_child_that_never_imports_torch_does_not_pay_for_cresset(cresset) -> None:
    child = "import sys; print('cresset' in sys.modules, 'numpy' in sys.modules)"
    done = cresset(
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)",
    )
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_a_program_from_standard_input_is_bound(run) -> None:
    import os
    import subprocess

    spec = run("-c", "import cresset; print(cresset.__path__[0])")
    packages = os.path.dirname(spec.stdout.strip())
    done = subprocess.run(
        [sys.executable, "-m", "cresset", "-", "a"],
        input="import sys, torch; print(sys.argv, torch.__name__)",
        env={**os.environ, "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("['-', 'a'] cresset\n", "")


def test_legacy_is_switched_on_before_the_program_and_for_its_children(run) -> None:
    done = run(
        "-c",
        """
import sys, types
from cresset.compat.runner import main
stand_in = types.ModuleType('cresset.compat.legacy')
stand_in.enable = lambda: print('enabled')
sys.modules[stand_in.__name__] = stand_in
main(['--legacy', '-c', 'import os; print(os.environ["CRESSET_LEGACY"])'])
""",
    )
    assert (done.stdout, done.stderr) == ("enabled\n1\n", "")
