"""The same HTML in fewer bytes, for pages that hold a whole notebook."""

from __future__ import annotations

import re

from livecell.store import digest

PLAIN = re.compile(r'<span class="[npow]">([^<]*)</span>')
SAME = re.compile(r'<span class="(\w+)">[^<]*</span>(?:<span class="\1">[^<]*</span>)+')
PATH = re.compile(r'(?<= d=")[-MLQCz\d.\s]+(?=")')
SIZE = {"m": 2, "l": 2, "q": 4, "c": 6}
"""How many numbers a step takes."""
STEP = re.compile(r"([MLQCz])([-\d.\s]*)")
NUMBER = re.compile(r'(?<= [xy]=")(-?\d+\.\d)\d+(?=")')
VERBATIM = re.compile(
    r"(<pre\b.*?</pre>|<script\b.*?</script>|<style\b.*?</style>|<textarea\b.*?</textarea>)",
    re.DOTALL,
)


def code(highlighted: str) -> str:
    """Code of which names, signs and spaces are left in the colour of text."""
    return SAME.sub(_joined, PLAIN.sub(r"\1", highlighted))


def _joined(spans: re.Match[str]) -> str:
    return f'<span class="{spans[1]}">{re.sub("<[^>]*>", "", spans[0])}</span>'


def figure(svg: str) -> str:
    """A figure without comments and unused ids, with lines exact to a tenth of a point."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = NUMBER.sub(r"\1", PATH.sub(lambda path: _relative(path[0]), svg))
    used = sorted(set(re.findall(r'(?:href="|url\()#([^")]+)', svg)))
    start = "f" + digest(*used)[:4]  # other figures of the page have other names for what they use
    short = {name: f"{start}{number}" for number, name in enumerate(used)}

    def identify(match: re.Match[str]) -> str:
        return f' id="{short[match[1]]}"' if match[1] in short else ""

    svg = re.sub(r' id="([^"]*)"', identify, svg)
    svg = re.sub(r'(?:xlink:)?(href="|url\()#([^")]+)', lambda r: f"{r[1]}#{short[r[2]]}", svg)
    svg = re.sub(r"(?<=translate\()[-\d. ]+(?=\))", lambda at: _rounded(at[0]), svg)
    svg = re.sub(r'<path d="[^"]*" style="fill: none" ?(?:/>|></path>)', "", svg)  # not drawn
    svg = re.sub(r' style="[^"]*"', lambda style: re.sub(r"([:;]) ", r"\1", style[0]), svg)
    return re.sub(r">\s+<", "><", _without_bare_groups(svg))


def _rounded(numbers: str) -> str:
    return " ".join(f"{round(float(number), 1):g}" for number in numbers.split())


def _without_bare_groups(svg: str) -> str:
    """The figure without the groups that say nothing of what is in them."""
    is_bare: list[bool] = []

    def keep(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return "" if is_bare.pop() else tag[0]
        if not tag[0].endswith("/>"):
            is_bare.append(tag[0] == "<g>")
        return "" if tag[0] == "<g>" else tag[0]

    return re.sub(r"</?g(?: [^>]*)?>", keep, svg)


def _relative(path: str) -> str:
    """A path whose steps are given from where the last one ended."""
    out = ""
    last = ""
    here, start = [0.0, 0.0], [0.0, 0.0]
    for step in STEP.finditer(path):
        name, numbers = step[1].lower(), [round(float(number), 1) for number in step[2].split()]
        if name == "z":
            here, last, out = list(start), "z", out + "z"
            continue
        size = SIZE[name]
        for place in range(0, len(numbers), size):
            points = numbers[place : place + size]
            steps = [round(points[i] - here[i % 2], 1) for i in range(size)]
            text = "".join(map(_number, steps))
            out += text if name == last and name != "m" else name + text.lstrip()
            here, last = points[-2:], name
        if name == "m":
            start = list(here)
    return out


def _number(value: float) -> str:
    text = f"{value:g}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:g}"
    return text if text.startswith("-") else f" {text}"


def page(html: str) -> str:
    """A page without the indents of the theme's templates, which show nowhere."""
    parts = VERBATIM.split(html)
    parts[::2] = [re.sub(r"\s*\n\s*", "\n", part) for part in parts[::2]]
    parts[::2] = [re.sub(r"></(?:path|use|rect)>", "/>", part) for part in parts[::2]]
    parts[::2] = [part.replace('<math display="inline"', "<math") for part in parts[::2]]
    parts[::2] = [re.sub(r' xmlns(?::\w+)?="[^"]*"', "", part) for part in parts[::2]]
    return "".join(parts)
