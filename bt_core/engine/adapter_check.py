"""Checks on an adapter before an engine loads it: its base model and its rank."""

from bt_core.engine.base import EngineAdapter
from bt_core.errors import ConfigError, DataError, ProgramError
from bt_core.formats.adapter_config import AdapterConfig
from bt_core.models import BaseModel


def check_base(adapter: EngineAdapter, base: BaseModel) -> None:
    """Refuse an adapter that was trained on another base model than the one that runs.

    Raises:
        ProgramError: when the adapter's config names another revision, or cannot be read.
    """
    config = _config(adapter)
    revision = config.revision
    if revision and revision != base.revision:
        raise ProgramError(
            f"The adapter {adapter.path} was trained on {config.base_model_name_or_path} (revision"
            f" {revision[:12]}), but the engine runs {base.id} (revision {base.revision[:12]}): use the model that"
            " the adapter was trained on."
        )


def check_rank(adapter: EngineAdapter, max_rank: int) -> None:
    """Refuse an adapter whose rank is above the highest that the engine has room for.

    Raises:
        ConfigError: when the rank is above `max_rank`.
        ProgramError: when the adapter's config cannot be read.
    """
    rank = _config(adapter).r
    if rank > max_rank:
        raise ConfigError(
            f"The adapter {adapter.path} has rank {rank}, but the engine has room for rank {max_rank}: set"
            f" `engine.lora_rank` to {rank}."
        )


def _config(adapter: EngineAdapter) -> AdapterConfig:
    try:
        return AdapterConfig.read(adapter.path / "adapter_config.json")
    except DataError as error:
        raise ProgramError(str(error)) from None
