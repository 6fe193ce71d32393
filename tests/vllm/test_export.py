"""An exported program asks a real vLLM server, started as its README.md says, and answers as `bt predict` does."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bt_core.engine.base import EngineAdapter
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.local.vllm_engine import ENVIRONMENT
from bt_core.export import Wishes, export
from bt_core.models import BaseModel
from bt_core.steps.predict import predict
from bt_tasks.continents import cities
from tests.core.export.alone import Made, serve
from tests.vllm.test_vllm import CONTEXT, wait_for

ROWS, RANK = 20, 8


def command_of(page: str) -> list[str]:
    """The words of the page's command that starts the server."""
    found = re.search(r"^(vllm serve .*?[^\\\\])\n", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return shlex.split(found[1].replace("\\\n", " "))


def test_serve_over_vllm_answers_as_predict_does(
    model: BaseModel,
    transformers_engine: TransformersEngine,
    make_adapter: Callable[[Path, int], EngineAdapter],
    tmp_path: Path,
) -> None:
    rows = [{"city": row["city"]} for row in cities()[:: len(cities()) // ROWS]][:ROWS]
    made = Made("continents", rows, decoding={"max_tokens": 10, "stop": ["\n", "."]}, without_adapter=["country"])
    program = made.write(tmp_path / "program", model, make_adapter(tmp_path / "adapter", RANK).path)
    export(program, tmp_path / "exported", Wishes(with_base=True))
    expected = [predict(program, row, engine=transformers_engine) for row in rows]

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command_of((tmp_path / "exported" / "README.md").read_text("utf-8"))
    small = ["--dtype", "float32", "--max-model-len", str(CONTEXT), "--kv-cache-memory-bytes", str(1 << 30)]
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("vllm")), *words[1:], *small, "--enforce-eager", "--port", str(port)],
        cwd=tmp_path / "exported",
        env=os.environ | ENVIRONMENT,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}", server)
        found = serve(tmp_path / "exported", rows, model.path, "--vllm", f"http://127.0.0.1:{port}/v1")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    assert found == expected
