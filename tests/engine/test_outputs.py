"""What a snippet puts out reaches the result whole, in order, and the same every time.

The snippets lie in one project that runs twice: in forks, and in interpreters of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.project import Project, cell

from livecell import CellResult, LivecellError, Result, Runner
from livecell.environment import environment
from livecell.present import mask

SNIPPETS = {
    "stack": """\
        # %% printed
        import traceback
        def inner():
            traceback.print_stack()
        inner()
    """,
    "order": """\
        # %% mixed
        import os, subprocess, sys, warnings
        print("1 print")
        os.write(1, b"2 os.write\\n")
        print("3 stderr", file=sys.stderr)
        os.write(2, b"4 os.write\\n")
        subprocess.run(["echo", "5 child"])
        subprocess.run("echo 6 child >&2", shell=True)
        print("7", "print", sep=" | ", end="!\\n", flush=True)
        warnings.warn("8 warning")
        sys.stdout.write("9 write\\n")
        sys.stdout.buffer.write(b"10 bytes\\n")

        # %% c_library
        import ctypes
        print("1 print")
        ctypes.CDLL(None).puts(b"2 puts")
        ctypes.CDLL(None).fflush(None)
        print("3 print")
        x = ctypes.CDLL(None).puts(b"4 puts, not flushed")

        # %% nothing
        x = 1
        """,
    "threads": """\
        # %% a
        import threading
        def work(n):
            for _ in range(500):
                print(n, end="")
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        """,
    "exact": r"""
        # %% a
        print("</code><script>alert(1)</script> &amp; ``` --8<-- {{ x }} *md*")
        print("雅可比 🙂 \x1b[31mred\x1b[0m \x00\x07\r\n\ttab \u2028 é")
        print("long " * 500, end="")
        # %% broken
        import os, sys
        sys.stdout.buffer.write(b"\xff\xfe half: \xe9\n")
        print("\ud800")
        # %% split
        for byte in "雅\n".encode():
            _ = os.write(1, bytes([byte]))
        """,
    "masked": """\
        # %% a
        import json, os, sys, sysconfig
        from pathlib import Path
        print(object())
        print(lambda: 1)
        print("0x1234 and at 0xff stay")
        # %% paths
        root = Path(__file__).parent.parent
        print(__file__)
        print(root)
        print(root / "data.csv")
        print(str(root) + "-other/x", "/other" + str(root) + "/x")
        print(os.getcwd())
        print(os.path.abspath("made.txt"))
        print(json.__file__)
        # %% error raises="FileNotFoundError"
        open(root / "no such file")
        """,
    "main": """\
        # %% a
        import os, sys
        from pathlib import Path
        print(__name__, Path(__file__).name, [Path(arg).name for arg in sys.argv])
        print(sys.path[0] == str(Path(__file__).parent), __doc__, "__builtins__" in globals())
        import __main__
        print(__main__.__file__ == __file__, __main__.os is os)
        print(sorted(name for name in globals() if not name.startswith("__")))
        # %% pickles
        import dataclasses, inspect, pickle, typing
        @dataclasses.dataclass
        class Point:
            x: int
            y: "Point | None" = None
        print(pickle.loads(pickle.dumps(Point(1, Point(2)))), Point.__module__)
        print(inspect.getsource(Point.__init__ if False else Point).splitlines()[1])
        print(typing.get_type_hints(Point)["x"])
        # %% scope
        def outer():
            return later
        later = 3
        z: int = 4
        print(outer(), __annotations__)
        # %% encoding
        print(sys.stdout.encoding, sys.getdefaultencoding(), sys.stdout.isatty())
        print(os.environ["TZ"], os.environ.get("HOME") is not None, "SECRET" in os.environ)
        """,
    "rich": """\
        # %% html
        class Table:
            def _repr_html_(self):
                return f"<b>bold</b> {object()}"
        print("before")
        Table()
        # %% svg
        class Picture:
            def _repr_svg_(self): return "<svg></svg>"
            def __repr__(self): return "picture"
        Picture()
        # %% plain_value
        [1, 2]
        # %% a_class
        Table
        # %% not_last
        Table()
        x = 1
        # %% not_text
        class Odd:
            def _repr_html_(self): return 3
        Odd()
        """,
    "frames": """\
        # %% library raises="JSONDecodeError"
        import json
        def load(text):
            return json.loads(text)
        load("?")

        # %% chained raises="ValueError"
        try:
            load("[")
        except Exception as error:
            raise ValueError("outer") from error

        # %% group raises="ExceptionGroup"
        try:
            load("[")
        except Exception as error:
            caught = error
        raise ExceptionGroup("several", [caught, KeyError(1)])

        # %% helper raises="TypeError"
        import _helper
        _helper.call(lambda: 1 + "1")

        # %% note raises="KeyError"
        error = KeyError("k")
        error.add_note("a note")
        print("before")
        raise error

        # %% goes_on
        print("still here")
        """,
}


Outcomes = dict[str, Result | LivecellError]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.make(tmp_path_factory.mktemp("outputs") / "a project", SNIPPETS)
    project.write("_helper", "def call(f):\n    return f()\n")
    return project


@pytest.fixture(scope="module")
def ways(project: Project) -> dict[str, Outcomes]:
    return {
        "fork": project.outcomes(),
        "fork again": project.outcomes(),
        "spawn": project.outcomes(fork=False),
    }


@pytest.fixture(params=["fork", "spawn"])
def outcomes(ways: dict[str, Outcomes], request: pytest.FixtureRequest) -> Outcomes:
    return ways[request.param]


def streams(cell: CellResult) -> list[tuple[str, str]]:
    return [(output["name"], output["text"]) for output in cell.outputs]


def test_everything_printed_keeps_its_order(outcomes: Outcomes) -> None:
    assert streams(cell(outcomes["order"], "mixed")) == [
        ("stdout", "1 print\n2 os.write\n"),
        ("stderr", "3 stderr\n4 os.write\n"),
        ("stdout", "5 child\n"),
        ("stderr", "6 child\n"),
        ("stdout", "7 | print!\n"),
        ("stderr", 'snippets/order.py:10: UserWarning: 8 warning\n  warnings.warn("8 warning")\n'),
        ("stdout", "9 write\n10 bytes\n"),
    ]


def test_what_a_c_library_prints_is_shown_in_its_cell(outcomes: Outcomes) -> None:
    assert streams(cell(outcomes["order"], "c_library")) == [
        ("stdout", "1 print\n2 puts\n3 print\n4 puts, not flushed\n")
    ]
    assert cell(outcomes["order"], "nothing").outputs == []


def test_threads_lose_nothing(outcomes: Outcomes) -> None:
    text = cell(outcomes["threads"], "a").text()
    assert sorted(text) == sorted("0123" * 500)


def test_odd_text_is_kept_exactly(outcomes: Outcomes) -> None:
    assert cell(outcomes["exact"], "a").text() == (
        "</code><script>alert(1)</script> &amp; ``` --8<-- {{ x }} *md*\n"
        "雅可比 🙂 \x1b[31mred\x1b[0m \x00\x07\r\n\ttab \u2028 é\n" + "long " * 500
    )
    assert cell(outcomes["exact"], "broken").text() == "\\xff\\xfe half: \\xe9\n\\ud800\n"
    assert cell(outcomes["exact"], "split").text() == "雅\n"


@pytest.fixture(scope="module")
def printer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[str]], str]]:
    """Prints texts in a snippet, and gives what the result says was printed."""
    project = Project.make(tmp_path_factory.mktemp("printer"), {})
    with Runner(project.settings, use_store=False) as runner:

        def printed(texts: list[str]) -> str:
            project.write("printer", f"# %% a\nfor text in {texts!a}:\n    print(text)\n")
            runner.start(["printer"])
            return cell(runner.outcome("printer"), "a").text()

        yield printed


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=5, max_size=50))
def test_any_text_comes_back(printer: Callable[[list[str]], str], texts: list[str]) -> None:
    assert printer(texts) == "".join(text + "\n" for text in texts)


def test_addresses_and_folders_are_masked(project: Project, outcomes: Outcomes) -> None:
    assert cell(outcomes["masked"], "a").text() == (
        "<object object at 0x…>\n<function <lambda> at 0x…>\n0x1234 and at 0xff stay\n"
    )
    root = str(project.root)
    assert cell(outcomes["masked"], "paths").text().splitlines() == [
        "snippets/masked.py",
        ".",
        "data.csv",
        f"{root}-other/x /other{root}/x",
        ".",
        "made.txt",
        "python/json/__init__.py",
    ]
    error = cell(outcomes["masked"], "error").error
    assert error is not None
    assert error["evalue"] == "[Errno 2] No such file or directory: 'no such file'"
    assert root not in "".join(error["traceback"])


def test_a_snippet_sees_the_world_of_a_plain_run(project: Project, outcomes: Outcomes) -> None:
    assert cell(outcomes["main"], "a").text() == dedent("""\
        __main__ main.py ['main.py']
        True None True
        True True
        ['Path', 'os', 'sys']
        """)
    result = outcomes["main"]
    assert isinstance(result, Result)
    plain = subprocess.run(
        [sys.executable, project.settings.snippet("main")],
        env=environment(1, project.settings.store),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "".join(cell.text() for cell in result.cells) == mask(plain, str(project.root), "/none")


def test_the_last_expression_shows_what_a_page_can_show(outcomes: Outcomes) -> None:
    result = outcomes["rich"]
    html = cell(result, "html").outputs
    assert [output["output_type"] for output in html] == ["stream", "display_data"]
    assert html[1]["data"] == {
        "text/html": "<b>bold</b> <object object at 0x…>",
        "text/plain": "<__main__.Table object at 0x…>",
    }
    assert cell(result, "svg").outputs[0]["data"] == {
        "image/svg+xml": "<svg></svg>",
        "text/plain": "picture",
    }
    for name in ("plain_value", "a_class", "not_last", "not_text"):
        assert cell(result, name).outputs == []


def error_of(outcomes: Outcomes, name: str) -> str:
    error = cell(outcomes["frames"], name).error
    assert error is not None
    return "\n".join(error["traceback"])


def test_a_traceback_shows_the_authors_frames_only(outcomes: Outcomes) -> None:
    assert error_of(outcomes, "library") == dedent("""\
        Traceback (most recent call last):
          File "snippets/frames.py", line 5, in <module>
            load("?")
          File "snippets/frames.py", line 4, in load
            return json.loads(text)
                   ^^^^^^^^^^^^^^^^
        json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)""")


def test_a_printed_call_stack_begins_with_the_snippet(outcomes: Outcomes) -> None:
    text = cell(outcomes["stack"], "printed").text("stderr")
    frames = re.findall(r'File "(.*)", line \d+, in (.*)', text)
    assert frames == [("snippets/stack.py", "<module>"), ("snippets/stack.py", "inner")]


def test_chained_and_grouped_exceptions_too(outcomes: Outcomes) -> None:
    chained = error_of(outcomes, "chained")
    assert re.findall(r'File "(.*?)", line (\d+)', chained) == [
        ("snippets/frames.py", "9"),
        ("snippets/frames.py", "4"),
        ("snippets/frames.py", "11"),
    ]
    assert "The above exception was the direct cause" in chained
    group = error_of(outcomes, "group")
    assert set(re.findall(r'File "(.*?)"', group)) == {"snippets/frames.py"}
    assert "JSONDecodeError" in group
    assert "KeyError: 1" in group


def test_a_local_module_is_the_authors_too(outcomes: Outcomes) -> None:
    assert 'File "snippets/_helper.py", line 2, in call' in error_of(outcomes, "helper")


def test_an_error_comes_after_the_output_and_the_next_cell_runs(outcomes: Outcomes) -> None:
    note = cell(outcomes["frames"], "note")
    assert [output["output_type"] for output in note.outputs] == ["stream", "error"]
    assert note.error is not None
    assert note.error["ename"] == "KeyError"
    assert note.error["evalue"] == "'k'"
    assert note.error["traceback"][-2:] == ["KeyError: 'k'", "a note"]
    assert cell(outcomes["frames"], "goes_on").text() == "still here\n"


def test_forks_and_interpreters_of_their_own_agree(ways: dict[str, Outcomes]) -> None:
    for stem in SNIPPETS.keys() - {"threads"}:  # whose order is nobody's
        first, second, third = (outputs(way[stem]) for way in ways.values())
        assert first == second == third


def outputs(outcome: Result | LivecellError) -> str:
    assert isinstance(outcome, Result)
    return json.dumps([part.outputs for part in outcome.cells])
