"""Fresh: the rows of a retraining. Data that grows is read and split by the rules of row_roles.py."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config, merge, resolve_config
from bt_core.data import SPLITS, Splits, collected_notes
from bt_core.engine.base import Engine
from bt_core.program import read_program, write_program
from bt_core.records import Row, StageReport, canonical_json, sha256_text, write_jsonl
from bt_core.steps.prepare import prepare
from bt_core.steps.retrain.row_files import Chunk, read_chunks
from bt_core.steps.retrain.row_roles import SEALED, TEST, TRAIN, VAL, Ledger, group_digest, row_digest
from bt_core.task import Task, load_task

#: Files in the folder of rows, for the drift report and the ledger.
NEW, EARLIER, ROLES = "new.jsonl", "earlier.jsonl", "roles.json"
#: Params of the report: the reason why the run ends here (empty when it goes on), a digest of the data, and the version
#: of the challenger in shadow that the run compares again (empty when it makes a new one).
REASON, DATA_DIGEST, IN_SHADOW = "reason", "data", "in_shadow"
#: Name of the start in a program's lineage when that was the champion.
CHAMPION = "champion"


@dataclass(frozen=True)
class AssignedRows:
    """The rows of a retraining by their roles.

    `new` and `earlier` are the rows that may be learnt from; a concluded run has read the earlier ones. `roles` are the
    roles of all rows by digest, `groups` those of groups of rows. `unseen` counts the rows that no concluded run has
    read. `reason` says why there is nothing to do, if so.
    """

    splits: Splits
    new: list[Row]
    earlier: list[Row]
    roles: dict[str, str]
    groups: dict[str, str]
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
    in_shadow: str = "",
) -> tuple[Config, StageReport]:
    """Read the data, give every row its role, and write the splits and the program that the run starts from.

    Args:
        overrides: the user's settings; `data` names a folder, an S3 prefix or anything else that a run reads.
        ledger: the roles of rows in earlier runs.
        champion: the champion's program directory; None where there is none.
        splits: `train`, `val`, `test` -> JSONL file to write; the files are empty where the run ends here.
        program: directory for the program to optimise: the champion or the vanilla program. Where a challenger is in
            shadow, the directory holds it already, and nothing is optimised.
        rows: folder for the files `NEW`, `EARLIER` and `ROLES`.
        engine: an engine that is loaded already; otherwise the base model is loaded if it is needed.
        in_shadow: the version of the challenger in shadow; empty where there is none.

    Raises:
        ConfigError, TaskError, DataError, ModelError: when an input is wrong, or there is no data.
        WorldError: when S3 cannot be reached.
    """
    started = time.time()
    task, config, chunks, notes = _read(overrides)
    assigned = assign_roles(task, chunks, ledger, config, bool(in_shadow))
    _write_rows(assigned, rows)
    if in_shadow and not assigned.reason:
        report = _compared_again(assigned, splits)
    else:
        config, report = _prepared(overrides, config, assigned, champion, splits, program, engine)
    digest = sha256_text(canonical_json(sorted(assigned.roles)))[:16]
    counts = {"rows/all": len(assigned.roles), "rows/new": assigned.unseen}
    counts |= {f"rows/{name}": len(assigned.splits[name]) for name in SPLITS}
    return config, replace(
        report,
        stage="fresh",
        kind="fresh",
        params=report.params | {REASON: assigned.reason, DATA_DIGEST: digest, IN_SHADOW: in_shadow},
        metrics={name: float(count) for name, count in counts.items()},
        note=f"Stopped early: {assigned.reason}" if assigned.reason else report.note,
        warnings=(*notes, *report.warnings),
        started=started,
        ended=time.time(),
    )


def _read(overrides: Mapping[str, Any]) -> tuple[Task, Config, list[Chunk], list[str]]:
    """The task, the merged configuration, the rows, and what was read otherwise than the user may expect."""
    first = resolve_config(overrides)
    with collected_notes() as notes:
        task = load_task(first.task, first.task_settings)
        config = resolve_config(task.config, overrides)
        return task, config, read_chunks(task, config), notes


def _write_rows(assigned: AssignedRows, folder: Path) -> None:
    """Write what the drift report and the ledger need."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / NEW, assigned.new)
    write_jsonl(folder / EARLIER, assigned.earlier)
    (folder / ROLES).write_text(canonical_json(assigned.roles | assigned.groups), encoding="utf-8")


