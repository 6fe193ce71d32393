"""`bt cancel`: end a run on Kubeflow."""

from bt_cli.options import cluster
from bt_cli.view.console import stderr


def cancel(
    run: cluster.RunName,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """End a run on Kubeflow.

    Its pods are stopped; what finished tasks have written stays, and later runs find it in the cache.

    Example: bt cancel "p-w-3f9a0c1d2e4b 2026-11-26 10:00"
    """
    api = cluster.connect(host, namespace, ca_file, token_file)
    from bt_cluster import runs

    found = runs.run_of(api, runs.find_run(api, run), "")
    runs.cancel(api, found)
    stderr().print(f"The run {found.name} is being ended.", markup=False)
    print(found.link)
