from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from quant.pipeline import convert
from quant.source.safetensors import StoredTensor
from quant.source.shard_files import WeightFormat
from quant.source.shard_store import ShardsOnDisk
from tests.support.hub_checkpoints import sharded_checkpoint


class FakeStore(ShardsOnDisk):
    """Files on the disk that pretend to come and go; remembers in which order."""

    deletes = True

    def __init__(self) -> None:
        self.said: list[str] = []
        self.journal = ""

    def tables(
        self, paths: Sequence[Path], weight_format: WeightFormat
    ) -> Iterator[dict[str, StoredTensor]]:
        self.said.append("headers")
        yield from super().tables(paths, weight_format)

    def expect(self, uses: Sequence[frozenset[Path]], target: Path, n_bytes: int) -> None:
        self.uses = uses
        self.said.append("expect")

    def fetch(self, path: Path) -> None:
        self.said.append(f"fetch {path.name[:11]}")

    def give_back(self, path: Path) -> None:
        (journal,) = path.parents[2].glob(".*.journal")
        assert journal.read_text() != self.journal, "the output was not made sure of"
        self.journal = journal.read_text()
        self.said.append(f"give back {path.name[:11]}")


def test_shards_come_for_their_first_tensor_and_go_after_their_last(tmp_path: Path) -> None:
    source = sharded_checkpoint(tmp_path, n_shards=3)
    store = FakeStore()

    convert(source, tmp_path / "m.gguf", n_threads=1, store=store)

    names = [f"model-0000{number}" for number in (1, 2, 3)]
    assert store.said[:2] == ["headers", "expect"]
    for name in names:
        assert store.said.count(f"fetch {name}") == 1
        assert store.said.count(f"give back {name}") == 1
        assert store.said.index(f"fetch {name}") < store.said.index(f"give back {name}")
    convert(source, tmp_path / "local.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == (tmp_path / "local.gguf").read_bytes()


def test_a_conversion_that_goes_on_asks_for_the_shards_that_are_left(tmp_path: Path) -> None:
    source = sharded_checkpoint(tmp_path, n_shards=3)
    whole = FakeStore()
    convert(source, tmp_path / "whole.gguf", n_threads=1, store=whole)

    class Breaking(FakeStore):
        def give_back(self, path: Path) -> None:
            super().give_back(path)
            raise ConnectionError

    broken, left = Breaking(), FakeStore()
    try:
        convert(source, tmp_path / "m.gguf", n_threads=1, store=broken)
    except ConnectionError:
        result = convert(source, tmp_path / "m.gguf", n_threads=1, store=left)

    assert result.bytes_kept > 0
    assert len(left.uses) < len(whole.uses)
    gone = next(word for word in broken.said if word.startswith("give back"))
    assert gone.replace("give back", "fetch") not in left.said
    assert (tmp_path / "m.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()
