"""What several users of one group share: the rights that files are made with, and what is said where they lack."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bt_core.errors import ModelError, ProgramError
from bt_core.models import resolve_model
from bt_core.program import adapter_sha256

ROOT = Path(__file__).parents[3]
#: What the image's site-packages hold.
START = ROOT / "docker" / "bt_start.pth"
NOBODY = 65534
#: Fills every kind of cache with files that safetensors writes for their owner alone.
FILL = """
import sys
from pathlib import Path

import numpy
from safetensors.numpy import save_file

from bt_core.engine.base import Completion
from bt_core.engine.response_cache import ResponseStore
from bt_core.engine.training.adapter_cache import AdapterCache
from bt_core.engine.training.job import Curve
from bt_core.models.resolve import STAMP, keep
from bt_core.program import Program, write_program
from bt_core.shared_files import make_folder

folder = Path(sys.argv[1])

def saved(target, name):
    target.mkdir(parents=True, mode=0o700)
    save_file({"weight": numpy.ones(2)}, target / name)
    assert (target / name).stat().st_mode & 0o777 == 0o600
    return target

model = saved(folder / "scratch" / "model", "model.safetensors")
(model / STAMP).write_text("revision")
keep(model, make_folder(folder / "cache" / "models") / "tiny")
adapter = saved(folder / "scratch" / "adapter", "adapter_model.safetensors")
(adapter / "adapter_config.json").write_text("{}")
AdapterCache(folder / "cache").keep("key", adapter, Curve([], [], 0, 0, 0.0, 0))
ResponseStore(folder / "cache").write({"key": Completion("answer")})
write_program(Program("task", "tiny", "revision", {}), folder / "cache" / "program")
"""


def _filled(folder: Path, start: str) -> dict[str, tuple[int, bool]]:
    """Path in the caches -> rights, and whether it is a folder."""
    subprocess.run([sys.executable, "-c", start + FILL, folder], cwd=ROOT, umask=0o022, check=True)
    found = {path.relative_to(folder / "cache").as_posix(): path for path in (folder / "cache").rglob("*")}
    assert {"models/tiny/model.safetensors", "adapters/key/adapter_model.safetensors"} <= found.keys()
    assert {"responses.sqlite", "program/program.json"} <= found.keys()
    return {name: (stat.S_IMODE(path.stat().st_mode), path.is_dir()) for name, path in found.items()}


def test_in_the_image_the_group_reads_and_writes_what_is_kept(tmp_path: Path) -> None:
    as_image = f"import site; site.addpackage({str(START.parent)!r}, {START.name!r}, None)"
    filled = _filled(tmp_path, as_image)
    assert filled == {name: (0o775 if is_folder else 0o664, is_folder) for name, (_, is_folder) in filled.items()}


def test_elsewhere_the_users_umask_decides(tmp_path: Path) -> None:
    filled = _filled(tmp_path, "import os; os.umask(0o077)")
    assert filled == {name: (0o700 if is_folder else 0o600, is_folder) for name, (_, is_folder) in filled.items()}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of files that others may not read, in a place that they may enter."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    for name in ("config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"):
        (made / name).write_text("{}")
        (made / name).chmod(0o600 if name.endswith(".safetensors") else 0o644)
    (made / "lost+found").mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


@contextmanager
def _stranger() -> Iterator[None]:
    """Be another user for a while. A user's own permissions are no stand-in for it: the group's are tested."""
    if os.geteuid():
        pytest.skip("only root may become another user")  # as in CI, and nobody else can try it
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_model_that_may_not_be_read_is_not_called_missing(folder: Path) -> None:
    with _stranger(), pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    said = str(caught.value)
    assert said.startswith(f"{folder}/adapter_model.safetensors cannot be read by user {NOBODY}, permission denied: ")
    assert said.endswith(f"`chmod -R g+rwX {folder}`, or delete it.")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)
    for name in ("adapter_config.json", "adapter_model.safetensors"):  # beside a model's weights they are refused
        (folder / name).unlink()
    with _stranger():
        assert len(resolve_model(str(folder)).revision) == 64


def test_a_folder_that_may_not_be_entered_is_named(folder: Path) -> None:
    folder.chmod(0o700)
    with (
        _stranger(),
        pytest.raises(ModelError, match=rf"^{folder} cannot be read by user .* `chmod -R g\+rwX {folder}`"),
    ):
        resolve_model(str(folder))


def test_an_adapter_that_may_not_be_read_is_not_called_missing(folder: Path) -> None:
    with (
        _stranger(),
        pytest.raises(ProgramError, match=rf"^{folder}/adapter_model\.safetensors cannot be read by user"),
    ):
        adapter_sha256(folder)
