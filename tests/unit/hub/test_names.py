from __future__ import annotations

from pathlib import Path

import pytest

from localr1.errors import UsageError
from localr1.hub.names import RepositoryName, repository_meant


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "revision"),
    [
        ("deepseek-ai/DeepSeek-R1", "main"),
        ("deepseek-ai/DeepSeek-R1/", "main"),
        ("deepseek-ai/DeepSeek-R1@refs/pr/7", "refs/pr/7"),
        ("hf.co/deepseek-ai/DeepSeek-R1", "main"),
        ("hf.co/deepseek-ai/DeepSeek-R1@v1.0", "v1.0"),
        ("hf://deepseek-ai/DeepSeek-R1", "main"),
        ("https://huggingface.co/deepseek-ai/DeepSeek-R1", "main"),
        ("https:/huggingface.co/deepseek-ai/DeepSeek-R1", "main"),
        ("https://huggingface.co/deepseek-ai/DeepSeek-R1/tree/dev", "dev"),
    ],
)
def test_a_repository_is_named_with_or_without_its_hub(source: str, revision: str) -> None:
    assert repository_meant(source) == RepositoryName("deepseek-ai", "DeepSeek-R1", revision)


@pytest.mark.parametrize(
    "source",
    ["./user/repo", "/user/repo", "~/user/repo", "../repo", "user/..", "user/re..po", "model",
     "a/b/c", "user/repo:Q4_K_M", "-user/repo", "user/re po", "user/", "us\u00e9r/repo", ""],
)  # fmt: skip
def test_what_looks_like_a_path_is_no_repository(source: str) -> None:
    assert repository_meant(source) is None


def test_a_path_on_the_disk_wins(here: Path) -> None:
    (here / "user" / "repo").mkdir(parents=True)

    assert repository_meant("user/repo") is None


def test_a_directory_with_the_first_name_makes_it_a_path(here: Path) -> None:
    (here / "models").mkdir()

    assert repository_meant("models/misspelt") is None
    assert repository_meant("hf.co/models/misspelt") is not None


@pytest.mark.parametrize("source", ["hf.co/", "hf.co/user", "https://hf.co/a/b/c", "hf.co/../x"])
def test_an_address_that_leads_to_no_repository_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="is no repository"):
        repository_meant(source)


def test_a_revision_is_one_part_of_an_address() -> None:
    assert RepositoryName("user", "repo", "refs/pr/7").quoted_revision == "refs%2Fpr%2F7"
