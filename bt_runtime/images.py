"""The container image that every component runs in.

The tag is part of Kubeflow's cache key: a new image means new results. Keep "python" in the name, or else the local
runner prints a warning for every task.
"""

import os

#: The environment variable that names the image where a pipeline is compiled; the pipeline sets it in every pod.
IMAGE_VARIABLE = "BT_IMAGE"
DEFAULT_IMAGE = "ghcr.io/bettertogether/bettertogether-python:0.1.0-cpu"

#: Read once, when the components are imported; `bt_pipelines.better_together.Options.image` overrides it per pipeline.
IMAGE = os.environ.get(IMAGE_VARIABLE) or DEFAULT_IMAGE
