"""The text of a file: UTF-8, or what the file's byte order mark says."""

import codecs
from pathlib import Path

from bt_core.data.notes import note
from bt_core.errors import DataError

#: Byte order marks -> encoding. That of UTF-32 begins as that of UTF-16 does, so it comes first.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path) -> str:
    """The file's text, without its byte order mark and with its line ends as they are.

    Raises:
        DataError: when the file cannot be read, or is no such text; names line and byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path and your rights.") from None
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line, kind = content.count(b"\n", 0, error.start) + 1, encoding.removesuffix("-sig").upper()
        raise DataError(
            f"{path}, line {line}: not {kind} text (byte {error.start} of the file is 0x{content[error.start]:02x}):"
            " save it as UTF-8."
        ) from None
    if "\0" in text:
        raise DataError(f"{path} holds NUL characters, as UTF-16 without a byte order mark does: save it as UTF-8.")
    if encoding in ("utf-16", "utf-32"):
        note(f"{path} is read as {encoding.upper()}, as its byte order mark says.")
    return text
