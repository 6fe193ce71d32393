"""Read JSON that may come from anywhere, strictly.

Python's own reader takes more than JSON has (NaN, infinities), keeps the last of two equal keys without a word, and
ends in exceptions of several kinds on hostile texts. RFC 8259, sections 4, 6 and 9, lets a reader refuse all of these.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

#: How deeply objects and lists may lie in each other. Python's own functions give up at about 1,000.
DEEPEST = 100
#: How many digits a whole number may have, so that every one can become a float.
MOST_DIGITS = 300
#: How long a text may be, in bytes or characters: 64 MiB. What we write stays far below that.
LARGEST = 64 << 20
#: An escape in a string, with the digits of a character's code.
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")


class BrokenJson(Exception):
    """The text is not JSON that we read. `line` and `column` are counted from 1; 0: the place is not known."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{reason} at line {line}, column {column}" if line else reason)
        self.reason, self.line, self.column = reason, line, column


class _Refused(Exception):
    """What the text holds, and why it is refused."""


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        BrokenJson: when the text is not UTF-8 or not JSON; has a key twice in one object, NaN, an infinity, a number
            that is no float, or half a surrogate pair; is nested more than `DEEPEST` levels deep; or is longer than
            `LARGEST`.
    """
    if len(text) > LARGEST:
        raise BrokenJson(f"it has more than {LARGEST:,} bytes")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        value = _DECODER.decode(decoded)
    except UnicodeDecodeError as error:
        raise BrokenJson(f"it is not UTF-8 text, byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise BrokenJson(error.msg, error.lineno, error.colno) from None
    except _Refused as refused:
        raise BrokenJson(str(refused)) from None
    except RecursionError:
        raise BrokenJson(_TOO_DEEP) from None
    _check_depth(decoded, value)
    _check_surrogates(decoded, value)
    return value


def bounded_bytes(path: Path) -> bytes:
    """The content of a file, for `parse_json`, which refuses it where there is more than is read here.

    Raises:
        OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"the key {twice[:40]!r} is there twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no JSON number")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _Refused(f"the number {digits[:40]} is too large")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise _Refused(f"the number {digits[:20]}... has more than {MOST_DIGITS} digits")
    return int(digits)


#: Made once, since a new one takes as long as a short text does.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_whole)


def _check_depth(text: str, value: Any) -> None:
    if len(text) <= DEEPEST or text.count("[") + text.count("{") <= DEEPEST:
        return
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        parts = (part for item in level for part in (item.values() if isinstance(item, dict) else item))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise BrokenJson(_TOO_DEEP)


def _check_surrogates(text: str, value: Any) -> None:
    """An escape such as \\ud83d without its second half is no character: no file can hold it."""
    if "\\ud" not in text and "\\uD" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        place = _half_pair(text)
        line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
        raise BrokenJson("it has half a surrogate pair (an escape such as \\ud83d alone)", line, column) from None


def _half_pair(text: str) -> int:
    """Where the first escape stands that is one half of a pair without the other."""
    high: re.Match[str] | None = None
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1] or "0", 16)
        is_second = 0xDC00 <= code <= 0xDFFF
        if high and not (is_second and escape.start() == high.end()):
            return high.start()
        if is_second and not high:
            return escape.start()
        high = escape if 0xD800 <= code <= 0xDBFF else None
    return high.start() if high else 0
