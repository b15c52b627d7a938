"""What a program may print to make a page stumble."""

PICTURES = "␀␁␂␃␄␅␆␇␈\t\n␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟"


def shown(text: str) -> str:
    """What a reader must see of `text`: itself, with what HTML cannot hold made visible."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    code = ord(character)
    if code < 32:
        return PICTURES[code]
    if code == 127:
        return "␡"
    if 128 <= code < 160:
        return f"\\x{code:02x}"
    if 0xD800 <= code < 0xE000:  # half of a character
        return f"\\u{code:04x}"
    return character


NASTY = [
    # HTML
    "<MulBackward0 object at 0x…>",
    "</code><script>alert(1)</script>",
    "</samp></pre></div></div><h1>out</h1>",
    "<!-- never closed",
    "-->",
    "<![CDATA[ x ]]>",
    "<?php ?>",
    "<b title='\"'>",
    "&",
    "&amp;",
    "&amp;amp;",
    "&#60;",
    "&#x3c;script&#x3e;",
    "&lt",
    "&copy &notin; &nosuch;",
    '<div class="arithmatex">\\[x\\]</div>',
    '<span class="arithmatex">\\(x\\)</span>',
    # Markdown and what comes after it
    "`code` ``two`` ```three```",
    "```python\nprint(1)\n```",
    "~~~\ntext\n~~~",
    "# heading",
    "Title\n=====\n\nTitle\n-----",
    "* item\n1. item\n> quotation\n    code",
    "*a* **b** _c_ __d__ ~~e~~ ==f== ^^g^^",
    "[link](https://example.org) ![image](x.png) [ref][1] [^1]\n\n[1]: x\n[^1]: note",
    "<https://example.org> https://example.org",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "!!! note\n    text",
    "??? note\n    text",
    '=== "tab"\n    text',
    "{: .class } {#id} { .a b=c }",
    "*[HTML]: abbreviation\nHTML HTML",
    "$x$ $$y$$ \\(z\\) \\[w\\]",
    "\\begin{align}x\\end{align}",
    "\\ \\\\ \\` \\* \\_",
    ":smile: :material-check:",
    '--8<-- "README.md"',
    "{{ page.title }} {% raw %} {# comment #}",
    "`#!live s:a x` `#!python 1`",
    'cell="s:a"',
    "[TOC]",
    "\x02wzxhzdk:0\x03",
    "wzxhzdk:0",
    "\x02klzzwxh:0000\x03",
    "\x02amp\x03lt;",
    "\x0260\x03",
    # white space and control characters
    "\n",
    "\n\n\nafter empty lines",
    "before empty lines\n\n\n",
    " leading and trailing spaces  ",
    "hard break  \nnext",
    "\ttab\tand\ttab\t",
    "progress 10%\rprogress 100%",
    "line\r\nline",
    "form\ffeed, vertical\vtab",
    "bell\a back\bspace",
    "\x1b[31mred\x1b[0m \x1b]0;title\a",
    "\x00 nul",
    "\x1a\x1c\x1d\x1e\x1f",
    "\x7f\x80\x85\x9f",
    # beyond ASCII
    "梯度：张量（叶子节点）",
    "🔥 👩‍👩‍👧 🇨🇳 e\u0301",
    "\ufefftext\ufeff",
    "line\u2028separator\u2029",
    "\u202eright to left\u202c \u200f\u05d0\u05d1",
    "no-break\xa0space soft\xadhyphen zero\u200bwidth",
    "\ufffd \ufffe \uffff \U0010ffff",
    # size
    "x" * 20_000,
    "word " * 4_000,
    "deep " + "<" * 2_000 + "[" * 2_000 + "*" * 2_000,
]
