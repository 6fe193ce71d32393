"""Rows: read them from files, the hub or a task, give their columns the task's names and types, and split them.

What is read otherwise than a user may expect is said in a sentence (`notes`). Nothing is guessed: a file without types,
such as CSV, holds text, and a text becomes a number only where the task's program asks for one (`fitting`).
"""

from bt_core.data.cells import Cell, is_ambiguous, value_of_text
from bt_core.data.checking import check_json
from bt_core.data.columns import with_columns
from bt_core.data.files import SUFFIXES, read_rows
from bt_core.data.fitting import fitted
from bt_core.data.loading import Splits, load_splits
from bt_core.data.notes import collected_notes, note
from bt_core.data.own import own_address, own_rows
from bt_core.data.sources import read_source
from bt_core.data.split_names import SPLITS, Source

__all__ = [
    "SPLITS",
    "SUFFIXES",
    "Cell",
    "Source",
    "Splits",
    "check_json",
    "collected_notes",
    "fitted",
    "is_ambiguous",
    "load_splits",
    "note",
    "own_address",
    "own_rows",
    "read_rows",
    "read_source",
    "value_of_text",
    "with_columns",
]
