"""Run compiled pipelines on this machine. Three kinds of processes work together, and each module belongs to one side:

The caller (`bt`, or a program that calls `run_locally`): run, worker, containers, transcript, events.
The worker process, which runs one pipeline under `kfp.local`: worker_process, cold_tasks, warm_tasks, container_tasks,
ends.ending; and the guard above it, which ends whatever is left of the run: ends.guard, ends.processes.
The task server and the processes that are forked from it, tasks and a recorder of the end: task_server, task_end,
ends.recorder.

`messages` is what the worker process and the caller have in common; `kfp_internals` serves worker process and server.
"""
