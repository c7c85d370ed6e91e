from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.dispatch import choose_devices, cpu_fallback, engine_parameters
from backends.machine import HostFacts
from backends.parameters import EngineParameters, LoadRequest
from localr1.worker.channel import Channel
from localr1.worker.child import EngineLoop
from localr1.worker.frames import EngineInfo, LoadReport, Sampling
from localr1.worker.protocol import from_json, to_json
from tests.support.fake_llama import CPU, CUDA0, CUDA1, RPC0, RPC1, FakeLlama, FakeModel

_OUT_OF_MEMORY = """\
ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory
alloc_tensor_range: failed to allocate CUDA1 buffer of size 8589934592
"""


class _Parent:
    """The other end of an engine loop that runs on a thread."""

    def __init__(self, native: FakeLlama) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._theirs = Channel(theirs)
        self.left: list[int] = []
        loop = EngineLoop(self._theirs, native, leave=self.left.append)
        self._thread = threading.Thread(target=loop.run)
        self._thread.start()
        self.ready = self.receive()

    def ask(self, type_: str, request: int, body: Any = None) -> None:
        self._channel.send({"type": type_, "request": request, "body": body})

    def receive(self) -> dict[str, Any]:
        message = self._channel.receive(10)
        assert message is not None
        return message

    def answer_to(self, type_: str, request: int, body: Any = None) -> dict[str, Any]:
        """The last message that answers a request."""
        self.ask(type_, request, body)
        while (message := self.receive())["type"] in ("progress", "prefill", "pieces"):
            assert message["request"] == request
        return message

    def close(self) -> None:
        self._channel.send({"type": "close"})
        self._thread.join(10)
        self._channel.close()
        self._theirs.close()


@pytest.fixture
def native() -> FakeLlama:
    return FakeLlama(registry=(CUDA0, CUDA1, CPU), supports_gpu_offload=True)


@pytest.fixture
def parent(native: FakeLlama) -> Iterator[_Parent]:
    parent = _Parent(native)
    yield parent
    parent.close()


def _parameters(native: FakeLlama) -> EngineParameters:
    request = LoadRequest(model_path="/m.gguf", n_ctx=64, n_layer=28)
    return engine_parameters(request, choose_devices(native.registry), HostFacts(n_cores=4))


def _request(text: str, max_tokens: int | None = 4) -> dict[str, Any]:
    return {
        "segments": [{"text": text, "parse_special": True}],
        "sampling": to_json(Sampling(temperature=0)),
        "max_tokens": max_tokens,
    }


def test_ready_describes_the_devices(parent: _Parent) -> None:
    info = from_json(EngineInfo, parent.ready["facts"])

    assert info.devices == (CUDA0, CUDA1, CPU)
    assert info.supports_gpu_offload


def test_load_reports_buffers_and_special_tokens(parent: _Parent, native: FakeLlama) -> None:
    native.load_log = "load_tensors:        CUDA1 model buffer size =   100.00 MiB\n"

    message = parent.answer_to("load", 1, to_json(_parameters(native)))
    report = from_json(LoadReport, message["body"])

    assert message["type"] == "loaded"
    assert report.buffers[0].n_bytes == 100 * 1024**2
    assert report.special_tokens["<role>"] == 258
    assert report.bos_text == "<bos>"
    assert native.model.memory == []


def test_failed_gpu_load_blames_the_device_and_the_fallback_loads(
    parent: _Parent, native: FakeLlama
) -> None:
    native.refusal = _OUT_OF_MEMORY
    parameters = _parameters(native)
    refused = parent.answer_to("load", 1, to_json(parameters))

    loaded = parent.answer_to("load", 2, to_json(cpu_fallback(parameters)))

    assert refused["type"] == "refused"
    assert refused["is_device_failure"] is True
    assert "failed to allocate CUDA1 buffer" in refused["message"]
    assert loaded["type"] == "loaded"
    assert native.loaded[0].devices == ("CUDA1", "CUDA0")
    assert native.loaded[1].devices == ()


def test_refusal_does_not_repeat_an_earlier_log(parent: _Parent, native: FakeLlama) -> None:
    native.refusal = _OUT_OF_MEMORY
    parent.answer_to("load", 1, to_json(_parameters(native)))

    message = parent.answer_to("generate", 2, _request("hi"))

    assert message["message"] == "no model is loaded"
    assert message["is_device_failure"] is False


