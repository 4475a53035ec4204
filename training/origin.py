"""How a run was started and what its model cannot do: the same in every card of the run, whenever it is written."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError

ORIGIN = "origin.json"
CARD = "card.json"


@dataclass(frozen=True)
class Origin:
    """What a run's user said of it.

    Attributes:
        command: with which the run was started; not the one that resumed it or exported its models again.
        limits: what the model cannot do.
    """

    command: str
    limits: str

    def save(self, run_folder: Path) -> None:
        """Keep it beside the run's settings."""
        (run_folder / ORIGIN).write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


def origin_of(run_folder: Path, command: str, limits: str | None) -> Origin:
    """What the cards of a run say of its origin.

    Args:
        run_folder: of the run.
        command: the present one, for a run that has kept none.
        limits: in place of those that the run has kept; None leaves them as they are.

    Raises:
        ConfigError: what the run has kept cannot be read.
    """
    # Runs of before origin.json have it in their card alone.
    path = next((run_folder / name for name in (ORIGIN, CARD) if (run_folder / name).is_file()), None)
    kept = {} if path is None else _read(path)
    return Origin(kept.get("command", command), kept.get("limits", "") if limits is None else limits)


def _read(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"not the origin of a run ({error})", path=path) from error
    if not isinstance(values, dict):
        raise ConfigError("not the origin of a run", path=path)
    return {key: str(values[key]) for key in ("command", "limits") if key in values}
