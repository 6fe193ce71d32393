"""Fresh: the rows of a retraining. Data that grows is read and split by the rules of row_roles.py."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config, merge, resolve_config
from bt_core.data import SPLITS, Splits
from bt_core.engine.base import Engine
from bt_core.program import read_program, write_program
from bt_core.records import Row, StageReport, canonical_json, sha256_text, write_jsonl
from bt_core.steps.prepare import prepare
from bt_core.steps.retrain.row_files import Chunk, read_chunks
from bt_core.steps.retrain.row_roles import SEALED, TEST, TRAIN, VAL, Ledger, row_digest
from bt_core.task import Task, load_task

#: Files in the folder of rows, for the drift report and the ledger.
NEW, EARLIER, ROLES = "new.jsonl", "earlier.jsonl", "roles.json"
#: Params of the report: the reason why the run ends here (empty when it goes on), and a digest of the data.
REASON, DATA_DIGEST = "reason", "data"
#: Name of the start in a program's lineage when that was the champion.
CHAMPION = "champion"


@dataclass(frozen=True)
class AssignedRows:
    """The rows of a retraining by their roles.

    `new` and `earlier` are the rows that may be learnt from; a concluded run has read the earlier ones. `roles` are the
    roles of all rows by digest. `unseen` counts the rows that no concluded run has read. `reason` says why there is
    nothing to do, if so.
    """

    splits: Splits
    new: list[Row]
    earlier: list[Row]
    roles: dict[str, str]
    unseen: int
    reason: str = ""


def fresh(
    overrides: Mapping[str, Any],
    ledger: Ledger,
    champion: Path | None,
    splits: Mapping[str, Path],
    program: Path,
    rows: Path,
    engine: Engine | None = None,
) -> tuple[Config, StageReport]:
    """Read the data, give every row its role, and write the splits and the program that the run starts from.

    Args:
        overrides: the user's settings; `data` names a folder, an S3 prefix or anything else that a run reads.
        ledger: the roles of rows in earlier runs.
        champion: the champion's program directory; None where there is none.
        splits: `train`, `val`, `test` -> JSONL file to write; the files are empty where the run ends here.
        program: directory for the program to optimise: the champion or the vanilla program.
        rows: folder for the files `NEW`, `EARLIER` and `ROLES`.
        engine: an engine that is loaded already; otherwise the base model is loaded if it is needed.

    Raises:
        ConfigError, TaskError, DataError, ModelError: when an input is wrong, or there is no data.
        WorldError: when S3 cannot be reached.
    """
    started = time.time()
    first = resolve_config(overrides)
    task = load_task(first.task, first.task_settings)
    config = resolve_config(task.config, overrides)
    assigned = assign_roles(task, read_chunks(task, config), ledger, config)
    rows.mkdir(parents=True, exist_ok=True)
    write_jsonl(rows / NEW, assigned.new)
    write_jsonl(rows / EARLIER, assigned.earlier)
    (rows / ROLES).write_text(canonical_json(assigned.roles), encoding="utf-8")
    config, report = _prepared(overrides, config, assigned, champion, splits, program, engine)
    digest = sha256_text(canonical_json(sorted(assigned.roles)))[:16]
    counts = {"rows/all": len(assigned.roles), "rows/new": assigned.unseen}
    counts |= {f"rows/{name}": len(assigned.splits[name]) for name in SPLITS}
    return config, replace(
        report,
        stage="fresh",
        kind="fresh",
        params=report.params | {REASON: assigned.reason, DATA_DIGEST: digest},
        metrics={name: float(count) for name, count in counts.items()},
        note=f"Stopped early: {assigned.reason}" if assigned.reason else report.note,
        started=started,
        ended=time.time(),
    )


def assign_roles(task: Task, chunks: Sequence[Chunk], ledger: Ledger, config: Config) -> AssignedRows:
    """Give every row its role and take the newest rows of each, up to `rows`."""
    rows: dict[str, tuple[str, Row]] = {}
    for name, chunk in chunks:
        for row in chunk:
            digest = row_digest(row, task.inputs)
            rows.pop(digest, None)  # of rows with the same inputs, the newest counts
            rows[digest] = (name, row)
    retire = config.retrain.retire
    roles = {
        digest: ledger.role(digest, config.rows, retired=bool(retire) and name <= retire)
        for digest, (name, _) in rows.items()
    }
    newest = list(reversed(rows))
    taken = {
        role: [digest for digest in newest if roles[digest] == role and not (role == TEST and ledger.is_spent(digest))][
            : getattr(config.rows, role)
        ]
        for role in SPLITS
    }
    compared_on = set(taken[TEST])
    new = [digest for digest in rows if ledger.is_new(digest)]
    learnable = [digest for digest in rows if roles[digest] != TEST]
    return AssignedRows(
        splits={role: [rows[digest][1] for digest in digests] for role, digests in taken.items()},
        new=[rows[digest][1] for digest in learnable if ledger.is_new(digest)],
        earlier=[rows[digest][1] for digest in learnable if not ledger.is_new(digest)],
        roles={
            digest: SEALED if role == TEST and digest not in compared_on else role for digest, role in roles.items()
        },
        unseen=len(new),
        reason=_reason(len(rows), len(new), {role: len(digests) for role, digests in taken.items()}, config),
    )


def _reason(total: int, new: int, taken: Mapping[str, int], config: Config) -> str:
    """Why there is nothing to do; empty to go on."""
    limits = config.retrain
    if not new:
        return f"nothing changed, earlier runs have seen all {total} rows."
    if new < limits.min_new:
        return f"too little is new, {new} of {total} rows and `retrain.min_new` is {limits.min_new}."
    if taken[TEST] < limits.min_test:
        return (
            f"there are {taken[TEST]} fresh sealed rows to compare on and `retrain.min_test` is {limits.min_test}"
            f" ({new} of {total} rows are new)."
        )
    empty = [role for role in (TRAIN, VAL) if not taken[role]]
    return f"no row of {total} fell into the {empty[0]} split." if empty else ""


def _prepared(
    overrides: Mapping[str, Any],
    config: Config,
    assigned: AssignedRows,
    champion: Path | None,
    splits: Mapping[str, Path],
    program: Path,
    engine: Engine | None,
) -> tuple[Config, StageReport]:
    """`prepare` on the rows of the splits, starting from the champion if the settings say so."""
    if assigned.reason:
        _write_nothing(splits, program)
        return config, StageReport("fresh", "fresh")
    goes_on = champion is not None and config.retrain.start == CHAMPION
    sizes = {role: len(rows) for role, rows in assigned.splits.items()}
    # The rows have the task's column names already.
    there = {"rows": sizes, "columns": {own: own for own in config.columns}}
    with tempfile.TemporaryDirectory() as folder:
        for role, rows in assigned.splits.items():
            write_jsonl(Path(folder, f"{role}.jsonl"), rows)
        source = {"data": folder} | ({"start": str(champion)} if goes_on else {})
        paths = splits[TRAIN], splits[VAL], splits[TEST], program
        prepared, report = prepare(merge(overrides, there, source), *paths, engine)
    if champion is not None and goes_on:
        _name_start(program, champion)
        report = replace(report, params=report.params | {"start": CHAMPION})
    return prepared.model_copy(update={name: getattr(config, name) for name in ("data", "columns", "start")}), report


def _name_start(program: Path, champion: Path) -> None:
    """Name the champion as the start in the lineage, instead of its path in this run."""
    state = read_program(program)
    start = replace(state.lineage[-1], config={"start": CHAMPION})
    adapters = {path: champion / path for path in state.adapters}
    write_program(replace(state, lineage=(*state.lineage[:-1], start)), program, adapters)


def _write_nothing(splits: Mapping[str, Path], program: Path) -> None:
    """Write empty outputs, since Kubeflow requires every output."""
    for path in splits.values():
        write_jsonl(path, [])
    program.mkdir(parents=True, exist_ok=True)
