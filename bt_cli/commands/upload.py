"""`bt upload`: put a pipeline version on Kubeflow."""

from bt_cli.options import cluster
from bt_cli.view.console import stderr


def upload(
    file: cluster.File = None,
    strategy: cluster.Strategy = None,
    task: cluster.Task = None,
    config: cluster.ConfigFile = None,
    assignments: cluster.Assignments = None,
    profile: cluster.CompilingProfile = None,
    pipeline: cluster.Pipeline = cluster.DEFAULT_NAME,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """Put a pipeline on Kubeflow as a new version.

    Uploads a compiled file, or a strategy that is compiled on the way. The same content is uploaded only once.

    Examples:
      bt upload pipeline.yaml
      bt upload --strategy "p -> w" --task triage:task --pipeline triage
    """
    source = cluster.Source(file, strategy, task, config, assignments, profile)
    api = cluster.connect(host, namespace, ca_file, token_file)
    from bt_cluster import pipelines

    with source.package() as package:
        version = cluster.warned(pipelines.upload(api, package, pipeline))
    named = f"{version.name} of the pipeline {pipeline}"
    done = f"Uploaded {named}." if version.is_new else f"{named} is there already, with this very content."
    stderr().print(done, markup=False)
    print(api.connection.version_link(version.pipeline_id, version.version_id))
