"""Takes an audit folder over, or refuses to: what run.json says while a run is at work."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.environment import libraries
from pipeline.errors import StoreError
from pipeline.models_used import ModelFile
from pipeline.run_file import TOOL
from pipeline.schema import SCHEMA_VERSION
from pipeline.settings import Settings
from pipeline.sources import Inventory
from pipeline.store import AuditStore

_MAX_LISTED = 100


def begin(
    store: AuditStore,
    inputs: list[str],
    settings: Settings,
    models: dict[str, ModelFile],
    inventory: Inventory,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Make the folder ready for a run; returns what run.json says from now on.

    Raises:
        StoreError: it holds an audit that was made differently or is damaged, or cannot be written.
    """
    if overwrite:
        store.remove_all()
    earlier = store.read_run()
    if earlier is None and store.holds_tables():
        raise StoreError(
            "the folder holds tables of an audit but no run.json that says how they were made",
            path=store.folder,
            remedy="Give another --out, or --overwrite to start anew.",
        )
    if earlier is not None and earlier.get("fingerprint") != store.fingerprint:
        raise StoreError(
            f"the folder holds an audit made differently ({_difference(earlier, settings, models)})",
            path=store.folder,
            remedy=_remedy(earlier),
        )
    store.finished_sources()  # where they cannot be read, the run ends before anything is written
    store.open()
    run = {
        "schema_version": SCHEMA_VERSION,
        "tool": TOOL,
        "tool_version": version("facemask-batch"),
        "status": "running",
        "began": earlier["began"] if earlier is not None else now_utc(),
        "continued": [*earlier.get("continued", []), now_utc()] if earlier is not None else [],
        "fingerprint": store.fingerprint,
        "settings": settings.as_dict(),
        "models": {role: model.as_dict() for role, model in models.items()},
        "inputs": inputs,
        "inputs_relative_to": str(Path.cwd()),
        "other_files": {"count": len(inventory.others), "first": inventory.others[:_MAX_LISTED]},
        "audits_left_alone": inventory.audits[:_MAX_LISTED],
        "given_more_than_once": inventory.repeated[:_MAX_LISTED],
        "host": {"python": platform.python_version(), "system": platform.platform()},
        "libraries": libraries(),
        "packages": {name: version(name) for name in ("pyarrow", "ray")},
        # Of the tables that earlier runs into this folder finished; those of this run follow at its end.
        "tables": earlier.get("tables", {}) if earlier is not None else {},
        # Pictures that are there already are not made again.
        "evidence": earlier.get("evidence") if earlier is not None else None,
    }
    store.write_run(run)
    return run


def _difference(earlier: dict[str, Any], settings: Settings, models: dict[str, ModelFile]) -> str:
    then, now = earlier.get("settings", {}), settings.as_dict(changing_rows_only=True)
    changed = [f"{name} was {then.get(name)!r}, is {now[name]!r}" for name in now if then.get(name) != now[name]]
    for role, model in models.items():
        if earlier.get("models", {}).get(role, {}).get("sha256") != model.sha256:
            changed.append(f"the {role} is another file")
    if earlier.get("tool_version") != version("facemask-batch"):
        changed.append(f"by version {earlier.get('tool_version')}, this is {version('facemask-batch')}")
    changed += [f"{name} was {was}, is {now}" for name, was, now in _changed_libraries(earlier)]
    return "; ".join(changed) or "its fingerprint is another"


def _changed_libraries(earlier: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Names and versions, then and now, of what another version can change rows of."""
    then, now = earlier.get("libraries", {}), libraries()
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return [(name, then.get(name, "not known"), now.get(name, "missing")) for name in names]


def _remedy(earlier: dict[str, Any]) -> str:
    """How to go on with an audit that was made differently."""
    same = ["the same settings"]
    tool_version = earlier.get("tool_version")
    if tool_version != version("facemask-batch"):
        same.append(f"facemask-batch {tool_version}")
    same += [f"{name} {was}" for name, was, _ in _changed_libraries(earlier)]
    with_what = same[0] if len(same) == 1 else f"{', '.join(same[:-1])} and {same[-1]}"
    return f"It goes on with {with_what}. Otherwise give another --out, or --overwrite to start anew."


def now_utc() -> str:
    """The present moment as run.json has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
