"""Data sets of the Hugging Face hub, or of a folder that the `datasets` library loads."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bt_core.data.files import is_data_file, read_rows
from bt_core.data.notes import naming
from bt_core.data.readers.library import plain_rows
from bt_core.data.split_names import by_split
from bt_core.errors import DataError, first_line
from bt_core.records import Row

#: Marks the id of a data set that the `datasets` library loads.
HUB = "hub:"
#: The library's readers of text files, which guess types; these files are read as other files are.
_GUESSING = ("csv", "json")


def read_hub(address: str) -> dict[str, list[Row]]:
    """The splits of a data set. Where there is no test split, `validation` becomes `test`.

    Raises:
        DataError: when the data set cannot be loaded.
    """
    from datasets import load_dataset_builder

    text, _, revision = address.removeprefix(HUB).partition("@")
    name, _, config = text.partition(":")
    try:
        builder = load_dataset_builder(name, config or None, revision=revision or None)
        _check_inside(builder, address)
        splits = by_split(_text_files(builder) or _as_stored(builder), address)
        rows = {split: read() for split, read in splits.items()}
    except DataError:
        raise
    except Exception as error:  # datasets, the hub's client and the parsers have many errors
        reason = first_line(error.__cause__ or error).rstrip(".")
        raise DataError(
            f"The data set `{address}` cannot be loaded ({reason}): check id and network, or give a file."
        ) from None
    if "val" in rows and "test" not in rows:
        rows["test"] = rows.pop("val")  # the labels of the real test split are not public then
    return rows


def _check_inside(builder: Any, address: str) -> None:
    """Check that a data set consists of files of its own: its README could name any file of this machine.

    Raises:
        DataError: when it names another one.
    """
    base = str(builder.base_path)
    inside = base.partition("@")[0] + "@" if "://" in base else f"{Path(base).resolve()}/"
    for path in (str(path) for paths in (builder.config.data_files or {}).values() for path in paths):
        own = path.rpartition("::")[2]  # the archive, where the file is in one
        whole = own if "://" in own else str(Path(own).resolve())
        if not whole.startswith(inside) or ".." in whole.split("/"):
            raise DataError(
                f"The data set `{address}` names the file {path}, which is none of its own: give that file, or another"
                " data set."
            )


def _as_stored(builder: Any) -> dict[str, Callable[[], list[Row]]]:
    """How to read each split with the library, which keeps the types that the data set states."""
    builder.download_and_prepare()
    return {name: partial(plain_rows, part) for name, part in builder.as_dataset().items()}


def _text_files(builder: Any) -> dict[str, Callable[[], list[Row]]]:
    """How to read each split from its CSV or JSON files, of which the library would guess the types.

    Empty where the data set states types or names of columns, or has other files, such as compressed ones.
    """
    from datasets import DownloadManager

    config = builder.config
    files = {str(split): [str(path) for path in paths] for split, paths in (config.data_files or {}).items()}
    stated = builder.info.features or any(getattr(config, key, None) for key in ("names", "column_names", "field"))
    if stated or builder.name not in _GUESSING or not all(map(_is_text, chain.from_iterable(files.values()))):
        return {}
    copies = DownloadManager(base_path=builder.base_path).download(files)
    return {split: partial(_rows, files[split], copies[split]) for split in files}


def _is_text(path: str) -> bool:
    return "::" not in path and is_data_file(Path(path))  # `zip://train.csv::FILE` is packed


def _rows(addresses: Sequence[str], copies: Sequence[str]) -> list[Row]:
    """The rows of downloaded files, whose own names say neither what they hold nor where they are from."""
    rows = []
    with TemporaryDirectory(prefix="bt-hub-") as scratch:
        for number, (address, copy) in enumerate(zip(addresses, copies, strict=True)):
            path = Path(scratch, f"{number}{Path(address).suffix}")
            path.symlink_to(Path(copy).resolve())
            with naming(str(path), address):
                rows += read_rows(path)
    return rows
