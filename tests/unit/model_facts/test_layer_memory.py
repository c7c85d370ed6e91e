"""Which layers remember what, where no small file of the family is at hand."""

from __future__ import annotations

from localr1.model_facts.layer_memory import read_layer_memory


def _memory(arch: str, n_head_kv: list[int], **values: object) -> tuple[list[int], list[int]]:
    memory = read_layer_memory(
        {f"{arch}.{name.replace('__', '.')}": value for name, value in values.items()},
        arch,
        n_embd=64,
        n_head=[4] * len(n_head_kv),
        n_head_kv=n_head_kv,
        n_ff=[0, 128, 0] if arch == "nemotron_h" else [128] * len(n_head_kv),
    )
    layers = range(len(n_head_kv))
    return (
        [i for i in layers if memory.has_kv[i]],
        [i for i in layers if memory.state_numbers[i]],
    )


def test_gemma3n_reuses_caches_after_its_twentieth_layer() -> None:
    assert _memory("gemma3n", [2] * 35) == (list(range(20)), [])


def test_layers_that_share_a_cache_are_the_last_ones() -> None:
    assert _memory("gemma4", [2] * 6, attention__shared_kv_layers=2) == ([0, 1, 2, 3], [])


def test_logs_print_whole_numbers_with_a_point() -> None:
    assert _memory("gemma4", [2] * 3, attention__shared_kv_layers=1.0) == ([0, 1], [])


def test_a_layer_of_nemotron_h_is_one_thing_only() -> None:
    remembered = _memory("nemotron_h", [0, 0, 2], ssm__inner_size=32, ssm__state_size=8)

    assert remembered == ([2], [0])


def test_the_header_may_say_which_layers_recur() -> None:
    remembered = _memory(
        "qwen3next",
        [2] * 3,
        ssm__inner_size=32,
        ssm__state_size=8,
        attention__recurrent_layers=(True, False, True),
    )

    assert remembered == ([1], [0, 2])


def test_the_header_may_say_how_often_a_layer_attends() -> None:
    remembered = _memory(
        "qwen35", [2] * 4, ssm__inner_size=32, ssm__state_size=8, full_attention_interval=2
    )

    assert remembered == ([1, 3], [0, 2])


def test_kimis_state_has_a_matrix_per_head() -> None:
    memory = read_layer_memory(
        {"kimi-linear.kda.head_dim": 16},
        "kimi-linear",
        n_embd=64,
        n_head=[4, 4],
        n_head_kv=[0, 1],
        n_ff=[128, 128],
    )

    assert memory.state_numbers == (3 * 3 * 4 * 16 + 16 * 16 * 4, 0)


def test_nonsense_counts_as_absent() -> None:
    assert _memory("gemma4", [2] * 2, attention__shared_kv_layers=float("inf")) == ([0, 1], [])
