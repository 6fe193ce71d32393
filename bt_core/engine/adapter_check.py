"""Checks on an adapter before an engine loads it: its base model and its rank."""

import json

from bt_core.engine.base import EngineAdapter
from bt_core.errors import ConfigError, ProgramError
from bt_core.models import BaseModel


def check_base(adapter: EngineAdapter, base: BaseModel) -> None:
    """Refuse an adapter that was trained on another base model than the one that runs.

    Raises:
        ProgramError: when the adapter's config names another revision, or cannot be read.
    """
    config = _config(adapter)
    revision = config.get("revision")
    if revision and revision != base.revision:
        raise ProgramError(
            f"The adapter {adapter.path} was trained on {config.get('base_model_name_or_path')} (revision"
            f" {str(revision)[:12]}), but the engine runs {base.id} (revision {base.revision[:12]}): use the model that"
            " the adapter was trained on."
        )


def check_rank(adapter: EngineAdapter, max_rank: int) -> None:
    """Refuse an adapter whose rank is above the highest that the engine has room for.

    Raises:
        ConfigError: when the rank is above `max_rank`.
        ProgramError: when the adapter's config cannot be read.
    """
    rank = _config(adapter).get("r")
    if isinstance(rank, int) and rank > max_rank:
        raise ConfigError(
            f"The adapter {adapter.path} has rank {rank}, but the engine has room for rank {max_rank}: set"
            f" `engine.lora_rank` to {rank}."
        )


def _config(adapter: EngineAdapter) -> dict[str, object]:
    path = adapter.path / "adapter_config.json"
    try:
        value: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProgramError(f"{path} cannot be read ({error}): train the adapter again.") from None
    return value
