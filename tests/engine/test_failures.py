"""Runs that go wrong: each ends with file, line and cell, and harms no other snippet.

All the snippets of the table lie in one project and run at once, once in forks and once in
interpreters of their own; each test looks at one of them.
"""

from __future__ import annotations

from textwrap import dedent

import pytest
from tests.engine.project import Project, cell, failure

from livecell import LivecellError, Result

Outcomes = dict[str, Result | LivecellError]

FIRST = "# %% first\nprint('first')\n\n"  # three lines before what goes wrong

# name: (code after FIRST, line, cell, part of the problem, part of the rest of the message)
FAILING: dict[str, tuple[str, int | None, str, str, str]] = {
    "uncaught": (
        "# %% a\nx = 1\n1 / 0\n",
        6,
        "a",
        "the cell raised ZeroDivisionError: division by zero",
        'raises="ZeroDivisionError"',
    ),
    "in_a_function": (
        "# %% f\ndef f():\n    return {}[1]\n\n# %% call\nf()\n",
        6,
        "call",
        "KeyError: 1",
        "in f",
    ),
    "another_error": (
        '# %% a raises="KeyError"\nx = 1\n1 / 0\n',
        6,
        "a",
        "should raise KeyError, but raised ZeroDivisionError",
        "division by zero",
    ),
    "no_error": (
        '# %% a raises="KeyError"\nprint("all is well")\n',
        5,
        "a",
        "should raise KeyError, but raised nothing",
        "all is well",
    ),
    "base_class_declared": (
        '# %% a raises="Exception"\n1 / 0\n',
        5,
        "a",
        "should raise Exception, but raised ZeroDivisionError",
        "",
    ),
    "sys_exit": ("# %% a\nimport sys\nsys.exit(3)\n", 6, "a", "sys.exit(3)", "run to its end"),
    "exit_0": ("# %% a\nraise SystemExit\n", 5, "a", "sys.exit()", "run to its end"),
    "interrupt": ("# %% a\nraise KeyboardInterrupt\n", 5, "a", "KeyboardInterrupt", ""),
    "own_base_exception": (
        "# %% a\nclass E(BaseException): ...\nraise E('mine')\n",
        6,
        "a",
        "raised E: mine",
        "",
    ),
    "own_str_fails": (
        "# %% a\nclass E(Exception):\n    def __str__(self): 1 / 0\nraise E\n",
        7,
        "a",
        "the cell raised E",
        "",
    ),
    "surrogate": ("# %% a\nraise ValueError('\\ud800')\n", 5, "a", "ValueError: \\ud800", ""),
    "repr_fails": (
        "# %% a\nclass A:\n    def _repr_html_(self): return 1 / 0\nA()\n",
        6,
        "a",
        "ZeroDivisionError",
        "",
    ),
    "os_exit": ("# %% a\nimport os\nos._exit(0)\n", 5, "a", "exit code 0 in mid-run", "os._exit"),
    "os_exit_7": ("# %% a\nimport os\nos._exit(7)\n", 5, "a", "exit code 7 in mid-run", "os._exit"),
    "segfault": (
        "# %% a\nimport ctypes\nctypes.string_at(0)\n",
        6,
        "a",
        "died of SIGSEGV",
        "python ",
    ),
    "abort": ("# %% a\nimport os\nos.abort()\n", 6, "a", "died of SIGABRT", "python "),
    "killed": (
        "# %% a\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        5,
        "a",
        "died of SIGKILL",
        "want of memory",
    ),
    "another_program": (
        "# %% a\nimport os\nos.execv('/bin/true', ['true'])\n",
        5,
        "a",
        "exit code 0 in mid-run",
        "",
    ),
    "compiled_late": ("# %% a\nx = 1\n\n# %% b\ny = 1\nreturn y\n", 9, "b", "'return' outside", ""),
    "bad_module": ("# %% a\nimport _broken\n", 5, "a", "SyntaxError", "_broken.py"),
    "no_module": ("# %% a\nimport no_such_thing\n", 5, "a", "No module named", ""),
    "input": (
        "# %% a\nx = input('name? ')\n",
        5,
        "a",
        "reads standard input",
        "in the code instead",
    ),
    "stdin_read": ("# %% a\nimport sys\nsys.stdin.read()\n", 6, "a", "reads standard input", ""),
    "stdin_lines": ("# %% a\nimport sys\nlist(sys.stdin)\n", 6, "a", "reads standard input", ""),
    "stdin_bytes": (
        "# %% a\nimport sys\nsys.stdin.buffer.read()\n",
        6,
        "a",
        "reads standard input",
        "",
    ),
    "real_stdin": ("# %% a\nimport sys\nsys.__stdin__.read()\n", 6, "a", "reads standard", ""),
    "thread": (
        "# %% a\nimport threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n",
        5,
        "a",
        "a thread is still running: Thread-1",
        "join every thread",
    ),
    "thread_after_error": (
        '# %% a raises="KeyError"\nimport threading, time\n'
        "threading.Thread(target=time.sleep, args=(99,)).start()\n{}[1]\n",
        5,
        "a",
        "a thread is still running",
        "join every thread",
    ),
    "pool_thread": (
        "# %% a\nimport time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "job = ThreadPoolExecutor(1).submit(time.sleep, 99)\n",
        5,
        "a",
        "a thread is still running: ThreadPoolExecutor",
        "join every thread",
    ),
    "child": (
        "# %% a\nimport subprocess\nx = subprocess.Popen(['sleep', '99'])\n",
        5,
        "a",
        "1 child process(es) still running",
        "wait for every child",
    ),
    "print_forever": (
        "# %% a\nwhile True:\n    print('x' * 100)\n",
        5,
        "a",
        "printed more than 20 KiB",
        "print less",
    ),
    "print_in_a_bare_except": (
        "# %% a\nfor i in range(9999):\n    try: print('x' * 99)\n    except: pass\n",
        5,
        "a",
        "printed more than 20 KiB",
        "",
    ),
    "print_in_a_thread": (
        "# %% a\nimport threading\nt = threading.Thread(target=print, args=('x' * 99999,))\n"
        "t.start(); t.join()\n",
        5,
        "a",
        "printed more than 20 KiB",
        "",
    ),
    "write_just_too_much": (
        "# %% a\nimport os\nx = os.write(1, b'x' * 25_000)\n\n# %% b\nprint('b')\n",
        5,
        "a",
        "printed more than 20 KiB",
        "",
    ),
    "write_forever": (
        "# %% a\nimport os\nwhile True:\n    os.write(2, b'x' * 1000)\n",
        7,
        "a",
        "printed more than 20 KiB",
        "print less",
    ),
    "child_writes_forever": (
        "# %% a\nimport subprocess\n\nsubprocess.run(['yes'])\n",
        7,
        "a",
        "printed more than 20 KiB",
        "print less",
    ),
}

