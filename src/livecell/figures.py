"""A matplotlib backend that hands every figure to the page as SVG. Runs in the worker only.

`plt.show()` and the end of a cell show the open figures and close them, as a notebook does.
"""

from __future__ import annotations

import io
import re
from collections import Counter

from matplotlib.backends.backend_svg import FigureCanvasSVG as FigureCanvas
from matplotlib.backends.backend_svg import FigureManagerSVG as FigureManager

from livecell import capture

__all__ = ["FigureCanvas", "FigureManager", "show"]

_shown: Counter[str] = Counter()  # a number is used again once its figure is closed
INK = "#010203"  # the colour of text and axes in ./matplotlibrc


def show(*args: object, **kwargs: object) -> None:
    """What `plt.show()` and the end of a cell call: show the open figures, then close them."""
    import matplotlib.pyplot as plt

    sink = capture.current
    for number in plt.get_fignums():
        figure = plt.figure(number)
        if sink is not None:
            _shown[sink.label] += 1
            label = f"{sink.label}-{_shown[sink.label]}-"
            buffer = io.StringIO()
            with plt.rc_context({"svg.hashsalt": label}):
                figure.savefig(buffer, format="svg", metadata={"Date": None})
            svg = for_page(buffer.getvalue(), label)
            sink.display({"image/svg+xml": svg, "text/plain": repr(figure)})
        plt.close(figure)


def for_page(svg: str, prefix: str) -> str:
    """`svg` fit to stand inside a page: no prolog or metadata, own ids, the page's ink."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{prefix}", svg)
    return svg.strip()
