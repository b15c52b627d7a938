"""Elements of a page made from plain text, for the Markdown extensions."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from markdown.util import AtomicString


def text_in(element: ET.Element, text: str) -> None:
    """Put `text`, in which backticks mark code, behind what `element` holds."""
    first, *parts = text.split("`")
    if len(element):
        element[-1].tail = AtomicString((element[-1].tail or "") + first)
    else:
        element.text = AtomicString((element.text or "") + first)
    for code, tail in zip(parts[::2], parts[1::2], strict=False):
        code_in(element, code).tail = AtomicString(tail)


def code_in(element: ET.Element, code: str) -> ET.Element:
    """Put `code` behind what `element` holds; the element made for it."""
    child = ET.SubElement(element, "code")
    child.text = AtomicString(code)
    return child
