"""Import what tasks import, so that its bytecode is in the image; run while the image is built."""

from importlib import import_module

LIBRARIES = (
    "accelerate",
    "boto3.session",
    "botocore.session",
    "datasets",
    "dspy",
    "gguf",
    "kfp.dsl.executor_main",
    "mlflow.store.artifact.mlflow_artifacts_repo",
    "mlflow.tracking",
    "peft",
    "pip._internal.commands.install",
    "safetensors.torch",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.datasets",
    "torch._dynamo",
    "torch.distributed.tensor",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "typer",
)

for library in LIBRARIES:
    import_module(library)
