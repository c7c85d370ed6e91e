"""Clients of a hub as tests want them: they wait for nothing, and remember how long they should."""

from __future__ import annotations

from localr1.hub.access import HubAccess
from localr1.hub.client import HubClient
from localr1.hub.names import RepositoryName
from localr1.hub.remote_file import RemoteFile
from localr1.hub.repository import Repository, read_repository
from tests.support.hub_server import FakeHub


class FakeSleep:
    """Waits for nothing and remembers for how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def name_of(hub: FakeHub) -> RepositoryName:
    """The repository that the hub has."""
    return RepositoryName(*hub.name.split("/"))


def client_of(hub: FakeHub, token: str = "") -> HubClient:
    """A client; the test closes it."""
    return HubClient(HubAccess(hub.endpoint, token))


def repository_of(hub: FakeHub, client: HubClient) -> Repository:
    """What the hub lists."""
    return read_repository(client, name_of(hub), FakeSleep())


def remote_file(hub: FakeHub, client: HubClient, name: str, sleep: FakeSleep) -> RemoteFile:
    """A file of the hub's repository."""
    return RemoteFile(client, repository_of(hub, client), name, sleep)
