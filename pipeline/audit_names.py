"""The names of an audit's files. What bears none of them is somebody else's, and neither removed nor replaced."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

RUN_FILE = "run.json"
SOURCES_FILE = "sources.parquet"
FRAMES_FOLDER = "frames"
FACES_FOLDER = "faces"
# What is made of the rows when they are all there.
TRACKS_FILE = "tracks.parquet"
INCIDENTS_FILE = "incidents.parquet"
HOURS_FILE = "hours.parquet"
REPORT_FILE = "report.html"
EVIDENCE_FOLDER = "evidence"
WORK_FOLDER = ".work"

OWN_FILES = (SOURCES_FILE, TRACKS_FILE, INCIDENTS_FILE, HOURS_FILE, REPORT_FILE, RUN_FILE)
OWN_FOLDERS = (WORK_FOLDER, FRAMES_FOLDER, FACES_FOLDER, EVIDENCE_FOLDER)
TEMPORARY_SUFFIX = ".tmp"

_ID = "[0-9a-f]{16}"
_MOMENT = r"(\d+T\d{6}Z|unknown|-?\d+\.\ds)"
# Unlike `report.html` or `run.json`, which anybody may call a file.
_UNMISTAKABLE = re.compile(
    "|".join(
        (
            rf"({FRAMES_FOLDER}|{FACES_FOLDER})/camera=[^/]*/{_ID}\.parquet",
            rf"{EVIDENCE_FOLDER}/[\w.-]*_{_MOMENT}_[0-9a-f]{{8}}_f\d+_\d+(-clear)?_(face|frame)\.jpg",
            rf"{re.escape(WORK_FOLDER)}/segments/\w+/{_ID}-\d+-\d+\.parquet",
            rf"{re.escape(WORK_FOLDER)}/sources/\w+/{_ID}\.json",
            rf"{re.escape(WORK_FOLDER)}/indices/\w+/{_ID}\.index",
        )
    )
)


def is_own(name: str) -> bool:
    """Whether an audit gives this name to a file.

    Args:
        name: the path within the audit, with `/`.
    """
    return name in OWN_FILES or _UNMISTAKABLE.fullmatch(name) is not None


def is_own_temporary(name: str) -> bool:
    """Whether a file of an audit bears this name while it is written."""
    return name.endswith(TEMPORARY_SUFFIX) and is_own(name.removesuffix(TEMPORARY_SUFFIX))


def is_unmistakable(name: str) -> bool:
    """Whether only an audit gives a file this name, so that no run.json is needed to know whose it is."""
    return is_own_temporary(name) or _UNMISTAKABLE.fullmatch(name) is not None


def table_paths(folder: Path, source_id: str, camera: str) -> tuple[Path, Path]:
    """Where the frames and the faces of a source lie in an audit folder."""
    # Hive partitions percent-encode what a path cannot hold; readers decode it.
    partition = f"camera={quote(camera, safe=' ')}"
    name = f"{source_id}.parquet"
    return folder / FRAMES_FOLDER / partition / name, folder / FACES_FOLDER / partition / name
