"""Keeps text that came from outside, such as a file name, from being computed by a program that opens a CSV file."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

# What spreadsheet programs take for the beginning of a formula, in full width too, or skip before one; and the
# apostrophe itself, so that the first character can always be taken away again.
_FIRST = "=+\\-@\t\r\n'\uff1d\uff0b\uff0d\uff20"
_PATTERN = f"^[{_FIRST}]"
_MARK = "'"


def marked(text: str) -> str:
    """The text, behind an apostrophe where it could be taken for a formula."""
    return _MARK + text if re.match(_PATTERN, text) else text


def marked_table(table: pa.Table) -> pa.Table:
    """The table with its texts `marked`; numbers and times are as they were."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table[field.name]
            is_formula = pc.match_substring_regex(column, _PATTERN)
            safe = pc.if_else(is_formula, pc.binary_join_element_wise(_MARK, column, ""), column)
            table = table.set_column(place, field, safe)
    return table
