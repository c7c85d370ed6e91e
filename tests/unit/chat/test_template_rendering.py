"""What templates expect around them is there, and behaves as their authors tested it."""

from __future__ import annotations

import dataclasses

import pytest

from localr1.chat.template_rendering import OutputTooLongError, render
from tests.support.templates import request_for

RENDERINGS = {
    "trimmed blocks": (
        "{% for m in messages %}\n  {% if 1 %}\nx\n  {% endif %}\n{% endfor %}",
        "x\n",
    ),
    "break": (
        "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "01",
    ),
    "continue": (
        "{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
        "02",
    ),
    "json": ("{{ {'b': 'é<&>', 'a': [1, none]} | tojson }}", '{"b": "é<&>", "a": [1, null]}'),
    "json with indent": ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
    "date": ("{{ strftime_now('%d %b %Y') }}", "20 Jan 2025"),
    "generation": ("{% generation %}a{{ 1 }}{% endgeneration %}b", "a1b"),
    "tokens": ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
    "no tools": ("{{ tools is none }}{{ documents is none }}{{ x is defined }}", "TrueTrueFalse"),
    "generation prompt": ("{{ add_generation_prompt }}", "True"),
    "namespace": (
        "{% set n = namespace(x=0) %}{% for i in [1, 2] %}{% set n.x = i %}{% endfor %}{{ n.x }}",
        "2",
    ),
    "messages": ("{{ messages[0]['role'] }}{{ messages[-1].content.split('i')[0] }}", "userH"),
    "no escaping": ("{{ '<b>' }}", "<b>"),
}


@pytest.mark.parametrize(("template", "expected"), RENDERINGS.values(), ids=RENDERINGS.keys())
def test_template_renders(template: str, expected: str) -> None:
    assert render(request_for(template)) == expected


def test_switches_are_variables() -> None:
    request = dataclasses.replace(
        request_for("{{ enable_thinking is false }}"), switches={"enable_thinking": False}
    )

    assert render(request) == "True"


def test_long_conversation_may_become_a_long_prompt() -> None:
    content = "word " * 100_000

    assert render(request_for("{{ messages[0].content * 3 }}", content)) == content * 3


def test_output_beyond_four_times_the_input_is_refused() -> None:
    with pytest.raises(OutputTooLongError):
        render(request_for("{{ messages[0].content * 5 }}", "word " * 100_000))
