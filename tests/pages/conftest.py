"""Every test starts, and leaves, without a site."""

from collections.abc import Iterator

import pytest

from livecell import fence


@pytest.fixture(autouse=True)
def _no_site() -> Iterator[None]:
    fence.site = None
    yield
    fence.site = None
