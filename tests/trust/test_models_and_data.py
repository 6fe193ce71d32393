"""Neither a model's folder nor a data set brings code with it, and a data set consists of files of its own."""

import json
import shutil
from pathlib import Path

import pytest

from bt_core.config import EngineConfig
from bt_core.data import read_source
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.errors import BtError, DataError
from bt_core.models import resolve_model


def test_a_models_own_code_is_not_run_and_not_asked_about(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "y")
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": own}))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    changed = tokenizer | {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": own["AutoTokenizer"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(changed))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    model = resolve_model(str(folder))
    with pytest.raises(BtError):
        TransformersEngine(model, EngineConfig(device="cpu"))
    with pytest.raises(BtError):
        Vocabulary.load(model)
    assert asked == []
    assert not (tmp_path / "ran").exists()


def test_a_data_set_brings_no_loading_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for name in ("evil", "evil/evil.py"):
        with pytest.raises(DataError):
            read_source(f"hub:{tmp_path / name}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["{outside}/private.jsonl", "../private.jsonl"])
def test_a_data_set_reads_no_other_file_of_this_machine(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (tmp_path / "private.jsonl").write_text('{"question": "a secret"}\n')
    (folder / "train.jsonl").write_text('{"question": "its own"}\n')
    assert read_source(f"hub:{folder}") == {"train": [{"question": "its own"}]}
    named = path.format(outside=tmp_path)
    files = f"  data_files:\n  - split: train\n    path: {named}\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n{files}---\n")
    with pytest.raises(DataError, match=r"private\.jsonl, which is none of its own"):
        read_source(f"hub:{folder}")
