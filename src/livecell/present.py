"""How outputs are written down: masked, with the author's own frames, rich where they can be."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback

ENGINE_FRAMES = re.compile(
    rf'^  File "(?:<frozen runpy>|{re.escape(os.path.dirname(__file__))}[^"]*)", line .*\n'
    r"(?: {4}.*\n)*",
    re.MULTILINE,
)
"""In a call stack that a library prints, such as torch's anomaly mode: who called the snippet."""


def mask(text: str, root: str, cwd: str) -> str:
    """`text` without what differs from machine to machine: memory addresses and folders.

    Nor does it say that this engine ran the snippet, and from which of its lines.
    """
    text = ENGINE_FRAMES.sub("", text)
    text = re.sub(r"\bat 0x[0-9a-fA-F]{6,16}\b", "at 0x…", text)
    for folder, name in (
        (cwd, ""),
        (sysconfig.get_paths()["purelib"], "site-packages/"),
        (sysconfig.get_paths()["stdlib"], "python/"),
        (root, ""),
    ):
        whole = rf"(?<![\w.-]){re.escape(folder)}(?![\w-]|\.\w)"  # not a part of a longer name
        text = re.sub(whole + re.escape(os.sep), name, text)
        text = re.sub(whole, name.rstrip("/") or ".", text)
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no text


def rich(value: object, languages: list[str]) -> dict[str, str]:
    """The representations of a cell's last value that a page can show, by MIME type.

    A plain program prints nothing for it, so a value that has only a repr shows nothing. One
    that has words of its own may offer `_livecell_html_(language)` beside `_repr_html_()`.
    """
    if value is None or isinstance(value, type):
        return {}
    bundle: dict[str, str] = {}
    for method, mime in (("_repr_html_", "text/html"), ("_repr_svg_", "image/svg+xml")):
        function = getattr(value, method, None)
        text = function() if callable(function) else None
        if text and isinstance(text, str):  # an object may answer to any name with anything
            bundle[mime] = text
    translated = getattr(value, "_livecell_html_", None)
    if "text/html" in bundle and callable(translated):
        bundle |= {f"text/html;lang={language}": translated(language) for language in languages}
    return bundle | {"text/plain": repr(value)} if bundle else {}


def keep_frames(report: traceback.TracebackException, folder: str) -> list[traceback.FrameSummary]:
    """Drop every frame outside `folder` from the report and its causes; the frames kept."""
    own = [frame for frame in report.stack if frame.filename.startswith(folder + os.sep)]
    report.stack[:] = own
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if other is not None:
            keep_frames(other, folder)
    return own
