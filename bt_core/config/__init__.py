"""The configuration of a run: typed, with all mistakes named at once, importable without a heavy library.

The later one wins: the defaults here, the task's own `config`, the user's file, single values from the command line
or from pipeline parameters. `resolve_config` merges them; steps read the merged JSON.
"""

from bt_core.config.engine import EngineConfig, TeacherConfig
from bt_core.config.optimisers.gepa_search import GepaConfig
from bt_core.config.optimisers.lora_finetune import LoraConfig
from bt_core.config.optimisers.mipro_search import MiproConfig
from bt_core.config.optimisers.prompt_search import SearchConfig
from bt_core.config.optimisers.writer import WriterConfig
from bt_core.config.reading import load_config_file, merge, read_config, resolve_config
from bt_core.config.registry import built_in_kinds, config_model, step_kinds
from bt_core.config.section import PLAIN, Address, EndpointAddress, KeyVariable, Section, validated
from bt_core.config.settings import SEED_LIMIT, BootstrapConfig, Config, Decoding, RetrainConfig, Rows
from bt_core.config.step_kind import StepKind
from bt_core.config.trainjob import TrainJobConfig

__all__ = [
    "PLAIN",
    "SEED_LIMIT",
    "Address",
    "BootstrapConfig",
    "Config",
    "Decoding",
    "EndpointAddress",
    "EngineConfig",
    "GepaConfig",
    "KeyVariable",
    "LoraConfig",
    "MiproConfig",
    "RetrainConfig",
    "Rows",
    "SearchConfig",
    "Section",
    "StepKind",
    "TeacherConfig",
    "TrainJobConfig",
    "WriterConfig",
    "built_in_kinds",
    "config_model",
    "load_config_file",
    "merge",
    "read_config",
    "resolve_config",
    "step_kinds",
    "validated",
]
