"""Downloads through any sequence of mishaps: the file is exact, or the error is typed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from localr1.errors import DownloadError, NetworkError
from localr1.hub.download import Download, part_of
from tests.support.hub_clients import FakeSleep, client_of, remote_file
from tests.support.hub_server import FakeHub, Mishap, serving

_NAME = "model.safetensors"
_CONTENT = bytes(range(256)) * 1000
_N_BYTES = len(_CONTENT)

_MISHAPS = st.one_of(
    st.builds(Mishap, st.just("/cdn/"), cut_after=st.integers(0, _N_BYTES)),
    st.builds(Mishap, st.sampled_from(["/cdn/", "/resolve/"]), st.sampled_from([429, 500, 503])),
    st.builds(
        Mishap,
        st.just("/cdn/"),
        headers=st.just({"ETag": '"another"'}),
        cut_after=st.integers(0, _N_BYTES),
    ),
    st.just(Mishap("/cdn/", change=lambda body: body[:-1] + b"?")),
    st.just(Mishap("/cdn/", status=403)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_MISHAPS, max_size=5), st.booleans(), st.booleans(), st.binary(max_size=2000))
def test_a_file_is_exact_or_the_error_is_typed(
    mishaps: list[Mishap], sends_etags: bool, knows_ranges: bool, leftover: bytes
) -> None:
    hub = FakeHub({_NAME: _CONTENT}, sends_etags=sends_etags, knows_ranges=knows_ranges)
    with TemporaryDirectory() as directory, serving(hub):
        target = Path(directory) / _NAME
        part_of(target).write_bytes(leftover)
        client, sleep = client_of(hub), FakeSleep()
        file = remote_file(hub, client, _NAME, sleep)
        hub.mishaps = list(mishaps)
        try:
            Download(file, target).run(sleep)
        except (NetworkError, DownloadError):
            assert not target.exists()
        else:
            assert target.read_bytes() == _CONTENT
            assert list(Path(directory).iterdir()) == [target]
        client.close()
