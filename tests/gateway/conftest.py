"""Fixtures that more than one file of tests needs."""

from collections.abc import Iterator

import pytest

from tests.gateway.real_fleet import Fleet, real_fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A gateway before real engines; a minute and a half goes into measuring them."""
    with real_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet
