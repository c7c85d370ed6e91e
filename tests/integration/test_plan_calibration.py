from __future__ import annotations

from pathlib import Path

import pytest

from localr1.calibration import measure as module
from localr1.calibration.measure import last_measured, measure, measure_roughly
from localr1.calibration.probe_model import SHALLOW
from localr1.cli.output import Output
from localr1.cli.this_machine import find_this_machine
from localr1.errors import EngineStartError
from localr1.plan.hardware import HOST
from localr1.units import MIB
from localr1.worker.host import Engine


def test_what_is_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))
    # how fast it is matters to nobody here, so the models are the smallest there are
    for name in ("DEEP", "LOOKING"):
        monkeypatch.setattr(module, name, (SHALLOW,))
    monkeypatch.setattr(module, "TALKATIVE", SHALLOW)
    monkeypatch.setattr(module, "_WEIGHT_BYTES", MIB)
    monkeypatch.setattr(module, "_N_ROUNDS", 1)
    monkeypatch.setattr(module, "_N_TOKENS", 5)
    monkeypatch.setattr(module, "_N_QUICK_TOKENS", 5)
    monkeypatch.setattr(module, "_N_PROMPT", 8)
    monkeypatch.setattr(module, "_N_LONG_PROMPT", 16)
    engine = Engine.start()
    version = engine.info.llama_cpp_python
    rough = measure_roughly(version)
    try:
        found = measure(engine, ["Q4_K"])
    finally:
        engine.close()

    assert rough.is_rough
    assert not found.is_rough
    assert set(found.fast.types) == {"Q4_K"}
    assert last_measured(version) == found
    assert last_measured("another") is None
    assert list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / "measured-speed.json"]


def test_a_machine_nobody_measured_has_a_guess_of_its_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))

    guessed = find_this_machine(Output(quiet=True))
    again = find_this_machine(Output(quiet=True))

    rate = guessed.known[HOST].rate
    assert rate is not None
    assert rate.is_rough
    assert any("--calibrate" in notice for notice in guessed.notices)
    assert again.known[HOST].rate == rate


def test_without_an_engine_there_is_a_plan_but_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nothing to write the engine's log to
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))

    found = find_this_machine(Output(quiet=True))

    assert found.devices == ()
    assert found.host.total_bytes > 0
    with pytest.raises(EngineStartError):
        find_this_machine(Output(quiet=True), calibrates=True)
