"""Small real pipelines for the tests of the local runner: their components write files, none is a double."""

from pathlib import Path

from kfp import compiler, dsl

IMAGE = "ghcr.io/bettertogether/tests-python:0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write(text: str, repeat: int, folder: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]) -> str:
    """Write a text into a folder."""
    import logging
    import os
    from pathlib import Path

    logging.getLogger("tiny").warning("logged")
    print("writing", text, "as", os.environ.get("TINY_VARIABLE"), flush=True)
    Path(folder.path).mkdir()
    Path(folder.path, "text.txt").write_text(text * repeat)
    metrics.log_metric("length", len(text) * repeat)
    Path(metrics.path).write_text("{}")
    return text * repeat


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def say(lines: list[str]) -> str:
    """Print lines as they are."""
    import sys

    sys.stdout.write("\n".join(lines))  # the last one has no end
    return "said"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def join(first: dsl.Input[dsl.Model], texts: list[str], stage: str, joined: dsl.Output[dsl.Dataset]) -> str:
    """Join texts that come from several tasks."""
    from pathlib import Path
    from urllib.parse import unquote

    text = "+".join(unquote(text) for text in texts)
    Path(joined.path).write_text(text + Path(first.path, "text.txt").read_text())
    return text


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def probe(module: str, found: dsl.Output[dsl.Dataset]) -> str:
    """Import a user's module and say where this task runs."""
    import importlib
    import sys
    from pathlib import Path

    from bt_core.user_code import add_user_folders

    add_user_folders()
    Path(found.path).write_text(importlib.import_module(module).GREETING)
    return f"{sys.executable}|{Path.cwd()}"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fail(how: str, stage: str, never: dsl.Output[dsl.Dataset]) -> str:
    """Fail in one of the ways that a component can fail."""
    import os
    import signal
    import sys

    from bt_core.errors import DataError, EngineError, one_sentence

    with one_sentence():
        sys.stderr.write(" 50%|█████     | 3/6")  # a progress bar, left without an end of line
        if how == "user":
            raise DataError("Row 3 has no label:\n add it.")
        if how == "world":
            raise EngineError("The engine ran out of memory.")
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == "exit":
            os._exit(7)
        raise ZeroDivisionError(how)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sleep(pid_file: str) -> str:
    """Write this process's id, and outlast any test."""
    import os
    import sys
    import time
    from pathlib import Path

    assert sys.stdin.read() == "", "nothing to read, and no waiting for it"
    Path(pid_file).write_text(str(os.getpid()))
    time.sleep(600)
    return pid_file


@dsl.pipeline(name="tiny-sleep")
def tiny_sleep(pid_file: str) -> None:
    sleep(pid_file=pid_file)


@dsl.pipeline(name="tiny-say")
def tiny_say(lines: list[str]) -> None:
    say(lines=lines)


@dsl.pipeline(name="tiny-join")
def tiny_join(text: str = "", repeat: int = -1) -> None:
    one = write(text=text, repeat=repeat)
    two = write(text="two", repeat=2).set_display_name("2.w a title")
    texts = [one.outputs["Output"], two.outputs["Output"]]
    join(first=one.outputs["folder"], texts=texts, stage="3.join")


@dsl.pipeline(name="tiny-probe")
def tiny_probe(module: str) -> None:
    probe(module=module)


@dsl.pipeline(name="tiny-fail")
def tiny_fail(how: str) -> None:
    one = write(text="before", repeat=1)
    broken = fail(how=how, stage="1.p").after(one)
    write(text="never", repeat=1).after(broken)


def compiled(pipeline: object, folder: Path) -> Path:
    """A pipeline's YAML file in the folder."""
    path = folder / "tiny.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path
