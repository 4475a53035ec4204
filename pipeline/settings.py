"""One dataclass of settings: flags, configuration file and documentation all follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from pipeline.camera_names import camera_pattern
from pipeline.clock import compile_time_pattern, parse_moment, zone
from pipeline.errors import ConfigError

_MAX_CLOCK_OFFSET_S = 3_000_000_000  # 95 years: a clock that began with 1970 can be put right


def option(
    default: Any,
    help: str,
    *,
    changes_rows: bool = True,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    group: str,
) -> Any:
    """A settings field with what a flag and a manual need to know about it.

    `changes_rows` says whether another value gives other rows: only such settings decide whether an audit that
    was interrupted can be continued.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "changes_rows": changes_rows,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "group": group,
            "has_flag": True,
        },
    )


def _no_flag(help: str) -> dict[str, Any]:
    """What is said of a setting that only a configuration file can give."""
    about = {"help": help, "changes_rows": True, "minimum": None, "maximum": None, "choices": None}
    return {**about, "group": "", "has_flag": False}


@dataclass(frozen=True)
class Settings:
    """Everything that a run can be told. Times are seconds, sizes are pixels of the source frame."""

    fps: float | None = option(
        None,
        "Judge the frame on display at every 1/FPS seconds; right for variable frame rates.",
        minimum=1e-4,
        group="Sampling",
    )
    every: int = option(1, "Judge every N-th frame.", minimum=1, group="Sampling")
    keyframes: bool = option(False, "Judge key frames only; decodes nothing else.", group="Sampling")
    skip_static: bool = option(
        False,
        "Carry results over to frames in which nothing has changed since the last one judged, up to the next key "
        "frame; such rows are marked. Faster on quiet footage.",
        group="Sampling",
    )
    static_threshold: float = option(
        4.0,
        "With skipping: least change of a small block's brightness that counts, of 255 grey levels.",
        minimum=0,
        maximum=255,
        group="Sampling",
    )
    start_s: float | None = option(None, "Begin this far into each recording.", minimum=0, group="Sampling")
    end_s: float | None = option(None, "End this far into each recording.", minimum=0, group="Sampling")
    duration_s: float | None = option(
        None, "Judge this much of each recording; not together with an end.", minimum=0, group="Sampling"
    )

    camera_from: str | None = option(
        None,
        "Regular expression for the camera's name in a source's path: its group 'camera', or its first group. "
        "Without it the name is that of the folder.",
        group="Inputs",
    )
    start_time: str | None = option(None, "Wall-clock start of every recording given, ISO 8601.", group="Inputs")
    time_pattern: str | None = option(
        None,
        "Regular expression with groups year, month, day, hour, minute, second (and perhaps microsecond) for "
        "the start time in a file name; without it the common recorder forms are tried.",
        group="Inputs",
    )
    time_zone: str = option("UTC", "IANA time zone of clock times in file names and of --start-time.", group="Inputs")

    clock_offset_s: float = option(
        0.0,
        "Seconds to add to times that the recorder has told, where its clock is known to be wrong.",
        minimum=-_MAX_CLOCK_OFFSET_S,
        maximum=_MAX_CLOCK_OFFSET_S,
        group="Inputs",
    )

    hash_remote: bool = option(
        False,
        "Read remote files whole to record their SHA-256; without it they are known by what their store says of "
        "them (ETag, version, size).",
        group="Inputs",
    )

    detector: str = option(
        "default",
        "Face detector: a bundled model's name, a .tflite, or a YuNet .onnx.",
        changes_rows=False,  # what the file holds does, and its sha256 is compared
        group="Detection",
    )
    detect_size: int | None = option(
        None,
        "Longer side to which a frame is reduced for detection; never enlarged. Default: the detector's own.",
        minimum=64,
        maximum=8192,
        group="Detection",
    )
    tiles: bool = option(
        False,
        "Look for small faces in overlapping tiles of full resolution too, each as large as the detector's input; "
        "for frames much larger than that.",
        group="Detection",
    )
    min_score: float | None = option(
        None,
        "Least detection score of a face. Default: the detector's own.",
        minimum=0,
        maximum=1,
        group="Detection",
    )
    min_face: int = option(
        0, "Faces whose longer side is below this many pixels are left out.", minimum=0, group="Detection"
    )

    classifier: str = option(
        "accurate",
        "Mask classifier: a bundled model's name or a .tflite.",
        changes_rows=False,  # what the file holds does, and its sha256 is compared
        group="Classification",
    )
    batch_size: int = option(
        16,
        "Faces classified at a time; changes speed and memory, never results.",
        changes_rows=False,
        minimum=1,
        maximum=1024,
        group="Classification",
    )
    min_confidence: float | None = option(
        None,
        "Below this probability a face is indeterminate. Default: the classifier's own.",
        minimum=0,
        maximum=1,
        group="Classification",
    )

    workers: int | None = option(
        None,
        "Worker processes. Default: as many as there are cores for, on a cluster at any time.",
        changes_rows=False,
        minimum=1,
        group="Workers",
    )
    address: str | None = option(
        None, "Ray cluster to join, such as 'auto' or host:port.", changes_rows=False, group="Workers"
    )
    cpus_per_worker: int = option(
        1,
        "Cores that a worker takes and its models use; changes speed, never results.",
        changes_rows=False,
        minimum=1,
        group="Workers",
    )
    memory_per_worker: int | None = option(
        None,
        "MiB that a worker is reckoned with when workers are spread over machines; it may take more.",
        changes_rows=False,
        minimum=64,
        group="Workers",
    )
    segment_s: float = option(
        30.0,
        "Aimed length of the stretch that one worker takes at a time.",
        changes_rows=False,
        minimum=0.1,
        group="Workers",
    )
    attempts: int = option(
        3,
        "How often a stretch is tried whose worker dies or hangs.",
        changes_rows=False,
        minimum=1,
        group="Workers",
    )
    stall_timeout_s: float = option(
        120.0,
        "A worker that shows no progress for this long is ended.",
        changes_rows=False,
        minimum=1,
        group="Workers",
    )
    memory_limit: int | None = option(
        None,
        "MiB that a worker may allocate for models and frames; what needs more fails, and nothing else does.",
        changes_rows=False,
        minimum=64,
        group="Workers",
    )

    cameras: dict[str, dict[str, Any]] = field(
        default_factory=dict, metadata=_no_flag("Settings of single cameras that differ, by camera.")
    )
    camera_files: dict[str, list[str]] = field(
        default_factory=dict, metadata=_no_flag("Patterns of the files of a camera, by camera.")
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        for camera in self.cameras:
            self.for_camera(camera)  # raises where the two together make no sense
        # These raise where a text is none of its kind: one mistake of the user, not one failure of every source.
        zone(self.time_zone)
        if self.start_time is not None:
            parse_moment(self.start_time, self.time_zone)
        compile_time_pattern(self.time_pattern)
        camera_pattern(self.camera_from)
        chosen = [
            name
            for name, on in (
                ("fps", self.fps is not None),
                ("every", self.every != 1),
                ("keyframes", self.keyframes),
            )
            if on
        ]
        if len(chosen) > 1:
            raise ConfigError(f"{' and '.join(chosen)} exclude each other", remedy="Give one of them.")
        if self.end_s is not None and self.duration_s is not None:
            raise ConfigError("an end and a duration exclude each other", remedy="Give one of them.")
        start_s, end_s = self.time_range_s
        if end_s is not None and end_s <= start_s:
            raise ConfigError(f"the range from {start_s} s to {end_s} s is empty")

    def for_camera(self, camera: str) -> Settings:
        """The settings that hold for the sources of a camera."""
        own = dict(self.cameras.get(camera, {}))
        if {"fps", "every", "keyframes"} & own.keys():  # one way to choose frames replaces another
            own = {"fps": None, "every": 1, "keyframes": False, **own}
        return dataclasses.replace(self, cameras={}, **own)

    @property
    def time_range_s(self) -> tuple[float, float | None]:
        """Start and end within each recording; the end is exclusive, None for the recording's own."""
        start_s = self.start_s or 0.0
        if self.duration_s is not None:
            return start_s, start_s + self.duration_s
        return start_s, self.end_s

    def as_dict(self, *, changing_rows_only: bool = False) -> dict[str, Any]:
        """Names and values, of all settings or of those that decide what the rows are."""
        return {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.metadata["changes_rows"] or not changing_rows_only
        }


def check_bounds(settings: Any) -> None:
    """Raise ConfigError where a field of a settings dataclass is outside the bounds that `option` gave it."""
    for item in dataclasses.fields(settings):
        value, minimum, maximum = getattr(settings, item.name), item.metadata["minimum"], item.metadata["maximum"]
        if value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{item.name} is {value}; it must be a finite number")
        choices = item.metadata["choices"]
        if choices is not None and value not in choices:
            raise ConfigError(f"{item.name} is {value!r}; it must be one of {', '.join(choices)}")
        if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
            bounds = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
            raise ConfigError(f"{item.name} is {value}; it must be {bounds}")


def fingerprint(settings: Settings, model_sha256: dict[str, str], libraries: Mapping[str, str]) -> str:
    """A short name for what decides the rows, 16 hexadecimal digits.

    Args:
        settings: of the run.
        model_sha256: of each model file, by role.
        libraries: versions of what decodes and computes, by name.
    """
    decisive = {
        "settings": settings.as_dict(changing_rows_only=True),
        "models": model_sha256,
        "tool_version": version("facemask-batch"),
        "libraries": dict(libraries),
    }
    text = json.dumps(decisive, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
