"""An audit's tables -> report.html."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from pipeline.audit_folder import AuditFolder
from pipeline.audit_names import REPORT_FILE
from pipeline.cameras import CameraRules, rules_of_run
from pipeline.errors import StoreError
from pipeline.incidents.chains import Record, end_of
from pipeline.report.charts import MAX_HEAT_CAMERAS, MAX_TIMELINES, day_bars, heat_rows, timelines
from pipeline.report.coverage import coverage
from pipeline.report.figures import sum_up
from pipeline.report.language import Language
from pipeline.report.listing import listing
from pipeline.writing import atomic_file

# Rows of the tables in the page; what is beyond them is in the audit's own tables.
_MAX_CAMERAS = 1_000
_MAX_GAPS = 20
_MAX_SOURCES = 200
# Control and format characters (escape sequences, reversed writing) and lone surrogates.
_UNSEEN = {"Cc", "Cf", "Cs"}
_TIMELINE_COLUMNS = ["source", "end_source", "label", "start_pts_s", "end_pts_s"]


@dataclass(frozen=True)
class Report:
    """Where a report is, and how large."""

    path: Path | str
    size_bytes: int


def write_report(folder: str | Path, language: str | None = None, out: str | Path | None = None) -> Report:
    """Write the report of an audit as one HTML file that needs nothing else.

    Args:
        folder: the audit folder, with its incidents found.
        language: `en` or `id`; that of the audit otherwise.
        out: where to; report.html in the folder otherwise.

    Raises:
        StoreError: there is no audit in the folder, its incidents were not found yet, or the file cannot be written
            or would replace a recording.
        ConfigError: there is no such language.
    """
    audit = AuditFolder(folder)
    path = Path(out) if out is not None else audit.folder / REPORT_FILE
    if out is not None:
        audit.refuse_inputs(path)
    content = _render(audit, Language.load(language or audit.language)).encode()
    try:
        with atomic_file(path) as file:
            file.write(content)
    except OSError as error:
        raise StoreError(
            f"the report cannot be written ({error.strerror})",
            path=path,
            remedy="Name a file in a folder that is there and writable.",
        ) from error
    return Report(path, len(content))


def _visible(value: Any) -> Any:
    """Text without characters that cannot be seen but turn or cut what stands around them, as file names may."""
    if not isinstance(value, str) or isinstance(value, markupsafe.Markup):
        return value
    return "".join(
        character if character in "\t\n" or unicodedata.category(character) not in _UNSEEN else repr(character)[1:-1]
        for character in value
    )


def _render(audit: AuditFolder, language: Language) -> str:
    records, incidents, rules_of = audit.sources(), audit.incidents(), rules_of_run(audit.run)
    figures, covered = sum_up(audit.hours(), rules_of), coverage(records, audit.settings.for_camera)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        written_moment=language.written_moment,
        number=language.number,
        percent=language.percent,
        duration=language.duration,
        moment=language.moment,
    )
    environment.globals.update(t=language.text, language=language)
    named_rules = {camera: rules_of(camera) for camera in audit.run.get("cameras", {})}
    return environment.get_template("report.html.j2").render(
        run=audit.run,
        made=datetime.now(timezone.utc),
        period=_period(records, rules_of, language),
        figures=figures,
        n_cameras=len({record["camera"] for record in records}),
        coverage=covered,
        cameras=figures.by_camera[:_MAX_CAMERAS],
        zone_of=lambda camera: rules_of(camera).time_zone,
        heat=heat_rows(figures),
        max_heat_cameras=MAX_HEAT_CAMERAS,
        days=day_bars(figures),
        timelines=timelines(records, incidents.select(_TIMELINE_COLUMNS).to_pylist()),
        max_timelines=MAX_TIMELINES,
        n_recordings=sum(1 for record in records if record["kind"] == "video" and record["frames_decoded"]),
        gaps=covered.gaps[:_MAX_GAPS],
        incomplete=covered.incomplete[:_MAX_SOURCES],
        sources=records[:_MAX_SOURCES],
        sampling=_sampling(audit.run),
        rules=named_rules,
        listing=listing(incidents, audit.folder, rules_of),
        script_texts={
            key: language.texts[key]
            for key in language.texts
            if key.startswith("js_") or key in ("percent_sign", "seconds_unit")
        },
    )


def _period(records: list[Record], rules_of: Callable[[str], CameraRules], language: Language) -> str:
    """From the first recording's start to the last one's end, where clock times are known."""
    starts = [record["start_timestamp"] for record in records if record["start_timestamp"] is not None]
    if not starts:
        return language.text("period_unknown")
    zones = sorted({rules_of(record["camera"]).time_zone for record in records})
    zone = zones[0] if len(zones) == 1 else "UTC"
    end = max(end_of(record) or record["start_timestamp"] for record in records if record["start_timestamp"])
    return language.text(
        "period", start=language.moment(min(starts), zone), end=language.moment(end, zone), zone=zone
    )


def _sampling(run: dict[str, Any]) -> dict[str, Any]:
    """How frames were chosen, in the words of the settings."""
    settings = run.get("settings", {})
    return {
        "fps": settings.get("fps"),
        "every": settings.get("every", 1),
        "keyframes": settings.get("keyframes", False),
        "skip_static": settings.get("skip_static", False),
        "cameras": sorted(settings.get("cameras", {})),
    }
