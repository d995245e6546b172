import pytest
import trustme


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Signs certificates for any name; nobody else trusts it."""
    return trustme.CA()
