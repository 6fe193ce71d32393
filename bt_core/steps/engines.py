"""Which engine a configuration means, on the base model that a program was made for."""

from functools import partial

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.cache_keys import answers_identity
from bt_core.engine.response_cache import CachedEngine, ResponseStore, cache_folder
from bt_core.models import resolve_model
from bt_core.program import Program


def open_engine(program: Program, config: Config) -> Engine:
    """The engine of `load_engine`, behind the response cache where a cache folder is set.

    With a cache, the model is loaded only when the answer to a call is not in it.
    """
    folder = cache_folder()
    if folder is None:
        return load_engine(program, config)
    identity = answers_identity(program.model, program.model_revision, config.engine)
    return CachedEngine(partial(load_engine, program, config), ResponseStore(folder), identity)


def load_engine(program: Program, config: Config) -> Engine:
    """Load the base model of the program, or connect to the endpoint that serves it (`engine.kind`).

    Raises:
        BtError: when the model cannot be found or does not fit into memory, or the endpoint cannot be used.
    """
    settings = config.engine
    if settings.kind == "server" and settings.protocol == "chat":
        from bt_core.engine.remote.chat_engine import ChatEngine

        return ChatEngine(program.model, settings)
    base = resolve_model(program.model, program.model_revision)
    if settings.kind == "server":
        from bt_core.engine.remote.server_engine import ServerEngine

        return ServerEngine(base, settings)
    if settings.kind == "vllm":
        from bt_core.engine.local.vllm_engine import VllmEngine

        return VllmEngine(base, settings, settings.lora_rank or config.w.rank)
    from bt_core.engine.local.transformers_engine import TransformersEngine

    return TransformersEngine(base, settings)
