"""`w.mode: trainjob`: a training handed to Kubeflow Trainer.

The job runs torch's launcher on the entry point that several processes of one pod use too
(`bt_core.engine.training.worker`). Job and adapter pass through a folder or an S3 prefix that both pods reach.
"""

from bt_runtime.trainjob.training import TrainJobs, remote_training

__all__ = ["TrainJobs", "remote_training"]
