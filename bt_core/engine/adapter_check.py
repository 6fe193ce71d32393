"""What can be said about an adapter before an engine loads it: whose it is, and how large."""

import json

from bt_core.engine.base import EngineAdapter
from bt_core.errors import ConfigError, ProgramError
from bt_core.models import BaseModel


def check_base(adapter: EngineAdapter, base: BaseModel) -> None:
    """Refuse an adapter that names another base model than the one that runs.

    Raises:
        ProgramError: when its config names another revision, or cannot be read.
    """
    config = _config(adapter)
    revision = config.get("revision")
    if revision and revision != base.revision:
        raise ProgramError(
            f"The adapter {adapter.path} was trained on {config.get('base_model_name_or_path')} (revision"
            f" {str(revision)[:12]}), but the engine runs {base.id} (revision {base.revision[:12]}): use the model that"
            " the adapter was trained on."
        )


def check_rank(adapter: EngineAdapter, most: int) -> None:
    """Refuse an adapter that is larger than what the engine made room for.

    Raises:
        ConfigError: when its rank is above `most`.
        ProgramError: when its config cannot be read.
    """
    rank = _config(adapter).get("r")
    if isinstance(rank, int) and rank > most:
        raise ConfigError(
            f"The adapter {adapter.path} has rank {rank}, but the engine has room for rank {most}: set"
            f" `engine.lora_rank` to {rank}."
        )


def _config(adapter: EngineAdapter) -> dict[str, object]:
    path = adapter.path / "adapter_config.json"
    try:
        value: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProgramError(f"{path} cannot be read ({error}): make the adapter again.") from None
    return value
