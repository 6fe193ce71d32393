"""The parts of a model that engines read without its weights."""

import json
import shutil
from pathlib import Path

from bt_core.config import EngineConfig
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.models import resolve_model


def test_answers_end_at_the_same_tokens_on_every_engine(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").unlink()
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": [2, 17]}))
    model = resolve_model(str(tmp_path / "model"))
    read = Vocabulary.load(model)
    assert 17 in read.ends
    assert read.ends == TransformersEngine(model, EngineConfig(device="cpu")).vocabulary.ends
