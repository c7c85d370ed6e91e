from __future__ import annotations

from pathlib import Path

import pytest

from backends.device import Device, DeviceKind
from localr1.calibration.here import known_here, profile_of
from localr1.plan.hardware import HOST


@pytest.mark.parametrize(
    ("kind", "description", "gib", "name"),
    [
        (DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", 24, "rtx-4090"),
        (DeviceKind.CUDA, "NVIDIA GeForce RTX 4070 Ti SUPER", 16, "rtx-4070-ti-super"),
        (DeviceKind.CUDA, "NVIDIA GeForce RTX 4070", 12, "rtx-4070"),
        (DeviceKind.CUDA, "NVIDIA GeForce RTX 4070 Laptop GPU", 8, "rtx-4070-laptop"),
        (DeviceKind.CUDA, "NVIDIA GeForce RTX 3060", 12, "rtx-3060"),
        (DeviceKind.CUDA, "NVIDIA GeForce RTX 3060", 8, "rtx-3060-8gb"),
        (DeviceKind.ROCM, "AMD Radeon RX 7900 XTX", 24, "rx-7900-xtx"),
        (DeviceKind.METAL, "Apple M1 Max", 48, "m1-max-64gb"),
        (DeviceKind.METAL, "Apple M1", 5, "m1-8gb"),
        (DeviceKind.CUDA, "NVIDIA H100 80GB HBM3", 80, None),
        (DeviceKind.CPU, "NVIDIA GeForce RTX 4090", 24, None),
    ],
)
def test_a_gpu_is_known_by_what_its_driver_calls_it(
    kind: DeviceKind, description: str, gib: int, name: str | None
) -> None:
    found = profile_of(Device("a device", kind, description, gib * 2**30, gib * 2**30))

    assert (None if found is None else found.name) == name


def test_a_machine_nobody_measured_is_known_by_its_cards_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))
    card = Device("CUDA0", DeviceKind.CUDA, "NVIDIA GeForce RTX 3060", 12 * 2**30, 11 * 2**30)

    known = known_here([card], "0.3.36")

    assert list(known) == ["CUDA0"]


def test_a_machine_nobody_measured_is_measured_roughly_when_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))

    found = known_here([], "0.3.36", measures=True)

    rate = found[HOST].rate
    assert rate is not None
    assert rate.is_rough
    assert known_here([], "0.3.36") == found


def test_what_cannot_be_kept_is_known_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache" / "measured-speed.json").mkdir(parents=True)
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))

    assert known_here([], "0.3.36", measures=True)[HOST].rate is not None
    assert known_here([], "0.3.36") == {}
    assert list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / "measured-speed.json"]


def test_without_a_place_to_keep_it_the_machine_is_measured_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path / "a file"))

    assert known_here([], "0.3.36", measures=True)[HOST].rate is not None


def test_a_kept_measurement_that_is_damaged_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "measured-speed.json").write_text("[" * 100_000, encoding="utf-8")
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))

    assert known_here([], "0.3.36") == {}
