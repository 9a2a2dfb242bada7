"""The paper's profile, read once."""

import pytest

from wattshed.datasets.profiles import read_profile
from wattshed.domain.measurement import Profile


@pytest.fixture(scope="session")
def paper() -> Profile:
    """The bundled trials of the paper."""
    return read_profile("bundled:wilkins2024")
