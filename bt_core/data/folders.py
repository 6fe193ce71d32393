"""A folder of data files: which files are which split (docs/tasks.md has the rule)."""

import re
from collections import defaultdict
from pathlib import Path

from bt_core.data.files import is_data_file, read_rows
from bt_core.data.notes import note
from bt_core.data.split_names import SPLITS, VAL_NAMES, split_called
from bt_core.errors import DataError
from bt_core.records import Row

#: Beginnings of the names of files that may belong to a split.
BEGINNINGS = (*SPLITS, *VAL_NAMES)
#: The name of a split, and perhaps the number of a part: `train`, `train-00000-of-00002`, `train.part1`, `train_3`.
_NAME = re.compile(
    rf"({'|'.join(BEGINNINGS)})(?:[-_.]?(?:part|shard)?[-_.]?(\d+)(?:[-_.]of[-_.](\d+))?)?", re.IGNORECASE
)


def read_folder(folder: Path) -> dict[str, list[Row]]:
    """The rows of each split. Numbered parts of a split are joined in the order of their numbers.

    Raises:
        DataError: when train or test is missing, a split has files that are not numbered parts of one format, a part is
            missing, or a file is malformed.
    """
    files: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    unread = []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.stem) if path.is_file() and is_data_file(path) else None
        if match:
            files[split_called(match[1])].append((int(match[2]) if match[2] else -1, path))
        elif is_data_file(path) or path.name.lower().startswith(BEGINNINGS):
            unread.append(path.name)
    if unread:
        note(f"The data folder {folder} holds what is not read: {', '.join(unread)}.")
    for name in SPLITS:
        if name != "val" and name not in files:
            raise DataError(
                f"The data folder {folder} has no {name}.jsonl (or .csv, .tsv, .parquet, .json): add it, or give one"
                " file."
            )
    return {name: _joined(folder, name, sorted(files[name])) for name in SPLITS if name in files}


def _joined(folder: Path, split: str, files: list[tuple[int, Path]]) -> list[Row]:
    """The rows of all files of a split."""
    names = ", ".join(path.name for _, path in files)
    numbers = [number for number, _ in files]
    kinds = {(_NAME.sub(r"\1", path.stem), path.suffix) for _, path in files}
    if len(files) > 1 and (-1 in numbers or len(set(numbers)) < len(numbers) or len(kinds) > 1):
        raise DataError(
            f"The data folder {folder} has several files for the split {split} ({names}), which are not the numbered"
            " parts of one: keep one of them, or give a file instead of a folder."
        )
    totals = {int(total) for _, path in files if (match := _NAME.fullmatch(path.stem)) and (total := match[3])}
    if totals and totals != {len(files)}:
        raise DataError(
            f"The data folder {folder} has {len(files)} of the {max(totals)} parts of the split {split} ({names}): add"
            " the missing ones."
        )
    return [row for _, path in files for row in read_rows(path)]
