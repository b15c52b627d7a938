"""Words in the front matter of a page reach Material's search index."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mkdocs.exceptions import PluginError

from livecell import pages
from livecell.mkdocs import searchwords


class Index:
    """What is used of Material's."""

    def __init__(self) -> None:
        self.config = {"separator": r"[\s\u200b.]+"}

    def _segment_chinese(self, text: str) -> str:
        return text.replace("冻结参数", "冻结\u200b参数")


def page(search: object) -> Any:
    return SimpleNamespace(meta={"search": search}, file=SimpleNamespace(src_uri="a.md"))


def entries() -> list[dict[str, Any]]:
    return [{"location": "a/"}, {"location": "a/#b"}]


def test_the_entry_of_the_page_gets_each_word_once() -> None:
    made = entries()
    searchwords.add(Index(), page({"words": ["冻结参数", "torch.Frozen", "参数"]}), made)
    assert made == [
        {"location": "a/", "tags": ["冻结", "参数", "torch", "frozen"]},
        {"location": "a/#b"},
    ]


@pytest.mark.parametrize("search", [None, {"boost": 2}, {"words": []}])
def test_a_page_without_words_stays_as_it_is(search: object) -> None:
    made = entries()
    searchwords.add(Index(), page(search), made)
    assert made == entries()
    searchwords.add(Index(), page({"words": ["x"]}), [])  # a page that is not searched


@pytest.mark.parametrize("words", ["freeze", [1], {"a": 1}])
def test_something_else_is_an_error(words: object) -> None:
    with pytest.raises(PluginError, match=r"a\.md: `words` of `search`"):
        searchwords.add(Index(), page({"words": words}), entries())


def test_the_words_are_no_text_of_the_page() -> None:
    text = "---\ndescription: one\nsearch:\n  words: [two]\n---\n\nsearch: three\n"
    said = pages.prose(text)
    assert said.count("\n") == text.count("\n")
    assert "one" in said
    assert "two" not in said
    assert "three" in said
