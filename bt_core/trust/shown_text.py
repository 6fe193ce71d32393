"""Text from rows, programs, endpoints and servers, made safe to show on a terminal and in Markdown."""

import re

#: Control characters besides line breaks and tabs (a terminal obeys some), and those that turn the reading direction.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKUP = re.compile(r"[\\`*_\[\]<|~$]")
#: Beginnings that would make a line a heading, a quotation, a list, a rule or the underline of a heading.
_BLOCK = re.compile(r"^( ?)(\d*)([#>]|[-+=](?=[ =-]|$)|(?<=\d)[.)](?= |$))")


def visible(text: str) -> str:
    r"""The text with every control character written out, such as `\x1b` for the one that begins terminal escapes."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def json_visible(text: str) -> str:
    r"""A JSON document whose control characters are written as `\u001b`, which every reader takes for the same."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def markdown(text: str) -> str:
    """Escape for Markdown, in a line or a table's cell, so that nothing is taken for markup, HTML or a new line."""
    line = re.sub(r"\s+", " ", text).replace("&", "&amp;")
    return _BLOCK.sub(r"\1\2\\\3", _MARKUP.sub(r"\\\g<0>", line))
