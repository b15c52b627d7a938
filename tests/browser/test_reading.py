"""A reader opens the site in a real browser, reads both lessons, switches language, searches."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.support.accessibility import violations

PAGES = ("", "scalar_backward/", "how_it_works/", "labs/write_your_own_function/")
LANGUAGES = ("", "en/")

SHOWN = {
    "scalar_backward": [
        "x.requires_grad = False\ny.requires_grad = True",
        "y.requires_grad = True\nx.is_leaf = True\ny.is_leaf = False",
        "x.grad_fn = None\ny.grad_fn = <MulBackward0 object at 0x…>",
        "x.grad = None\nw.grad = tensor([2.])",
        "RuntimeError: Trying to backward through the graph a second time",
        "w.grad = tensor([4.])",
        "UserWarning: The .grad attribute of a Tensor that is not a leaf Tensor",
    ],
    "vector_backward": [
        "x = tensor([[2., 3.]], requires_grad=True)\nJ[0] = tensor([0., 0.])",
        "y = tensor([[13., 13.]], grad_fn=<CopySlices>)",
        "tensor([[4., 3.],\n        [2., 6.]])",
        "RuntimeError: grad can be implicitly created only for scalar outputs",
    ],
}


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
@pytest.mark.parametrize("stem", SHOWN)
def test_the_lesson_shows_the_outputs(stem: str, language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}{stem}/")
    printed = "\n".join(tab.locator("samp").all_text_contents())
    for text in SHOWN[stem]:
        assert text in printed


@pytest.mark.parametrize("stem", SHOWN)
def test_switching_language_lands_on_the_same_lesson(stem: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{stem}/")
    chinese = tab.locator("h1").inner_text()
    tab.locator("[hreflang=en]:visible").first.click()
    expect(tab).to_have_url(f"{address}/en/{stem}/")
    assert tab.locator("html").get_attribute("lang") == "en"
    assert tab.locator("h1").inner_text() != chinese
    tab.locator("[hreflang=zh]:visible").first.click()
    expect(tab).to_have_url(f"{address}/{stem}/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_pages_are_accessible_and_fit_a_phone(
    language: str, scheme: str, tab: Page, address: str
) -> None:
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in PAGES:
        tab.set_viewport_size({"width": 1360, "height": 900})
        tab.goto(f"{address}/{language}{path}")
        assert violations(tab) == []
        tab.set_viewport_size({"width": 390, "height": 844})
        width = tab.evaluate("document.documentElement.scrollWidth")
        assert width <= 391, f"{path} is {width} px wide on a phone"


def test_the_checker_of_accessibility_can_fail(tab: Page, address: str) -> None:
    tab.goto(f"{address}/")
    tab.evaluate("document.body.append(document.createElement('img'))")
    assert any(one.startswith("image-alt") for one in violations(tab))


def test_copying_a_block_copies_code_only(tab: Page, address: str) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto(f"{address}/scalar_backward/")
    block = tab.locator(".livecell").first
    block.hover()
    block.locator("button, .md-code__button").first.click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    code = block.locator("pre code").first.text_content()
    assert code is not None
    assert copied.strip() == code.strip()
    assert "requires_grad = False" not in copied


def test_reading_works_without_javascript(browser_without_script: Page, address: str) -> None:
    browser_without_script.goto(f"{address}/en/vector_backward/")
    text = browser_without_script.locator("article").inner_text()
    assert "tensor([[4., 3.]," in text
    assert browser_without_script.locator("math").count() > 5
