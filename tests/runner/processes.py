"""Components that inspect the process that they run in, for the tests of warm tasks."""

from kfp import dsl

from tests.pipelines.tiny import IMAGE

#: A variable with no prefix that we know, so that a library might read it when it is imported.
EARLY = "OMP_TINY"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def describe(described: dsl.Output[dsl.Dataset]) -> str:
    """Write what a task sees of its process into a file that stays open; return the name of the parent process."""
    import json
    import logging
    import os
    import signal
    import sys
    from pathlib import Path

    import mlflow
    import torch

    main = sys.modules["__main__"]
    numbers = torch.arange(90000.0).reshape(300, 300).sin()
    seen = {
        "main": [main.__spec__.name, main.__file__],
        "argv": [*sys.argv[:2], Path(sys.argv[2]).name, sys.argv[3], *sys.argv[5:]],
        "path": [sys.path[1:], Path(sys.path[0]).is_relative_to(os.environ["TMPDIR"])],
        "variables": {name: value for name, value in os.environ.items() if "/" not in value and name != "SHLVL"},
        "names": sorted(os.environ.keys() - {"SHLVL", "_", "OLDPWD"}),
        "tracking": mlflow.get_tracking_uri(),
        "handlers": [(type(handler).__name__, handler.stream.name) for handler in logging.getLogger().handlers],
        "signals": [str(signal.getsignal(one)) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)],
        "streams": [(s.fileno(), s.encoding, s.errors, s.write_through) for s in (sys.stdout, sys.stderr)],
        "stdin": sys.stdin.read(),
        "torch": [torch.get_num_threads(), float((numbers @ numbers).sum())],
    }
    logging.getLogger("tiny").info("described")
    left_open = Path(described.path).open
    sys.left_open = left_open("w")
    sys.left_open.write(json.dumps(seen))
    return Path(f"/proc/{os.getppid()}/comm").read_text().strip()


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def draw() -> str:
    """Unseeded random numbers."""
    import random

    import numpy
    import torch

    return f"{random.random()} {numpy.random.random()} {torch.rand(1).item()}"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fork() -> str:
    """Fork a child that ends as an interpreter does, with another exit status than the task."""
    import os
    import sys

    child = os.fork()
    if child == 0:
        sys.exit(3)
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def kill_server() -> str:
    """Kill the server that this task was forked from, the parent of the process that waits for the task."""
    import os
    import signal
    from pathlib import Path

    fields = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(fields[1]), signal.SIGKILL)
    return "killed it"


@dsl.pipeline(name="tiny-describe")
def tiny_describe() -> None:
    describe().set_env_variable("MLFLOW_TRACKING_URI", "sqlite:///of-this-task.db")


@dsl.pipeline(name="tiny-early")
def tiny_early() -> None:
    describe().set_env_variable(EARLY, "1")


@dsl.pipeline(name="tiny-draw")
def tiny_draw() -> None:
    draw()
    draw()


@dsl.pipeline(name="tiny-fork")
def tiny_fork() -> None:
    fork()


@dsl.pipeline(name="tiny-orphan")
def tiny_orphan() -> None:
    before = kill_server()
    describe().after(fork().after(before))
