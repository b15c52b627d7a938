"""HTML in fewer bytes: what may go, and what must stay."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from livecell import lighter


def test_a_figure_loses_what_nobody_sees() -> None:
    svg = (
        '<svg viewBox="0 0 460.8 259.2"><!-- 0 --><g id="f-1-axes"><path id="f-1-m" '
        'd="M 64.501021 225.19976 \nL 3 1 \nL 3 1.5 \nz\n"/></g><use xlink:href="#f-1-m" x="1.26" '
        'transform="scale(0.015625)"/><g clip-path="url(#f-1-c)"/><clipPath id="f-1-c"/></svg>'
    )
    thin = lighter.figure(svg)
    assert "<!--" not in thin
    assert "axes" not in thin
    assert 'd="m64.5 225.2l-61.5-224.2 0 .5z"' in thin
    assert 'x="1.2" transform="scale(0.015625)"' in thin
    assert "f-1" not in thin
    names = re.findall(r'(?:id="|#)(f[0-9a-f]+)', thin)
    assert len(names) == 4
    assert len(set(names)) == 2


def test_groups_that_say_nothing_go() -> None:
    inner = '<g><path d="M 1 1" style="b"></path></g>'
    moved = 'transform="translate(1.26 -3.04)"'
    svg = f'<svg><g>\n<g style="a: 1; b: 2" {moved}>\n{inner}\n</g><g/></g></svg>'
    assert lighter.figure(svg) == (
        '<svg><g style="a:1;b:2" transform="translate(1.3 -3)">'
        '<path d="m1 1" style="b"></path></g><g/></svg>'
    )


def test_figures_of_a_page_share_no_id() -> None:
    one, two = (
        lighter.figure(f'<svg><g id="{n}-a"/><use href="#{n}-a"/></svg>') for n in ("x", "y")
    )
    assert not {*re.findall('id="(.*?)"', one)} & {*re.findall('id="(.*?)"', two)}


coordinates = st.integers(-999_000_000, 9_999_000_000).map(lambda n: f"{n / 1e6:.6f}")
steps = st.one_of(
    st.tuples(st.just("M"), coordinates, coordinates),
    st.tuples(st.just("L"), coordinates, coordinates),
    st.tuples(st.just("Q"), *[coordinates] * 4),
    st.tuples(st.just("C"), *[coordinates] * 6),
    st.tuples(st.just("z")),
)


def drawn(path: str) -> list[tuple[str, list[float]]]:
    """The steps of a path, with absolute places."""
    found: list[tuple[str, list[float]]] = []
    here, start = [0.0, 0.0], [0.0, 0.0]
    for name, text in re.findall(r"([a-zA-Z])([^a-zA-Z]*)", path):
        numbers = [float(number) for number in re.findall(r"-?(?:\d*\.\d+|\d+)", text)]
        size = {"m": 2, "l": 2, "q": 4, "c": 6, "z": 0}[name.lower()]
        if not size:
            here = list(start)
            found.append(("z", []))
        for place in range(0, len(numbers), size or 1):
            points = numbers[place : place + size]
            if name.islower():
                points = [point + here[i % 2] for i, point in enumerate(points)]
            found.append((name.lower(), points))
            here = points[-2:]
        if name in "mM":
            start = list(here)
    return found


@given(st.lists(steps, max_size=12))
def test_a_path_stays_where_it_is(path: list[tuple[object, ...]]) -> None:
    text = "".join(" ".join(map(str, step)) + " \n" for step in [("M", "1.0", "2.0"), *path])
    thin = re.sub('.*d="(.*)".*', r"\1", lighter.figure(f'<path d="{text}"/>'))
    before, after = drawn(text), drawn(thin)
    assert [name for name, _ in before] == [name for name, _ in after]
    for (_, exact), (_, rounded) in zip(before, after, strict=True):
        assert all(abs(a - b) < 0.051 for a, b in zip(exact, rounded, strict=True))


def test_code_keeps_its_text() -> None:
    code = (
        '<span class="k">def</span><span class="w"> </span><span class="n">f</span>'
        '<span class="p">():</span><span class="s2">&quot;</span><span class="s2">a</span>'
        '<span class="s2">&quot;</span>'
    )
    assert lighter.code(code) == (
        '<span class="k">def</span> f():<span class="s2">&quot;a&quot;</span>'
    )


def test_a_page_keeps_what_stands_in_pre() -> None:
    page = "<div>\n    <p>a\n  b</p>\n<pre>  x\n\n    y</pre>\n    <script>\n  f()\n</script>"
    assert lighter.page(page) == (
        "<div>\n<p>a\nb</p>\n<pre>  x\n\n    y</pre>\n<script>\n  f()\n</script>"
    )
