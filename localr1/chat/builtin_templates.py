"""Owns the turn formats for models whose file has no usable chat template.

A template that fails is replaced by the format of the model's family, recognised by the control
tokens in its vocabulary. A file without any template is most likely no chat model at all: its
vocabulary has the tokens of its family, but it has never seen them used. It gets a dialogue in
plain text, which every model has read. Written in Python, so that they also work when the renderer
for templates does not.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinTemplate:
    """What goes before and after each role's text."""

    name: str
    sign: str
    """The control token whose presence says that a model was trained on this format."""
    user: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] | None = None
    """None means that there is no such role: its text leads the first user message."""
    stops: tuple[str, ...] = ()
    """Texts that end a reply, where no token does."""

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt, open for the assistant's turn."""
        if self.system is None:
            messages = merge_system(messages)
        frames = {"system": self.system, "user": self.user, "assistant": self.assistant}
        parts: list[str] = []
        for message in messages:
            before, after = frames[message["role"]] or self.user
            parts += (before, message["content"], after)
        return "".join([*parts, self.assistant[0]])


PLAIN = BuiltinTemplate(
    name="plain text",
    sign="",
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant:", "\n\n"),
    stops=("\nUser:",),
)

_FAMILIES = (
    BuiltinTemplate(
        name="ChatML",
        sign="<|im_start|>",
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=("<|im_start|>user\n", "<|im_end|>\n"),
        assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
    ),
    BuiltinTemplate(
        name="Gemma",
        sign="<start_of_turn>",
        user=("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant=("<start_of_turn>model\n", "<end_of_turn>\n"),
    ),
    BuiltinTemplate(
        name="DeepSeek",
        sign="<｜User｜>",
        system=("", ""),
        user=("<｜User｜>", ""),
        assistant=("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
    ),
    BuiltinTemplate(
        name="Llama 3",
        sign="<|start_header_id|>",
        system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    ),
)


def family_template(special_tokens: Container[str]) -> BuiltinTemplate:
    """The format of the model's family, or plain text."""
    return next((known for known in _FAMILIES if known.sign in special_tokens), PLAIN)


def merge_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The same conversation for a template without a system role."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
