"""Fills templates with records. Delimiters that cannot meet C: ${x}, //% lines, //# comments."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

import jinja2


@cache
def environment() -> jinja2.Environment:
    """Strict: a field that a template asks for and the record lacks is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("snncc", "templates"),
        undefined=jinja2.StrictUndefined,
        variable_start_string="${",
        variable_end_string="}",
        block_start_string="/*%",
        block_end_string="%*/",
        comment_start_string="/*#",
        comment_end_string="#*/",
        line_statement_prefix="//%",
        line_comment_prefix="//#",
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, record: Any) -> str:
    """The template's text for a record."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return environment().get_template(template).render(values).lstrip("\n")
