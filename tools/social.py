"""Draws the pictures that other sites show of a link to this one: docs/theme/assets/social-*.png.

    .venv/bin/python tools/social.py

From the project's own mark and colours, by the system's Chromium, with Noto Sans CJK as the font;
the pictures are checked in, so that a build needs neither. Pillow, which Matplotlib brings, makes
them small.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.chromium import executable, launch  # noqa: E402

ASSETS = ROOT / "docs" / "theme" / "assets"
SIZE = (1200, 630)
COLOURS = 64

WORDS = {
    "zh": ("PyTorch 自动求导实例", "中英双语，每个输出都由 PyTorch 现场运行得到"),
    "en": (
        "PyTorch Autograd<br>by Example",
        "In English and Chinese. Every output comes from a run.",
    ),
}

# z = w·x + b: black edges are the way forward, the red ones are the way of the gradients.
GRAPH = """
<svg viewBox="0 0 420 420" width="420" height="420" font-family="Noto Sans Mono, monospace">
  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
    orient="auto">
    <path d="M1 1 7 4 1 7" fill="none" stroke="#b03a17" stroke-width="1.4"/>
  </marker></defs>
  <g stroke="#1f4068" stroke-width="2.5" fill="none" opacity=".35">
    <path d="M85 335 165 240M245 335 195 240M200 190 260 105M345 220 290 105"/>
  </g>
  <g stroke="#b03a17" stroke-width="3.5" fill="none" marker-end="url(#tip)">
    <path d="M250 88Q205 120 182 182"/><path d="M156 236Q105 262 78 318"/>
    <path d="M298 96Q338 135 350 190"/>
  </g>
  <g font-size="26" text-anchor="middle" fill="#23272f">
    <circle cx="275" cy="72" r="34" fill="#1f4068"/><text x="275" y="81" fill="#fff">z</text>
    <circle cx="180" cy="215" r="30" fill="#fdfcf9" stroke="#1f4068" stroke-width="3"/>
    <text x="180" y="224">×</text>
    <circle cx="70" cy="352" r="32" fill="#fff" stroke="#b03a17" stroke-width="4"/>
    <text x="70" y="360">w</text>
    <circle cx="262" cy="360" r="32" fill="#fff" stroke="#a9adb6" stroke-width="3"/>
    <text x="262" y="368">x</text>
    <circle cx="356" cy="226" r="32" fill="#fff" stroke="#b03a17" stroke-width="4"/>
    <text x="356" y="235">b</text>
  </g>
</svg>
"""

PAGE = """
<html lang="{language}"><style>
  body {{ margin: 0; width: 1200px; height: 630px; padding: 70px 60px 0 80px;
    box-sizing: border-box;
    background: #fdfcf9; color: #23272f; border-top: 14px solid #1f4068; position: relative;
    font-family: "Noto Sans CJK SC", "Noto Sans", sans-serif; }}
  .mark svg {{ width: 76px; height: 76px; }}
  h1 {{ font-size: 68px; line-height: 1.2; margin: 34px 0 26px; width: 700px; }}
  p {{ font-size: 30px; line-height: 1.5; color: #596070; margin: 0; width: 640px; }}
  code {{ position: absolute; left: 80px; bottom: 62px; font: 32px "Noto Sans Mono", monospace;
    color: #1b5590; background: #f5f3ed; padding: 12px 24px; border-left: 5px solid #b03a17; }}
  .graph {{ position: absolute; right: 50px; top: 95px; }}
</style><body><div class="mark">{mark}</div><h1>{title}</h1><p>{line}</p>
<code>z.backward()</code><div class="graph">{graph}</div></body></html>
"""


def main() -> None:
    mark = (ASSETS / "mark.svg").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = launch(playwright, executable())
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        for language, (title, line) in WORDS.items():
            words = {"language": language, "title": title, "line": line}
            page.set_content(PAGE.format(**words, mark=mark, graph=GRAPH))
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            target = ASSETS / f"social-{language}.png"
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
            print(target.relative_to(ROOT), target.stat().st_size, "bytes")
        browser.close()


if __name__ == "__main__":
    main()