def test_reply_ends_with_what_is_left_on_the_devices_in_use(
    parent: _Parent, native: FakeLlama
) -> None:
    parameters = _parameters(native)
    parent.answer_to("load", 1, to_json(replace(parameters, devices=("CUDA1",))))
    on_card = parent.answer_to("generate", 2, _request("hi"))
    parent.answer_to("load", 3, to_json(cpu_fallback(parameters)))
    on_host = parent.answer_to("generate", 4, _request("hi"))

    assert on_card["body"]["devices"] == [{"name": "CUDA1", "free_bytes": CUDA1.free_bytes}]
    assert on_host["body"]["devices"] == []


def test_reply_streams_to_its_end(parent: _Parent, native: FakeLlama) -> None:
    parent.answer_to("load", 1, to_json(_parameters(native)))

    message = parent.answer_to("generate", 2, _request("hi"))

    assert message["type"] == "end"
    assert message["body"]["n_generated"] == 4


def test_prompt_over_the_context_is_counted_not_cut(parent: _Parent, native: FakeLlama) -> None:
    parent.answer_to("load", 1, to_json(_parameters(native)))

    message = parent.answer_to("generate", 2, _request("x" * 65))

    assert (message["type"], message["n_prompt"], message["n_ctx"]) == ("overflow", 65, 64)
    assert native.model.n_evaluated == 1  # the warm-up


def test_request_cancelled_before_it_began_ends_at_once(parent: _Parent, native: FakeLlama) -> None:
    parent.answer_to("load", 1, to_json(_parameters(native)))
    parent.ask("cancel", 2)

    message = parent.answer_to("generate", 2, _request("hi", None))

    assert message["body"]["reason"] == "cancelled"
    assert message["body"]["n_generated"] == 0


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("load", {}),
        ("generate", []),
        ("tokenize", [{"text": 1}]),
        ("observe", ["one"]),
        ("sums", 1),
        ("nonsense", None),
    ],
)
def test_malformed_request_is_refused_and_the_next_one_answered(
    parent: _Parent, native: FakeLlama, type_: str, body: Any
) -> None:
    assert parent.answer_to(type_, 1, body)["type"] == "refused"

    assert parent.answer_to("load", 2, to_json(_parameters(native)))["type"] == "loaded"


def test_second_load_frees_the_first_model(parent: _Parent, native: FakeLlama) -> None:
    first = native.model
    parent.answer_to("load", 1, to_json(_parameters(native)))
    native.model = FakeModel()

    parent.answer_to("load", 2, to_json(_parameters(native)))

    assert first.is_closed


def test_close_frees_the_model(native: FakeLlama) -> None:
    parent = _Parent(native)
    parent.answer_to("load", 1, to_json(_parameters(native)))

    parent.close()

    assert native.model.is_closed
    assert parent.left == []


def test_observed_texts_become_sums(parent: _Parent, native: FakeLlama) -> None:
    parent.answer_to("load", 1, to_json(_parameters(native)))

    ids = parent.answer_to("read", 2, "hi")["ids"]
    observed = parent.answer_to("observe", 3, ids)
    (weight,) = parent.answer_to("table", 4)["body"]
    sums = parent.answer_to("sums", 5, weight["name"])

    assert observed["type"] == "observed"
    assert weight == {"name": "blk.0.attn_q.weight", "n_sums": 2, "counts": [2]}
    assert np.frombuffer(base64.b64decode(sums["data"]), "<f4").tolist() == [209, 418]


def test_reply_after_an_observation_reads_its_whole_prompt(
    parent: _Parent, native: FakeLlama
) -> None:
    parent.answer_to("load", 1, to_json(_parameters(native)))
    parent.answer_to("generate", 2, _request("hi"))
    parent.answer_to("observe", 3, [1, 2])

    message = parent.answer_to("generate", 4, _request("hi"))

    assert message["body"]["n_cached"] == 0


def test_devices_of_servers_are_found_and_measured_by_their_names(
    native: FakeLlama, parent: _Parent
) -> None:
    native.lent = (RPC0, RPC1)
    native.load_log = "load_tensors: RPC1[gpu-box:50052] model buffer size = 92.00 MiB\n"

    connected = parent.answer_to("connect", 1, ["gpu-box:50052"])
    loaded = parent.answer_to("load", 2, to_json(_parameters(native)))

    assert from_json(EngineInfo, connected["body"]).devices == (CUDA0, CUDA1, CPU, RPC0, RPC1)
    assert native.loaded[0].devices == ("RPC1", "RPC0", "CUDA1", "CUDA0")
    (buffer,) = from_json(LoadReport, loaded["body"]).buffers
    assert buffer.device == "RPC1"


def test_server_without_devices_is_refused(parent: _Parent) -> None:
    refused = parent.answer_to("connect", 1, ["gpu-box:50052"])

    assert refused["type"] == "refused"
    assert "gpu-box:50052 has no devices" in refused["message"]