# These run with a small memory limit.
GREEDY: dict[str, tuple[str, int | None, str, str, str]] = {
    "one_big_object": (
        "# %% a\nx = bytearray(10**12)\n",
        5,
        "a",
        "MemoryError",
        "memory limit (`memory_mb`)",
    ),
    "memory_in_big_steps": (
        "# %% a\nx = []\nwhile True:\n    x.append(bytearray(10**6))\n",
        7,
        "a",
        "MemoryError",
        "memory limit (`memory_mb`)",
    ),
    "memory_in_small_steps": (
        "# %% a\nx = []\nwhile True:\n    x.append(bytearray(999))\n",
        None,  # not even a traceback has room
        "a",
        "MemoryError",
        "memory limit (`memory_mb`)",
    ),
}

HARMLESS = {
    "plain": "# %% a\nprint('good')\n",
    "declared": '# %% a raises="ZeroDivisionError"\nprint("good")\n1 / 0\n',
    "declared_exit": '# %% a raises="SystemExit"\nprint("good")\nraise SystemExit(2)\n',
    "late_output": "# %% a\nimport atexit\natexit.register(print, 'good')\n",
    "daemon": "# %% a\nimport threading, time\nprint('good')\n"
    "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n",
    "idle_pool": "# %% a\nfrom concurrent.futures import ThreadPoolExecutor\n"
    "print(ThreadPoolExecutor(1).submit(lambda: 'good').result())\n",
    "process_pool": "# %% a\nimport multiprocessing\n\ndef f(x): return x\n\n"
    "with multiprocessing.Pool(1) as pool:\n    print(*pool.map(f, ['good']))\n",
    "awaited_child": "# %% a\nimport subprocess\nx = subprocess.run(['echo', 'good'])\n",
    "forked_child": "# %% a\nimport os, sys\npid = os.fork()\nif pid == 0:\n    print('good')\n"
    "    sys.exit(3)\nassert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3\n",
    "closed_output": "# %% a\nimport os\nprint('good')\nos.close(1)\n",
    "answers_to_any_name": "# %% a\nclass A:\n    def __getattr__(self, name): return lambda: 3\n"
    "print('good')\nA()\n",
    "deleted_folder": "# %% a\nimport os\nos.rmdir(os.getcwd())\nprint('good')\n",
}
MODEST = """\
# %% a
x = []
try:
    while True: x.append(bytearray(9999))
except MemoryError:
    print('good')
"""


