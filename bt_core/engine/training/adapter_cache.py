"""The cache of trained adapters: a folder for each, named by the key of its training.

An entry has the PEFT files and `curve.json`. It appears whole or not at all, and is never changed.
"""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from bt_core.engine.training.job import Curve
from bt_core.errors import warn
from bt_core.formats.document import Count, Document
from bt_core.program import adapter_sha256
from bt_core.shared_files import share

CURVE_FILE = "curve.json"


class CurveFile(Document):
    """`curve.json`: the curve of the training (`Curve`), and the sha256 of the adapter that it belongs to."""

    remedy: ClassVar[str] = "the adapter is trained again"

    loss: tuple[tuple[Count, float], ...]
    val_loss: tuple[tuple[Count, float], ...]
    best_epoch: Count
    tokens: Count
    seconds: float
    micro_batch: Count
    adapter_sha256: str


class AdapterCache:
    """Trained adapters by `cache_keys.training_key`; several processes may use one folder at once.

    A failing cache never ends a run: where an entry cannot be used, a warning says so and the adapter is trained again.

    Args:
        folder: the folder of both caches; None: nothing is kept and nothing is found.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder / "adapters" if folder else None

    def restore(self, key: str, target: Path) -> Curve | None:
        """Copy the adapter's files to `target` and return its curve; None where there is no entry, or a damaged one."""
        entry = self.folder / key if self.folder else None
        if entry is None or not entry.is_dir():
            return None
        try:
            shutil.copytree(entry, target, dirs_exist_ok=True)
            return _read_curve(target)  # the copy is checked: another process may replace the entry meanwhile
        except (FileNotFoundError, ValueError) as error:
            shutil.rmtree(entry, ignore_errors=True)
            warn(f"The cached adapter {entry} was damaged ({error}): training it again.")
        except OSError as error:
            warn(f"The cached adapter {entry} cannot be read ({error}): training it again.")
        shutil.rmtree(target, ignore_errors=True)
        return None

    def keep(self, key: str, source: Path, curve: Curve) -> None:
        """Keep the PEFT files in `source`; where another process was faster, its entry stays."""
        if self.folder is None:
            return
        entry = self.folder / key
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".partial-") as scratch:
                whole = Path(shutil.copytree(source, Path(scratch) / key))
                _write_curve(curve, whole)
                share(whole)
                whole.rename(entry)
        except OSError as error:
            if not entry.is_dir():
                warn(f"The adapter cannot be kept in the cache {self.folder} ({error}): check disk and rights.")


def _write_curve(curve: Curve, folder: Path) -> None:
    record = asdict(curve) | {"adapter_sha256": adapter_sha256(folder)}
    del record["cached"]
    (folder / CURVE_FILE).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_curve(folder: Path) -> Curve:
    """Read back what `_write_curve` wrote.

    Raises:
        FileNotFoundError, ValueError: when a file is missing or is not what it was.
    """
    record = CurveFile.read(folder / CURVE_FILE)
    expected, actual = record.adapter_sha256, adapter_sha256(folder)
    if actual != expected:
        raise ValueError(f"its sha256 is {actual[:12]}, but was {expected[:12]} when it was kept")
    return Curve(
        list(record.loss),
        list(record.val_loss),
        record.best_epoch,
        record.tokens,
        record.seconds,
        record.micro_batch,
        cached=True,
    )
