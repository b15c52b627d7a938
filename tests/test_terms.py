"""The list of terms: what `livecell check` says of it, what the search makes of it, and our own."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from tests.support.book import Book, Server

from livecell import LivecellError, Settings, check, pages, terms
from livecell.mkdocs import reuse
from livecell.termfile import LISTS

LANGUAGES = ("zh", "en")
SNIPPET = "# %% one\nprint(1)\n"
PAGE = '# T\n\n## Part {#part}\n\n```python exec="on" cell="s:one"\n```\n'
LIST = """\
graph:
  - id: leaf
    zh: 叶子张量
    zh_def: 没有来历的张量。
    zh_avoid: [叶节点, 叶张量]
    en: leaf tensor
    en_def: A tensor without a history.
    en_also: [leaf]
    en_avoid: [end tensor]
    page: page#part
algebra:
  - id: jacobian
    zh: 雅可比矩阵
    zh_def: 全部偏导数。
    zh_avoid: [雅克比, 雅克比矩阵]
    en: Jacobian
    en_def: All partial derivatives.
"""


def project(root: Path, listed: str | None = LIST, **more: str) -> Settings:
    """A small site with these terms; `zh` and `en` are appended to the page of the language."""
    files = {"snippets/s.py": SNIPPET}
    for language in LANGUAGES:
        files[f"docs/{language}/page.md"] = PAGE + more.get(language, "")
        files[f"docs/{language}/glossary.md"] = more.get("glossary", "# G\n\n[TERMS]\n")
    if listed is not None:
        files["docs/terms.yml"] = listed
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Settings.from_table(root, {"languages": list(LANGUAGES)})


def told(errors: list[LivecellError], root: Path) -> list[tuple[str, int | None, str]]:
    return [(Path(str(e.file)).relative_to(root).as_posix(), e.line, e.problem) for e in errors]


def test_a_good_list_gives_no_error(tmp_path: Path) -> None:
    assert check.static(project(tmp_path)) == []


def test_a_site_need_not_list_terms(tmp_path: Path) -> None:
    settings = project(tmp_path, None, zh="\n叶节点\n")
    assert terms.load(settings) is None
    assert check.static(settings) == []


def test_the_list_may_stand_elsewhere(tmp_path: Path) -> None:
    project(tmp_path, None, zh="\n叶节点\n")
    (tmp_path / "words.yml").write_text(LIST, encoding="utf-8")
    table = {"languages": list(LANGUAGES), "terms": "words.yml"}
    assert len(check.static(Settings.from_table(tmp_path, table))) == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "problem", "hint"),
    [
        ("    en: leaf tensor\n", "", 2, "the term 'leaf' has no 'en'", "every language needs"),
        ("    zh_def: 没有来历的张量。\n", "", 2, "the term 'leaf' has no 'zh_def'", ""),
        ("id: jacobian", "id: leaf", 12, "the id 'leaf' is given twice", "in line 2"),
        ("id: jacobian", "id: the Jacobian", 12, "a term has no proper id", "lower-case"),
        ("  - id: jacobian\n    zh:", "  - zh:", 12, "a term has no proper id", "lower-case"),
        ("en: Jacobian", "en: Leaf", 12, "'Leaf' stands for two terms", "in line 2"),
        ("en: Jacobian", "en: end  Tensor", 12, "stands for two terms", "in line 2"),
        ("en_also", "en_allso", 8, "a term has no field 'en_allso'", "did you mean en_also"),
        ("en_also: [leaf]", "en_also: leaf", 8, "a value of the wrong kind", "a list"),
        ("page: page#part", "page: [a]", 10, "a value of the wrong kind", "a text"),
        ("    zh: 雅可比矩阵", "    zh: 雅\n    zh: 可", 14, "'zh' is given twice in one term", ""),
        ("page#part", "pag#part", 2, "names a page that does not exist", "did you mean page"),
        ("page#part", "page#parts", 2, "names a heading that is not on", "did you mean part"),
        ("  - id: leaf\n", "  - word\n  - id: leaf\n", 2, "a term is no mapping", "word"),
        ("graph:\n", "more: x\ngraph:\n", 1, "the topic 'more' is no list of terms", ""),
        ("graph:\n", "graph:\n  x\n", 3, "is not valid YAML", ""),
        (LIST, "- leaf\n", 1, "the list of terms names no topics", "topic: [term"),
        (LIST, "", None, "the list of terms names no topics", "topic: [term"),
    ],
)
def test_a_malformed_list_is_told(
    old: str, new: str, line: int | None, problem: str, hint: str, tmp_path: Path
) -> None:
    assert old in LIST
    errors = check.static(project(tmp_path, LIST.replace(old, new, 1)))
    listed = tmp_path / "docs" / "terms.yml"
    (error, *_) = [e for e in errors if e.file == listed and problem in e.problem]
    assert error.line == line
    assert hint in str(error)


def test_a_list_that_is_not_text_is_told(tmp_path: Path) -> None:
    settings = project(tmp_path)
    settings.terms.write_bytes(LIST.encode("gb18030"))
    assert "the list of terms cannot be read" in str(check.static(settings)[0])


def test_a_list_needs_a_glossary(tmp_path: Path) -> None:
    settings = project(tmp_path)
    for language in LANGUAGES:
        (settings.docs / language / terms.GLOSSARY).unlink()
    errors = check.static(settings)
    assert [error.problem for error in errors] == ["there is no glossary for the terms"] * 2
    assert "docs/en/glossary.md" in str(errors[1].expected)


def test_a_glossary_shows_every_topic_and_no_other(tmp_path: Path) -> None:
    settings = project(tmp_path, glossary="# G\n\n[TERMS graph]\n\n[TERMS geometry]\n")
    errors = check.static(settings)
    assert told(errors, tmp_path)[:2] == [
        ("docs/zh/glossary.md", 5, "the list of terms has no topic 'geometry'"),
        (
            "docs/zh/glossary.md",
            None,
            "the glossary does not show the terms of the topic 'algebra'",
        ),
    ]
    assert len(errors) == 4


@pytest.mark.parametrize(
    ("language", "text", "found", "expected"),
    [
        ("zh", "它是叶节点。", "叶节点", "叶子张量"),
        ("zh", "**雅克比**矩阵", "雅克比", "雅可比矩阵"),
        ("zh", "雅克比矩阵", "雅克比矩阵", "雅可比矩阵"),
        ("en", "Two End\nTensors.", "End Tensors", "leaf tensor"),
        ("en", "## The end tensor {#end}", "end tensor", "leaf tensor"),
        ("en", '!!! note "An end tensor"', "end tensor", "leaf tensor"),
        ("en", "[An end tensor](page.md)", "end tensor", "leaf tensor"),
    ],
)
def test_a_variant_is_told(
    language: str, text: str, found: str, expected: str, tmp_path: Path
) -> None:
    settings = project(tmp_path, **{language: f"\n{text}\n"})
    (error,) = [e for e in check.static(settings) if "another word" in e.problem]
    assert (error.file, error.line) == (tmp_path / "docs" / language / "page.md", 8)
    assert (error.found, error.expected) == (found, expected)


def test_a_variant_in_the_description_is_told(tmp_path: Path) -> None:
    settings = project(tmp_path)
    page = settings.docs / "zh" / "page.md"
    page.write_text(f"---\ndescription: 叶节点\n---\n{PAGE}", encoding="utf-8")
    assert told(check.static(settings), tmp_path)[0][:2] == ("docs/zh/page.md", 2)


@pytest.mark.parametrize(
    "text",
    [
        *("`end tensor`", "```text\nend tensor\n```", "<!-- end tensor -->", "$end tensor$"),
        *("[x](end%20tensor.md 'x')", "![x](end-tensor.svg)", "<https://x.org/end-tensor>"),
        *("weekend tensor", "end-tensor", "leaf tensor", "叶节点"),
    ],
)
def test_what_is_no_variant(text: str, tmp_path: Path) -> None:
    errors = check.static(project(tmp_path, en=f"\n{text}\n"))
    assert [e for e in errors if "another word" in e.problem] == []


def test_prose_keeps_its_lines() -> None:
    text = (
        "---\na: b\n---\n# T {#t}\n\n```text\nx\n```\n\n$$\na\n$$\n<!--\nc\n-->\nword `a\nb` word\n"
    )
    assert pages.prose(text).count("\n") == text.count("\n")
    assert pages.prose(text).split("\n")[15].split() == ["word"]


# ------------------------------------------------------------------ in a built site
def with_terms(book: Book) -> Book:
    book.write("docs/terms.yml", LIST.replace("page: page#part", "page: one#cells"))
    book.edit("mkdocs.yml", "two.md]", "two.md, glossary.md]")
    for language in LANGUAGES:
        book.write(f"docs/{language}/glossary.md", "# Glossary\n\n[TERMS]\n")
    text = (book.root / "docs/zh/one.md").read_text(encoding="utf-8")
    book.write("docs/zh/one.md", text + "\n一个叶子张量的雅可比矩阵与叶子。\n")
    text = (book.root / "docs/en/one.md").read_text(encoding="utf-8")
    book.write("docs/en/one.md", text + "\nThe Jacobian of a leaf.\n")
    return book


def words_of(index: str, location: str) -> list[str]:
    docs = json.loads(index)["docs"]
    text = " ".join(doc["text"] for doc in docs if doc["location"].startswith(location))
    return re.split(r"[\u200b\s。]+", re.sub("<[^>]+>", " ", text))


def test_a_built_site_has_glossary_cards_and_words(tmp_path: Path) -> None:
    book = with_terms(Book(tmp_path))
    code, log = book.build("--strict")
    assert code == 0, log
    assert '<a aria-describedby="lc-card-leaf" href="../glossary/#leaf">叶子张量</a>' in book.page(
        "one"
    )
    assert 'href="../glossary/#leaf">leaf</a>' in book.page("en/one")
    assert '<dt id="jacobian">' in book.page("en/glossary")
    assert 'href="../one/#cells">One en</a>' in book.page("en/glossary")
    assert "assets/terms.js" in book.page("en/one")
    files = book.files()
    assert {"assets/terms.js", "en/assets/terms.js"} <= set(files)
    index = files["search/search_index.json"].decode()
    words = words_of(index, "one/")
    assert {"叶子张量", "雅可比矩阵"} <= set(words)
    assert "没有来历的张量" not in "".join(words)  # what a card says is found in the glossary
    assert "没有来历的" in "".join(words_of(index, "glossary/"))
    # The memory of a build must not outlive the list.
    book.edit("docs/terms.yml", "zh: 雅可比矩阵", "zh: 雅可比矩")
    assert book.build("--strict")[0] == 0
    words = words_of(book.files()["search/search_index.json"].decode(), "one/")
    assert "雅可比矩阵" not in words
    assert "雅可比矩" in words


def test_a_variant_stops_the_build(tmp_path: Path) -> None:
    book = with_terms(Book(tmp_path))
    book.edit("docs/zh/one.md", "一个叶子张量", "一个叶节点")
    code, log = book.build()
    assert code != 0
    assert "docs/zh/one.md:13: the page uses another word than the list of terms" in log


def test_a_site_without_terms_has_none_of_it(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert book.build("--strict")[0] == 0
    assert "terms.js" not in book.page("one")
    assert "assets/terms.js" not in book.files()


def test_an_edited_list_reaches_the_pages(tmp_path: Path) -> None:
    book = with_terms(Book(tmp_path))
    server = Server(book)
    try:
        book.edit("docs/terms.yml", "A tensor without a history.", "A tensor with no past.")
        for url in ("/en/one/", "/en/glossary/"):
            server.wait_for(url, "A tensor with no past.")
        book.edit("docs/terms.yml", "id: leaf", "id: Leaf")
        server.wait_for("/en/one/", "#leaf", gone=True)
        assert "a term has no proper id" in server.log.read_text()
        book.edit("docs/terms.yml", "id: Leaf", "id: leaf")
        server.wait_for("/en/one/", "#leaf")
    finally:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


# ------------------------------------------------------------------ the terms of this site
@pytest.fixture(scope="module")
def ours(settings: Settings) -> terms.Terms:
    found = terms.load(settings)
    assert found is not None
    assert found.errors == ()
    return found


def test_there_are_enough_terms(ours: terms.Terms) -> None:
    assert len(ours.listed) >= 60


@pytest.mark.parametrize("language", LANGUAGES)
def test_definitions_are_whole_sentences(language: str, ours: terms.Terms) -> None:
    for term in ours.listed:
        text = term.definitions[language]
        assert text[-1] == ("。" if language == "zh" else "."), term.id
        assert text.count("`") % 2 == 0, term.id
        assert len(text) < (100 if language == "zh" else 260), term.id
        prose = re.sub("`[^`]*`", "", text)
        if language == "zh":
            assert re.search("[,;:?!()]", prose) is None, term.id
            assert (
                re.search(r"[\u4e00-\u9fff][A-Za-z0-9`]|[A-Za-z0-9][\u4e00-\u9fff]", prose) is None
            )
            spaced = re.search(r"[\u4e00-\u9fff]`[^`]*`|`[^`]*`[\u4e00-\u9fff]", text)
            assert spaced is None, (term.id, spaced)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_list_keeps_to_its_own_words(language: str, ours: terms.Terms) -> None:
    for term in ours.listed:
        found = ours.avoided(language).find(term.definitions[language])
        assert [expected for _, expected in found if expected] == [], term.id


def test_fields_are_those_of_the_documentation() -> None:
    from livecell import termfile

    assert [kind for kind in LISTS if f"en_{kind}:" not in (termfile.__doc__ or "")] == []


def test_chinese_terms_are_cut_as_one_word(ours: terms.Terms) -> None:
    jieba = pytest.importorskip("jieba")
    words = ours.chinese_words
    assert {"叶子张量", "雅可比矩阵", "就地修改", "版本计数器"} <= set(words)
    reuse._teach(())
    before = [word for word in words if word not in jieba.lcut(f"这里的{word}是什么")]
    assert "雅可比矩阵" in before  # otherwise this test shows nothing
    reuse._teach(words)
    try:
        assert [word for word in words if word not in jieba.lcut(f"这里的{word}是什么")] == []
        assert [word for word in words if word not in jieba.lcut(f"{word}的值")] == []
    finally:
        reuse._teach(())
    assert before == [word for word in words if word not in jieba.lcut(f"这里的{word}是什么")]


def test_the_search_index_has_them_as_one_word(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    docs = json.loads(index)["docs"]
    words = {word for doc in docs for word in re.split(r"[\u200b\W]+", doc["title"] + doc["text"])}
    assert {"叶子张量", "雅可比矩阵", "就地修改"} <= words
