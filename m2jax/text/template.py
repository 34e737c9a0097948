"""The environment in which a model's chat template runs: sandboxed Jinja with what such templates expect.

It follows transformers, utils/chat_template_utils.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

# For `chat.render` of a model without a template whose vocabulary has these two controls.
CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def run_template(template: str, variables: Mapping[str, Any]) -> str:
    """What `template` lays out; jinja2.TemplateError or TypeError (as in None + "text") where it fails."""
    return _compile(template).render(variables)


@lru_cache(maxsize=32)
def sought(template: str, controls: tuple[str, ...]) -> tuple[str, ...]:
    """The strings that the template's expressions name, and so may look for in a content.

    Only those that matter, since a control can begin with one of their characters; and none with an end that
    could go on to spell a control, such as the `<|` of `'<|' + message.role + '|>'`. ValueError where the
    template does not parse.
    """
    try:
        constants = _environment().parse(template).find_all(jinja2.nodes.Const)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"the chat template does not parse: {error}") from error
    begins = {text[0] for text in controls}
    prefixes = {text[:end] for text in controls for end in range(1, len(text) + 1)}
    texts = {node.value for node in constants if isinstance(node.value, str) and begins & set(node.value)}
    return tuple(sorted(t for t in texts if not any(t[start:] in prefixes for start in range(len(t)))))


@lru_cache(maxsize=32)
def _compile(template: str) -> jinja2.Template:
    return _environment().from_string(template)


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment that chat templates are written for."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %}`, with which some templates say what to train on: here it just shows its content."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)
