"""A real store for runners."""

from tests.service.store.conftest import admin as admin
from tests.service.store.conftest import anyio_backend as anyio_backend
from tests.service.store.conftest import embedded as embedded
from tests.service.store.conftest import open_store as open_store
from tests.service.store.conftest import store as store
