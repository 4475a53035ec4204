"""The configuration file: settings of a run and of single cameras, from TOML."""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.camera_names import camera_name
from pipeline.cameras import CameraRules, Hours, Zone
from pipeline.errors import ConfigError
from pipeline.report_settings import IncidentSettings, ReportSettings
from pipeline.settings import Settings
from pipeline.storage import is_url, refuse_secrets, with_plain_scheme

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SECTIONS = {"settings": Settings, "incidents": IncidentSettings, "report": ReportSettings}
# What may differ from camera to camera: how frames are chosen, what time they are of, which faces are taken.
CAMERA_SETTINGS = (
    "fps every keyframes skip_static static_threshold start_s end_s duration_s "
    "start_time time_pattern time_zone clock_offset_s "
    "detect_size tiles min_score min_face min_confidence"
).split()
_CAMERA_KEYS = ["name", "files", "zones", "ignore", "hours", *CAMERA_SETTINGS]
_LEAST_CORNERS = 3


@dataclass(frozen=True)
class CameraConfig:
    """What the file says of one camera.

    Attributes:
        name: the camera's name in all tables.
        files: patterns of its recordings' paths, or of the ends of these paths.
        settings: of CAMERA_SETTINGS those that differ.
        zones, ignore, hours: where and when faces count; see CameraRules.
    """

    name: str
    files: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    zones: tuple[Zone, ...] = ()
    ignore: tuple[Zone, ...] = ()
    hours: tuple[Hours, ...] = ()


@dataclass(frozen=True)
class AuditConfig:
    """A configuration file.

    Attributes:
        settings, incidents, report: values for the settings of these kinds; flags go before them.
        cameras: in the order of the file.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    incidents: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    cameras: tuple[CameraConfig, ...] = ()

    @property
    def camera_values(self) -> dict[str, Any]:
        """Values of `Settings.cameras` and `Settings.camera_files`."""
        return {
            "cameras": {camera.name: camera.settings for camera in self.cameras if camera.settings},
            "camera_files": {camera.name: list(camera.files) for camera in self.cameras if camera.files},
        }

    def rules(self, time_zone: str) -> dict[str, CameraRules]:
        """The rules of each camera; `time_zone` is that of cameras that have none of their own."""
        return {
            camera.name: CameraRules(
                camera.zones, camera.ignore, camera.hours, camera.settings.get("time_zone", time_zone)
            )
            for camera in self.cameras
        }


def read_config(path: str | Path) -> AuditConfig:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds an unknown key or a value that makes no sense.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the configuration cannot be read ({reason})",
            path=path,
            remedy="`facemask-batch init-config` writes one to begin with.",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is no TOML ({error})", path=path) from error
    try:
        return _parse(content)
    except ConfigError as error:
        raise ConfigError(error.cause, path=path, remedy=error.remedy) from error


def _parse(content: dict[str, Any]) -> AuditConfig:
    _check_keys(content, [*_SECTIONS, "camera"], "the file")
    sections: dict[str, dict[str, Any]] = {}
    for name, kind in _SECTIONS.items():
        values = _table(content.get(name, {}), f"[{name}]")
        known = [item.name for item in dataclasses.fields(kind) if item.metadata["has_flag"]]
        _check_keys(values, known, f"[{name}]")
        sections[name] = _typed(values, kind, f"[{name}]")
        kind(**sections[name])  # raises where values are out of bounds or exclude each other
    entries = content.get("camera", [])
    if not isinstance(entries, list):
        raise ConfigError("cameras are written as [[camera]], in double brackets")
    cameras = tuple(_camera(_table(entry, "[[camera]]")) for entry in entries)
    names = [camera.name for camera in cameras]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"the camera {repeated[0]!r} is there twice")
    config = AuditConfig(**sections, cameras=cameras)
    Settings(**config.settings, **config.camera_values)  # raises where a camera's settings make no sense
    return config


def _camera(entry: dict[str, Any]) -> CameraConfig:
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError("a [[camera]] has no name", remedy='Write name = "lobby".')
    where = f"camera {name!r}"
    if camera_name("", name, None) != name:
        raise ConfigError(f"{where}: such a name cannot be kept", remedy=f"Write {camera_name('', name, None)!r}.")
    _check_keys(entry, _CAMERA_KEYS, where)
    settings = _typed({key: value for key, value in entry.items() if key in CAMERA_SETTINGS}, Settings, where)
    return CameraConfig(
        name=name,
        files=tuple(_file_pattern(text) for text in _texts(entry.get("files", ()), f"{where}: files")),
        settings=settings,
        zones=_zones(entry.get("zones", {}), f"{where}: zones"),
        ignore=_zones(entry.get("ignore", {}), f"{where}: ignore"),
        hours=tuple(Hours.parse(text) for text in _texts(entry.get("hours", ()), f"{where}: hours")),
    )


def _zones(value: Any, where: str) -> tuple[Zone, ...]:
    return tuple(Zone(name, _corners(points, f"{where}.{name}")) for name, points in _table(value, where).items())


def _corners(value: Any, where: str) -> tuple[tuple[float, float], ...]:
    is_polygon = isinstance(value, list) and all(
        isinstance(point, list) and len(point) == 2 and all(_is_number(part) for part in point) for point in value
    )
    if not is_polygon or len(value) < _LEAST_CORNERS:
        raise ConfigError(
            f"{where} is no polygon", remedy="Write three corners or more: [[0.1, 0.2], [0.9, 0.2], [0.5, 0.8]]."
        )
    if any(not 0 <= part <= 1 for point in value for part in point):
        raise ConfigError(
            f"{where} has a corner outside of the picture",
            remedy="Corners are shares of width and height, from 0 to 1, counted from the top left.",
        )
    return tuple((float(x), float(y)) for x, y in value)


def _typed(values: dict[str, Any], kind: type[Any], where: str) -> dict[str, Any]:
    """The values as the settings want them; raises where one is of another type."""
    hints = typing.get_type_hints(kind)
    typed = {}
    for name, value in values.items():
        wanted = set(typing.get_args(hints[name])) - {types.NoneType} or {hints[name]}
        if float in wanted and _is_number(value):
            value = float(value)
        if type(value) not in wanted:
            expected = " or ".join(sorted(item.__name__ for item in wanted))
            raise ConfigError(f"{where}: {name} is {value!r}; it must be {expected}")
        typed[name] = value
    return typed


def _file_pattern(text: str) -> str:
    """Fit for run.json, and for names of sources."""
    if is_url(text):
        refuse_secrets(text)
    return with_plain_scheme(text)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{where} must be a text or a list of texts")
    return tuple(texts)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table of keys and values")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_keys(values: Iterable[str], known: list[str], where: str) -> None:
    """Raise where a key is unknown, naming the nearest one that is known."""
    for key in values:
        if key in known:
            continue
        nearest = difflib.get_close_matches(key, known, n=1)
        remedy = f"Did you mean {nearest[0]!r}?" if nearest else f"Known are: {', '.join(known)}."
        raise ConfigError(f"{where}: the key {key!r} is unknown", remedy=remedy)
