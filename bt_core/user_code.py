"""Where the user's own modules are imported from, and why they never hide ours.

Nothing of the current folder is on the import path of our processes until a task is loaded: `bt` is a script in another
folder, and what it starts, it starts with `python -P`. Only then `add_user_folders` puts the user's folders there.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

#: The user's folders in a process that another of our processes has started; without it, the current folder.
TASK_PATH_VARIABLE = "BT_TASK_PATH"
#: How the names of all our packages begin, and the folder that holds them.
OUR_PREFIX, OUR_FOLDER = "bt_", Path(__file__).parents[1]


def task_path() -> str:
    """BT_TASK_PATH for a process that has to find the user's modules that this process finds.

    It holds the current folder, and then what this process's import path has beyond the interpreter's own folders.
    """
    kinds = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    of_interpreter = [Path(sysconfig.get_path(kind)) for kind in kinds]
    folders = [Path.cwd(), *(Path(entry).resolve() for entry in sys.path if Path(entry).is_dir())]
    ours = (folder for folder in folders if not any(folder.is_relative_to(other) for other in of_interpreter))
    return os.pathsep.join(dict.fromkeys(map(str, ours)))


def add_user_folders() -> None:
    """Let this process import the user's modules; to be called right before the first of them is imported.

    The user's folders come first, as the current folder does under `python -m`, so that no stray top-level package of
    an installed library (`tests`, `examples`) hides a user's package of that name. Our packages are found where they
    are installed, whatever those folders hold: this process imports many of them later than the task.
    """
    if not any(isinstance(finder, OurPackages) for finder in sys.meta_path):
        sys.meta_path.insert(0, OurPackages())
    # Taken out, since a program that the user's code starts may have another folder.
    folders = os.environ.pop(TASK_PATH_VARIABLE, str(Path.cwd())).split(os.pathsep)
    sys.path[:] = dict.fromkeys([*folders, *sys.path])


@contextmanager
def keeping_variables(prefix: str) -> Iterator[None]:
    """Undo in the end what the block does to environment variables of this prefix.

    MLflow's `set_experiment` and `set_tracking_uri`, which a user's module may call, set the variables that say where
    our tasks record.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith(prefix)}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(prefix) and name not in before]:
            del os.environ[name]
        os.environ.update(before)


class OurPackages(MetaPathFinder):
    """Finds our packages beside this one, before any folder of the import path is looked into."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package, or None where it is none of ours."""
        if path is None and fullname.startswith(OUR_PREFIX):
            return PathFinder.find_spec(fullname, [str(OUR_FOLDER)])
        return None
