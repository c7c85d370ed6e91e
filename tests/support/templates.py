"""Chat templates in the shapes that real models use, and a renderer without a process."""

from __future__ import annotations

from dataclasses import dataclass, field

from jinja2 import TemplateError

from localr1.chat.template import RenderRequest, TemplateRaisedError
from localr1.chat.template_rendering import RaisedByTemplateError, render
from localr1.errors import TemplateRefusedError

# DeepSeek-R1's distillations as their GGUF files have it: the prompt does not open the thought,
# and an old one is cut off behind its closing tag
R1_DISTILL = (
    "{% set ns = namespace(system='') %}{%- for m in messages %}{%- if m['role'] == 'system' %}"
    "{% set ns.system = m['content'] %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}"
    "{%- for m in messages %}{%- if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
    "{%- elif m['role'] == 'assistant' %}{% set content = m['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)

# Qwen3: the thought comes as reasoning_content, and a switch closes it in the prompt
QWEN3 = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- if message.reasoning_content is string and loop.last %}
            {%- set thought = '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' %}
            {%- set content = thought + content %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

# QwQ: the prompt opens the thought, and closes it again unless the switch is on
QWQ = """\
{%- for message in messages %}
    {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{{- '<|im_start|>assistant\\n<think>\\n' }}
{%- if not enable_thinking -%}{{- '</think>' -}}{%- endif -%}
"""

# SmolLM2: plain ChatML with a system prompt of its own
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Gemma: no system role, strict turns, trimmed messages, the assistant is called model
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n'"
    " + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def request_for(template: str, *contents: str) -> RenderRequest:
    """A template and user messages, `Hi` if none are given."""
    return RenderRequest(
        template=template,
        messages=tuple({"role": "user", "content": text} for text in contents or ("Hi",)),
        bos_token="<s>",  # noqa: S106 -- a token of text
        eos_token="</s>",  # noqa: S106
        now="2025-01-20T12:00:00",
    )


@dataclass
class InlineRenderer:
    """Renders in this process: for trusted templates, in tests of everything but the child."""

    requests: list[RenderRequest] = field(default_factory=list)
    is_closed: bool = False

    def render(self, request: RenderRequest) -> str:
        self.requests.append(request)
        try:
            return render(request)
        except RaisedByTemplateError as exc:
            raise TemplateRaisedError(f"the chat template does not take this: {exc}") from exc
        except TemplateError as exc:
            raise TemplateRefusedError(f"the chat template cannot be used: {exc}") from exc

    def close(self) -> None:
        self.is_closed = True
