"""Owns how a chat template becomes text: jinja2 in its sandbox and what templates expect there.

Pure, and not safe by itself: the sandbox stops a template from reaching Python, not from eating
time or memory. `template_child` runs it where that does no harm. The environment is the one that
model authors test against (transformers, `utils/chat_template_utils.py`): trimmed blocks, loop
controls, `tojson` without HTML escapes, `raise_exception`, `strftime_now`, `{% generation %}`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.ext import loopcontrols as LoopControls  # noqa: N812 -- a class with a function's name
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from localr1.chat.template import RenderRequest

_FREE_OUTPUT = 64 * 1024
_OUTPUT_PER_INPUT = 4


class RaisedByTemplateError(Exception):
    """The template called `raise_exception`: it does not take this conversation."""


class OutputTooLongError(Exception):
    """The template writes much more than it was given."""


def render(request: RenderRequest) -> str:
    """The prompt text, with the opening of the assistant's turn at its end.

    Raises: RaisedByTemplateError, OutputTooLongError, jinja2.TemplateError, and whatever Python
    raises for a template that asks nonsense of its values.
    """
    template = _environment(datetime.fromisoformat(request.now)).from_string(request.template)
    limit = _OUTPUT_PER_INPUT * _n_input(request) + _FREE_OUTPUT
    parts: list[str] = []
    for part in template.generate(
        messages=list(request.messages),
        add_generation_prompt=True,
        bos_token=request.bos_token,
        eos_token=request.eos_token,
        tools=None,
        documents=None,
        **request.switches,
    ):
        parts.append(part)
        limit -= len(part)
        if limit < 0:
            raise OutputTooLongError(f"it writes more than {_OUTPUT_PER_INPUT} times its input")
    return "".join(parts)


def _n_input(request: RenderRequest) -> int:
    texts = [text for message in request.messages for text in message.values()]
    return len(request.template) + sum(map(len, texts))


class _Generation(Extension):
    """`{% generation %}` marks what training looks at; for a prompt it is its content."""

    tags = {"generation"}  # noqa: RUF012 -- the name and type jinja2 reads

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment(now: datetime) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, LoopControls]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = now.strftime
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 -- templates pass them by position or name
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: object) -> None:
    raise RaisedByTemplateError(str(message))
