"""Every test starts, and leaves, without a site."""

from collections.abc import Iterator

import pytest
from tests.pages import rendering

from livecell import fence


@pytest.fixture(autouse=True)
def _no_site() -> Iterator[None]:
    def forget() -> None:
        fence.site = None
        rendering.converter().__dict__.pop("livecell_site", None)
        fence._runner.cache_clear()
        fence._lists.cache_clear()

    forget()
    yield
    forget()
