"""Sums of squares over the inputs of weights, with single numbers as the reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backends.input_sums import InputSums


def _numbers(seed: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _one_by_one(rows: npt.NDArray[np.float32]) -> list[float]:
    sums = [np.float32(0)] * rows.shape[-1]
    for row in rows.reshape(-1, rows.shape[-1]):
        for column, value in enumerate(row):
            sums[column] = np.float32(sums[column] + np.float32(value * value))
    return [float(value) for value in sums]


def test_squares_are_added_in_order_of_the_rows_to_the_last_bit() -> None:
    first, second = _numbers(1, (1, 1, 300, 5)), _numbers(2, (1, 1, 17, 5))
    sums = InputSums()

    sums.add("w", (1, 1), first)
    sums.add("w", (1, 1), second)

    assert sums.weights["w"].sums[0].tolist() == _one_by_one(
        np.concatenate([first, second], axis=2)
    )
    assert sums.weights["w"].counts == [317]


def test_inputs_of_a_stack_of_weights_are_kept_apart() -> None:
    inputs = _numbers(3, (1, 6, 20, 4))
    sums = InputSums()

    sums.add("w", (1, 3), inputs)

    expected = [_one_by_one(inputs[0, [head, head + 3]]) for head in range(3)]
    assert sums.weights["w"].sums.tolist() == expected
    assert sums.weights["w"].counts == [40]


def test_one_weight_takes_the_inputs_of_every_matrix() -> None:
    inputs = _numbers(4, (2, 3, 20, 4))
    sums = InputSums()

    sums.add("w", (1, 1), inputs)

    assert sums.weights["w"].sums[0].tolist() == _one_by_one(inputs)
    assert sums.weights["w"].counts == [120]


def test_experts_get_the_tokens_that_were_sent_to_them() -> None:
    inputs = _numbers(5, (4, 1, 3))
    experts = np.array([[0, 2], [2, 0], [2, 5], [0, 5]], dtype=np.int32)
    sums = InputSums()

    sums.add_routed("w", 6, inputs, experts)

    weight = sums.weights["w"]
    assert weight.counts == [3, 0, 3, 0, 0, 2]
    assert weight.sums[0].tolist() == _one_by_one(inputs[[0, 3, 1]])
    assert weight.sums[2].tolist() == _one_by_one(inputs[[1, 2, 0]])
    assert weight.sums[5].tolist() == _one_by_one(inputs[[2, 3]])
    assert not weight.sums[[1, 3, 4]].any()


def test_experts_may_have_an_input_of_their_own_for_each_choice() -> None:
    inputs = _numbers(6, (3, 2, 4))
    experts = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.int32)
    sums = InputSums()

    sums.add_routed("w", 2, inputs, experts)

    expected = _one_by_one(np.stack([inputs[1, 0], inputs[0, 1], inputs[2, 1]]))
    assert sums.weights["w"].sums[0].tolist() == expected


def test_infinite_activations_are_noticed() -> None:
    inputs = np.full((1, 1, 16, 2), 1e30, dtype=np.float32)

    weight = InputSums().add("w", (1, 1), inputs)

    assert not weight.is_finite