@pytest.fixture(scope="module", params=[True, False], ids=["fork", "spawn"])
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    # Spaces and Chinese in the path: neither the crash report nor the masking may stumble.
    root = tmp_path_factory.mktemp("failures") / "项目 one"
    snippets = HARMLESS | {name: FIRST + bad[0] for name, bad in FAILING.items()}
    project = Project.make(root, snippets, output_kb=20)
    project.write("_broken", "x = = 1\n")
    found = project.outcomes(fork=request.param)
    greedy = {name: FIRST + bad[0] for name, bad in GREEDY.items()} | {"modest": MODEST}
    small = Project.make(root / "small", greedy, memory_mb=40).outcomes(fork=request.param)
    assert cell(small.pop("modest"), "a").text() == "good\n"
    assert found.keys().isdisjoint(small)
    good = {stem for stem, outcome in found.items() if isinstance(outcome, Result)}
    assert good == set(HARMLESS)
    assert len(project.entries()) == len(HARMLESS), "exactly the good results are stored"
    return found | small


@pytest.mark.parametrize("name", FAILING | GREEDY)
def test_a_failing_run_says_where_and_why(name: str, outcomes: Outcomes) -> None:
    _, line, cell_name, problem, rest = (FAILING | GREEDY)[name]
    error = failure(outcomes[name])
    assert problem in error.problem
    assert error.cell == cell_name
    assert error.line == line or line is None
    assert str(error.file).endswith(f"/snippets/{name}.py")
    assert rest in str(error)
    assert "livecell/" not in (error.details or ""), "our own frames are no help to an author"


@pytest.mark.parametrize("name", HARMLESS)
def test_other_snippets_are_unharmed(name: str, outcomes: Outcomes) -> None:
    assert cell(outcomes[name], "a").text() == "good\n"


def test_the_message_of_an_uncaught_error_in_full(outcomes: Outcomes) -> None:
    error = failure(outcomes["in_a_function"])
    file = str(error.file)
    assert str(error) == dedent(f"""\
        {file}:6 (cell call): the cell raised KeyError: 1
          to do:    mend the code; if the error is the lesson, say raises="KeyError" in the header
          Traceback (most recent call last):
            File "snippets/in_a_function.py", line 9, in <module>
              f()
            File "snippets/in_a_function.py", line 6, in f
              return {{}}[1]
                     ~~^^^
          KeyError: 1""")


def test_a_test_that_expects_a_failure_notices_a_success(outcomes: Outcomes) -> None:
    """The checker itself can fail, both ways."""
    with pytest.raises(AssertionError, match="it ran"):
        failure(outcomes["plain"])
    with pytest.raises(LivecellError, match="ZeroDivisionError"):
        cell(outcomes["uncaught"], "a")
