"""Options of the commands that speak to Kubeflow, and the steps that these commands share."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bt_cli.options.common import CLUSTER
from bt_cli.options.settings import gather
from bt_cluster import DEFAULT_NAME as DEFAULT_NAME
from bt_cluster.connection import CA_FILE, HOST, NAMESPACE, TOKEN, TOKEN_FILE
from bt_core.errors import ConfigError, warn
from bt_core.strategy import parse_strategy

if TYPE_CHECKING:
    from bt_cluster.api import Api
    from bt_cluster.package import Package
    from bt_cluster.pipelines import Version

_PROFILE = "What pods request from the cluster, as YAML (docs/kubeflow.md)."
#: Headings in `--help`.
COMPILING = "To compile a strategy on the way, instead of FILE"
CONNECTION = "Connection to Kubeflow"


def _connection(what: str, text: str, variable: str) -> Any:
    return typer.Option(metavar=what, help=text, show_default=f"${variable}", rich_help_panel=CONNECTION)


File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A compiled pipeline (see bt compile), instead of a --strategy.")
]
Strategy = Annotated[
    str | None,
    typer.Option(metavar="STEPS", help='Steps joined by "->" (bt run --help lists them).', rich_help_panel=COMPILING),
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help="As for bt run.",
        show_default="named by --param task=TASK",
        rich_help_panel=COMPILING,
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="As for bt run.", rich_help_panel=COMPILING)
]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for bt run.", rich_help_panel=COMPILING)
]
CompilingProfile = Annotated[
    Path | None, typer.Option("--profile", metavar="FILE", help=_PROFILE, rich_help_panel=COMPILING)
]
Profile = Annotated[Path | None, typer.Option(metavar="FILE", help=_PROFILE, rich_help_panel=CLUSTER)]
Image = Annotated[
    str,
    typer.Option(
        metavar="IMAGE",
        help="Container image of every task.",
        show_default="the profile's, or $BT_IMAGE",
        rich_help_panel=CLUSTER,
    ),
]
TrackingUri = Annotated[
    str, typer.Option(metavar="URL", help="MLflow's address as the cluster sees it.", rich_help_panel=CLUSTER)
]
Gpus = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Accelerators for each task that runs the model.", rich_help_panel=CLUSTER),
]
FreshData = Annotated[
    bool,
    typer.Option(
        "--fresh-data", help="Read the data again in every run, as scheduled runs should.", rich_help_panel=CLUSTER
    ),
]
Host = Annotated[str | None, _connection("URL", "Address of Kubeflow Pipelines.", HOST)]
Namespace = Annotated[str | None, _connection("NAME", "Namespace, on a multi-user Kubeflow.", NAMESPACE)]
CaFile = Annotated[Path | None, _connection("FILE", "Certificates to trust instead of the usual ones.", CA_FILE)]
TokenFile = Annotated[
    Path | None,
    _connection("FILE", f"File with a token; {TOKEN} may hold the token itself.", TOKEN_FILE),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run, by its id or by a name that no other run has.")]
OptionalRunName = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="Show this one's tasks, by its id or by a name that no other run has.",
        show_default="list all",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Show the run until it ends, and fail if it fails.")]
Pipeline = Annotated[str, typer.Option(metavar="NAME", help="Name of the pipeline on Kubeflow.")]
VersionName = Annotated[
    str,
    typer.Option(
        "--version",
        metavar="NAME",
        help="A version that is on Kubeflow already.",
        show_default="newest",
    ),
]
Experiment = Annotated[str, typer.Option(metavar="NAME", help="Experiment that lists the runs together.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="An argument of the pipeline; repeatable."),
]
ServiceAccount = Annotated[
    str, typer.Option(metavar="NAME", help="The account that pods run as.", show_default="Kubeflow's own")
]


@dataclass(frozen=True)
class Source:
    """The pipeline to upload: a compiled file, or a strategy that is compiled on the way.

    Attributes:
        file: the compiled file; None for a strategy, or for a version that is on Kubeflow already.
        strategy, task, config, assignments, profile: as `bt compile` takes them.
        fresh_data: whether a strategy is compiled so that every run reads its data again.
    """

    file: Path | None
    strategy: str | None
    task: str | None
    config: Path | None
    assignments: list[str] | None
    profile: Path | None
    fresh_data: bool = False

    def __post_init__(self) -> None:
        compiling = {"--task": self.task, "--config": self.config, "--set": self.assignments, "--profile": self.profile}
        given = [name for name, value in compiling.items() if value]
        if self.file and self.strategy:
            raise ConfigError("Name one of them: a compiled FILE, or a --strategy to compile.")
        if given and not self.strategy:
            raise ConfigError(
                f"{', '.join(given)} is used when a pipeline is compiled: name a --strategy too, or use `bt compile`;"
                " --param sets the arguments of a compiled pipeline."
            )

    @property
    def is_given(self) -> bool:
        return self.file is not None or self.strategy is not None

    @contextmanager
    def package(self) -> Iterator["Package"]:
        """The file to upload, while the block lasts."""
        from bt_cluster.package import read_package

        if self.file is not None:
            yield read_package(self.file)
            return
        if self.strategy is None:
            raise ConfigError("Name what to upload: a compiled FILE, or a --strategy to compile.")
        with tempfile.TemporaryDirectory(prefix="bt-") as folder:
            yield read_package(self._compile(self.strategy, Path(folder) / "pipeline.yaml"))

    def _compile(self, strategy: str, path: Path) -> Path:
        steps = parse_strategy(strategy)
        settings = gather({"task": self.task}, self.config, self.assignments)
        from bt_pipelines.better_together import Options
        from bt_pipelines.compile import compile_strategy
        from bt_pipelines.pods.profile import read_profile

        profile = read_profile(self.profile) if self.profile else None
        return compile_strategy(steps, path, Options(profile=profile, fresh_data=self.fresh_data), settings.parameters)

    def on_kubeflow(self, api: "Api", pipeline: str, version: str) -> "Version":
        """The version to run: uploaded now, or named by the options.

        Raises:
            ConfigError: when both a file or strategy and a version are named.
        """
        from bt_cluster.pipelines import find_version, upload

        if not self.is_given:
            return warned(find_version(api, pipeline, version))
        if version:
            raise ConfigError("Name one of them: a pipeline to upload, or the --version that is on Kubeflow already.")
        with self.package() as package:
            return warned(upload(api, package, pipeline))


def warned(version: "Version") -> "Version":
    """The same version, after its warnings were printed."""
    for sentence in version.warnings:
        warn(sentence)
    return version


def connect(host: str | None, namespace: str | None, ca_file: Path | None, token_file: Path | None) -> "Api":
    """A client of the Kubeflow that the options or the environment name.

    Raises:
        ConfigError: when none is named, or a file or address is not usable.
    """
    from bt_cluster.api import Api
    from bt_cluster.connection import Connection

    return Api(Connection.find(host, namespace, ca_file, token_file))


def arguments(version: "Version", assignments: list[str] | None) -> dict[str, Any]:
    """The arguments of a run of a version, read from `name=value` texts."""
    from bt_cluster.package import read_arguments

    return read_arguments(assignments or [], version.content.parameters)
