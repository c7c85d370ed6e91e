"""A client of the hub that a test module serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localr1.hub.client import HubClient
from tests.support.hub_clients import client_of
from tests.support.hub_server import FakeHub


@pytest.fixture
def client(hub: FakeHub) -> Iterator[HubClient]:
    client = client_of(hub)
    yield client
    client.close()
