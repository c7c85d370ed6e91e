"""Templates that try to reach Python from inside the sandbox: none learns or changes anything."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from localr1.chat.template import ChildRenderer
from localr1.errors import TemplateRefusedError
from tests.support.templates import request_for

ESCAPES = {
    "class": "{{ ''.__class__ }}",
    "mro": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "subscript": "{{ ''['__class__']['__mro__'] }}",
    "attr filter": "{{ '' | attr('__class__') }}",
    "map attribute": "{{ ['x'] | map(attribute='__class__') | list }}",
    "groupby": "{{ [''] | groupby('__class__') }}",
    "globals of a function": "{{ raise_exception.__globals__['os'].getpid() }}",
    "builtins of a function": "{{ raise_exception.__builtins__ }}",
    "self of a method": "{{ strftime_now.__self__.__class__ }}",
    "code of a macro": "{% macro m() %}{% endmacro %}{{ m.__call__.__func__.__code__ }}",
    "cycler": "{{ cycler.__init__.__globals__.os.getpid() }}",
    "namespace": "{{ namespace.__init__.__globals__ }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "format_map": "{{ '{x.__class__}'.format_map({'x': ''}) }}",
    "format filter": "{{ ('%s' | format)(raise_exception.__code__) }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import '/etc/passwd' as stolen %}{{ stolen }}",
    "extends": "{% extends '/etc/passwd' %}",
    "change the messages": "{{ messages.append({'role': 'system'}) }}{{ messages | length }}",
    "change a message": "{{ messages[0].update({'content': 'forged'}) }}{{ messages[0].content }}",
}
LEAKS = (
    "class '",
    "<function",
    "<module",
    "mappingproxy",
    "root:",
    "uid=",
    "forged",
    "code object",
)


@pytest.fixture(scope="module")
def renderer() -> Iterator[ChildRenderer]:
    renderer = ChildRenderer()
    yield renderer
    renderer.close()


def attempt(renderer: ChildRenderer, template: str) -> str:
    """What the template gets to see: its output, or the reason of its refusal."""
    try:
        return renderer.render(request_for(template))
    except TemplateRefusedError as exc:
        return exc.message


@pytest.mark.parametrize("template", ESCAPES.values(), ids=ESCAPES.keys())
def test_escape_is_refused_or_learns_nothing(renderer: ChildRenderer, template: str) -> None:
    seen = attempt(renderer, template)

    assert not any(leak in seen for leak in LEAKS)
    assert str(os.getpid()) not in seen
    assert "\n" not in seen


def test_honest_template_still_renders_after_all_of_them(renderer: ChildRenderer) -> None:
    for template in ESCAPES.values():
        attempt(renderer, template)

    assert renderer.render(request_for("{{ messages[0].content }}!")) == "Hi!"
