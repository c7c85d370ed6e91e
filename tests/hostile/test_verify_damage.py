"""A finished file that is not what it was made from, and checks that are cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from gguf import GGUFReader

from localr1.errors import OutputDamagedError
from localr1.events import Progress
from localr1.verify.after import OnProgress
from localr1.verify.checks import ConversionChecks
from localr1.verify.fidelity import Fidelity
from localr1.verify.stamp import PREFIX
from quant.pipeline import convert
from tests.support.checkpoint_zoo import write_checkpoint

Damage = Callable[[bytearray, int, int], None]


def _flipped_bits(data: bytearray, start: int, n_bytes: int) -> None:
    for position in range(start, start + n_bytes, 97):
        data[position] ^= 0x40


def _one_scale_without_a_number(data: bytearray, start: int, n_bytes: int) -> None:
    data[start : start + 2] = b"\xff\x7f"  # a block of Q4_K begins with its scale, a half


def _shifted_by_a_block(data: bytearray, start: int, n_bytes: int) -> None:
    data[start : start + n_bytes] = data[start + 144 : start + n_bytes] + bytes(144)


def _zeros(data: bytearray, start: int, n_bytes: int) -> None:
    data[start : start + n_bytes] = bytes(n_bytes)


class _Conversion:
    """r1-nano, converted and not yet checked."""

    def __init__(self, directory: Path) -> None:
        self.source = write_checkpoint("r1_nano", directory)
        self.output = directory / "outputs" / "model.gguf"
        self._checks = ConversionChecks(
            verifies=True, accepts_differences=False, notify=lambda _notice: None, n_threads=2
        )
        convert(
            self.source,
            self.output,
            notes=self._checks.notes,
            before_writing=self._checks.before_writing,
        )

    def damage(self, name: str, damage: Damage) -> None:
        (tensor,) = (found for found in GGUFReader(self.output).tensors if found.name == name)
        data = bytearray(self.output.read_bytes())
        damage(data, int(tensor.data_offset), int(tensor.n_bytes))
        self.output.write_bytes(data)

    def check(self, on_progress: OnProgress = lambda _event: None) -> Fidelity:
        return self._checks.after_writing(on_progress)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.output.parent.iterdir())

    def measured(self, name: str) -> float:
        return float(GGUFReader(self.output).fields[PREFIX + name].parts[-1][0])


@pytest.fixture
def conversion(tmp_path: Path) -> _Conversion:
    return _Conversion(tmp_path)


def _verifiers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if _is_verifier(child)]


def _is_verifier(process: psutil.Process) -> bool:
    try:
        return "localr1.verify.child" in process.cmdline()
    except psutil.NoSuchProcess:  # it ended just now
        return False


@pytest.mark.parametrize(
    "damage", [_flipped_bits, _one_scale_without_a_number, _shifted_by_a_block, _zeros]
)
def test_a_damaged_tensor_is_named_and_the_file_moved_aside(
    damage: Damage, conversion: _Conversion
) -> None:
    conversion.damage("blk.3.ffn_up.weight", damage)

    with pytest.raises(OutputDamagedError, match=r"tensor blk\.3\.ffn_up\.weight") as told:
        conversion.check()

    assert told.value.exit_code == 6
    assert conversion.files == ["model.gguf.damaged"]


def test_a_file_that_was_cut_off_is_moved_aside(conversion: _Conversion) -> None:
    conversion.output.write_bytes(conversion.output.read_bytes()[:-100_000])

    with pytest.raises(OutputDamagedError):
        conversion.check()

    assert conversion.files == ["model.gguf.damaged"]


def test_a_header_that_llama_cpp_does_not_read_is_moved_aside(conversion: _Conversion) -> None:
    conversion.output.write_bytes(b"GGUX" + conversion.output.read_bytes()[4:])

    with pytest.raises(OutputDamagedError, match="does not read"):
        conversion.check()

    assert conversion.files == ["model.gguf.damaged"]


def test_a_model_that_llama_cpp_does_not_run_fails_and_is_kept(conversion: _Conversion) -> None:
    data = conversion.output.read_bytes().replace(b"qwen2", b"qwenX", 1)  # the architecture
    conversion.output.write_bytes(data)

    fidelity = conversion.check()

    assert fidelity.verdict == "fail"
    assert fidelity.reason.startswith("it does not run: llama.cpp cannot load the model")
    assert "qwenX" in fidelity.line()
    assert conversion.files == ["model.gguf"]


def test_a_killed_verifier_gives_a_reason_and_keeps_the_file(conversion: _Conversion) -> None:
    def kill(event: Progress) -> None:
        if event.stage == "source":
            for verifier in _verifiers():
                verifier.kill()

    fidelity = conversion.check(kill)

    assert fidelity.verdict == "not compared"
    assert fidelity.reason == "the verifier was ended by SIGKILL"
    assert fidelity.tensors is not None
    assert conversion.files == ["model.gguf"]
    assert conversion.measured("tensor_error_max") == pytest.approx(fidelity.tensors.max_error)
    assert conversion.measured("kl_divergence") == -1


def test_ctrl_c_during_the_check_keeps_the_file(conversion: _Conversion) -> None:
    def interrupt(event: Progress) -> None:
        if event.stage == "source":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversion.check(interrupt)

    assert conversion.files == ["model.gguf"]
    assert _verifiers() == []


def test_a_source_that_is_gone_by_then_is_said_to_be(conversion: _Conversion) -> None:
    (conversion.source / "model.safetensors").unlink()

    fidelity = conversion.check()

    assert fidelity.reason == "the source is not on this disk any more"
    assert fidelity.verdict == "not compared"
