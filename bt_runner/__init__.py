"""Run compiled pipelines on this machine. Three kinds of processes work together, and each module belongs to one side:

The caller (`bt`, or a program that calls `run_locally`): run, worker, containers, transcript, events.
The worker process, which runs one pipeline under `kfp.local`: worker_process, cold_tasks, warm_tasks, container_tasks.
The task server and the tasks that are forked from it: task_server, task_end.

`messages` is what the worker process and the caller have in common; `kfp_internals` serves worker process and server.
"""
