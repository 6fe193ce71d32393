"""The one configuration of a run: typed, every mistake named at once, importable without a heavy library.

Precedence, later wins: the defaults here, the task's own `config`, the user's file, single values given on
the command line or as pipeline parameters. `resolve_config` merges them; steps read the merged JSON.
"""

from bt_core.config.engine import EngineConfig, TeacherConfig
from bt_core.config.optimisers import GepaConfig, LoraConfig, MiproConfig, SearchConfig, TrainJobConfig, WriterConfig
from bt_core.config.reading import load_config_file, merge, read_config, resolve_config
from bt_core.config.section import PLAIN, Section, validated
from bt_core.config.settings import BootstrapConfig, Config, Decoding, RetrainConfig, Rows

__all__ = [
    "PLAIN",
    "BootstrapConfig",
    "Config",
    "Decoding",
    "EngineConfig",
    "GepaConfig",
    "LoraConfig",
    "MiproConfig",
    "RetrainConfig",
    "Rows",
    "SearchConfig",
    "Section",
    "TeacherConfig",
    "TrainJobConfig",
    "WriterConfig",
    "load_config_file",
    "merge",
    "read_config",
    "resolve_config",
    "validated",
]
