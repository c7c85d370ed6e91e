from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.calibration import measure as module
from localr1.calibration.measure import last_measured, measure
from localr1.units import MIB
from localr1.worker.host import Engine


def test_what_is_measured_is_kept_and_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_PROBE_BYTES", MIB)  # how fast it is matters to nobody here
    monkeypatch.setattr(module, "_N_TOKENS", 5)
    monkeypatch.setattr(module, "_N_PROMPT", 8)
    engine = Engine.start()
    try:
        measure(engine, ["Q8_0"])
        both = measure(engine, ["Q4_K"])
    finally:
        engine.close()

    kept = last_measured(engine.info.llama_cpp_python)
    assert set(both.weight_bytes_per_s) == {"Q8_0", "Q4_K"}
    assert kept == both
    assert json.loads((tmp_path / "cache" / "measured-speed.json").read_text())["version"] == 1
    assert last_measured("another") is None