def assign_roles(
    task: Task, chunks: Sequence[Chunk], ledger: Ledger, config: Config, in_shadow: bool = False
) -> AssignedRows:
    """Give every row its role and take the newest rows of each, up to `rows`.

    `in_shadow` says that the run learns from nothing, since it compares a challenger in shadow.
    """
    rows: dict[str, tuple[str, Row]] = {}
    for name, chunk in chunks:
        for row in chunk:
            digest = row_digest(row, task.inputs)
            rows.pop(digest, None)  # of rows with the same inputs, the newest counts
            rows[digest] = (name, row)
    groups = {digest: _group(task, row) for digest, (_, row) in rows.items()}
    for digest, group in groups.items():
        ledger.join(digest, group)
    retire = config.retrain.retire
    roles = {
        digest: ledger.role(digest, config.rows, bool(retire) and name <= retire, groups[digest])
        for digest, (name, _) in rows.items()
    }
    taken = {role: _taken(role, roles, groups, ledger)[: getattr(config.rows, role)] for role in SPLITS}
    compared_on = set(taken[TEST])
    recorded = {
        digest: SEALED if role == TEST and digest not in compared_on else role for digest, role in roles.items()
    }
    new = [digest for digest in rows if ledger.is_new(digest)]
    learnable = [digest for digest in rows if roles[digest] != TEST]
    counts = {role: len(digests) for role, digests in taken.items()}
    return AssignedRows(
        splits={role: [rows[digest][1] for digest in digests] for role, digests in taken.items()},
        new=[rows[digest][1] for digest in learnable if ledger.is_new(digest)],
        earlier=[rows[digest][1] for digest in learnable if not ledger.is_new(digest)],
        roles=recorded,
        groups=_group_roles(recorded, groups),
        unseen=len(new),
        reason=_reason(len(rows), len(new), counts, config, in_shadow),
    )


def _group(task: Task, row: Row) -> str:
    """The digest of the row's group; empty where the task has no groups."""
    name = task.group_of(row)
    return "" if name is None else group_digest(name)


def _taken(role: str, roles: dict[str, str], groups: Mapping[str, str], ledger: Ledger) -> list[str]:
    """The rows of a role that may be used in it, the newest first."""
    having = [digest for digest in reversed(roles) if roles[digest] == role]
    if role != TEST:
        return having
    # A task that is done again goes on with the rows that its run has begun to compare on, and takes no other.
    fresh = [digest for digest in having if ledger.is_fresh(digest, groups[digest])]
    return [digest for digest in fresh if digest in ledger.own_test] if ledger.own_test else fresh


def _group_roles(roles: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """The role of each group: that of its rows, or of those of its rows that restrict it most."""
    found: dict[str, set[str]] = {}
    for digest, group in groups.items():
        if group:
            found.setdefault(group, set()).add(roles[digest])
    order = (TRAIN, VAL, TEST, SEALED)
    return {group: next(role for role in order if role in own) for group, own in found.items()}


def _reason(total: int, new: int, taken: Mapping[str, int], config: Config, in_shadow: bool) -> str:
    """Why there is nothing to do; empty to go on. What is new matters only where the run makes a challenger."""
    limits = config.retrain
    if not new and not in_shadow:
        return f"nothing changed, earlier runs have seen all {total} rows."
    if new < limits.min_new and not in_shadow:
        return f"too little is new, {new} of {total} rows and `retrain.min_new` is {limits.min_new}."
    if taken[TEST] < limits.min_test:
        return (
            f"there are {taken[TEST]} fresh sealed rows to compare on and `retrain.min_test` is {limits.min_test}"
            f" ({new} of {total} rows are new)."
        )
    empty = [role for role in (TRAIN, VAL) if not taken[role] and not in_shadow]
    return f"no row of {total} fell into the {empty[0]} split." if empty else ""


def _compared_again(assigned: AssignedRows, splits: Mapping[str, Path]) -> StageReport:
    """Write the splits of a run that compares a challenger in shadow; it learns from none of them."""
    for role, path in splits.items():
        write_jsonl(path, assigned.splits[role])
    return StageReport("fresh", "fresh")


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
