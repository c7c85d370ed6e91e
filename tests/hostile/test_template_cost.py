"""Templates that cost too much: each is a typed refusal, and the parent does not feel it."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from localr1.chat.template import (
    MAX_TEMPLATE_BYTES,
    ChildRenderer,
    TemplateRaisedError,
)
from localr1.errors import EXIT_DAMAGED, TemplateRefusedError
from tests.support.templates import request_for

LOOP = "{% for a in range(99999) %}"
END = "{% endfor %}"
SLOW = {
    "nested loops": LOOP * 3 + END * 3,
    "list of lists": "{{ [[1] * 10000] * 100000 }}",
    "power": "{{ 9 ** 99999999 }}",
}
GREEDY = {
    "22 bytes": "{{ 'A' * 1000000000 }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "indent": "{{ ('a\n' * 100000) | indent(100000) }}",
    "format width": "{{ '%1000000000d' % 1 }}",
    "doubling": "{% set ns = namespace(s='a' * 1000) %}{% for i in range(40) %}"
    "{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s | length }}",
    "list of a string": "{{ ('a' * 500000000) | list | length }}",
}
DEEP = {
    "brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "blocks": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "recursive macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "unary": "{{ " + "-" * 100000 + "1 }}",
    "twenty loops": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
}
LONG = {
    "output of a loop": "{% for a in range(90000) %}aaaaaaaaaaaaaaaaaaaa{% endfor %}",
    "output of one expression": "{{ 'a' * 1000000 }}",
    "pprint": "{{ ('a' * 1000000) | pprint }}",
    "huge range": "{{ range(10 ** 9) | list }}",
}
BROKEN = {
    "syntax": "{% if %}",
    "unclosed": "{% for m in messages %}",
    "unknown filter": "{{ 'a' | nonsense }}",
    "division": "{{ 1 / 0 }}",
    "undefined": "{{ nothing.at.all }}",
    "NUL and friends": "{{ '\x00' }}{{ \ud800 }}",
}


@pytest.fixture(scope="module")
def renderer() -> Iterator[ChildRenderer]:
    renderer = ChildRenderer()
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def hasty_renderer() -> Iterator[ChildRenderer]:
    """Half a second is enough to show that there is a limit."""
    renderer = ChildRenderer(limit_s=0.5)
    yield renderer
    renderer.close()


def refusal_of(renderer: ChildRenderer, template: str) -> TemplateRefusedError:
    with pytest.raises(TemplateRefusedError) as caught:
        renderer.render(request_for(template))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400
    return caught.value


@pytest.mark.parametrize("template", SLOW.values(), ids=SLOW.keys())
def test_slow_template_is_stopped(hasty_renderer: ChildRenderer, template: str) -> None:
    assert "took longer than 0.5 seconds" in refusal_of(hasty_renderer, template).message


@pytest.mark.parametrize("template", GREEDY.values(), ids=GREEDY.keys())
def test_greedy_template_gets_no_more_memory(hasty_renderer: ChildRenderer, template: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refusal_of(hasty_renderer, template)

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 1024


@pytest.mark.parametrize("template", DEEP.values(), ids=DEEP.keys())
def test_deep_template_is_refused(renderer: ChildRenderer, template: str) -> None:
    refusal_of(renderer, template)


@pytest.mark.parametrize("template", LONG.values(), ids=LONG.keys())
def test_template_that_writes_too_much_is_refused(renderer: ChildRenderer, template: str) -> None:
    refusal_of(renderer, template)


@pytest.mark.parametrize("template", BROKEN.values(), ids=BROKEN.keys())
def test_broken_template_is_a_refusal_that_says_what(
    renderer: ChildRenderer, template: str
) -> None:
    error = refusal_of(renderer, template)

    assert (error.code, error.exit_code) == ("template_refused", EXIT_DAMAGED)


def test_oversized_template_never_reaches_the_child() -> None:
    renderer = ChildRenderer()

    error = refusal_of(renderer, "a" * (MAX_TEMPLATE_BYTES + 1))

    assert "262145 bytes" in error.message
    assert renderer._child is None


def test_template_may_be_as_big_as_allowed(renderer: ChildRenderer) -> None:
    template = "é" * (MAX_TEMPLATE_BYTES // 2)

    assert renderer.render(request_for(template)) == template


def test_refusal_by_the_template_itself_is_told_apart(renderer: ChildRenderer) -> None:
    with pytest.raises(TemplateRaisedError, match="System role not supported"):
        renderer.render(request_for("{{ raise_exception('System role\n not supported') }}"))


def test_child_that_was_killed_is_replaced(renderer: ChildRenderer) -> None:
    renderer.render(request_for("x"))
    assert renderer._child is not None
    renderer._child.kill()

    assert renderer.render(request_for("{{ 1 + 1 }}")) == "2"


def test_conversation_too_long_for_a_frame_is_a_refusal(renderer: ChildRenderer) -> None:
    request = request_for("x", "\u6c49" * 6_000_000)

    with pytest.raises(TemplateRefusedError, match="too long"):
        renderer.render(request)
