"""The tables: fixed pyarrow schemas, with their version in the file metadata."""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = "1"
_METADATA = {"schema_version": SCHEMA_VERSION}

WITH_MASK = "with_mask"
WITHOUT_MASK = "without_mask"
INCORRECT_MASK = "incorrect_mask"
INDETERMINATE = "indeterminate"
LABELS = (WITH_MASK, WITHOUT_MASK, INCORRECT_MASK)

_UTC = pa.timestamp("us", tz="UTC")

# The camera is the hive partition of frames/ and faces/ (camera=X), so no file repeats it.
FACE_FIELDS: list[pa.Field] = [
    pa.field("face_index", pa.int32(), nullable=False),
    pa.field("x1", pa.float32(), nullable=False),
    pa.field("y1", pa.float32(), nullable=False),
    pa.field("x2", pa.float32(), nullable=False),
    pa.field("y2", pa.float32(), nullable=False),
    pa.field("face_px", pa.float32(), nullable=False),
    pa.field("detection_score", pa.float32(), nullable=False),
    pa.field("p_with_mask", pa.float32()),
    pa.field("p_without_mask", pa.float32()),
    pa.field("p_incorrect_mask", pa.float32()),
    pa.field("label", pa.string(), nullable=False),
    pa.field("indeterminate_reason", pa.string()),
]
_MOMENT_FIELDS: list[pa.Field] = [
    pa.field("source", pa.string(), nullable=False),
    pa.field("frame_index", pa.int64(), nullable=False),
    pa.field("image", pa.string()),
    pa.field("pts_s", pa.float64()),
    pa.field("timestamp", _UTC),
]
# Of a frame in which nothing had changed: its faces are those of the last frame that was judged.
_CARRIED_OVER = pa.field("carried_over", pa.bool_(), nullable=False)
_FRAME_FIELDS: list[pa.Field] = [
    *_MOMENT_FIELDS[:4],
    pa.field("time_source", pa.string(), nullable=False),
    _MOMENT_FIELDS[4],
    # As shown, after rotation: the pixels that boxes are in.
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("n_faces", pa.int32(), nullable=False),
    pa.field("n_with_mask", pa.int32(), nullable=False),
    pa.field("n_without_mask", pa.int32(), nullable=False),
    pa.field("n_incorrect_mask", pa.int32(), nullable=False),
    pa.field("n_indeterminate", pa.int32(), nullable=False),
    pa.field("compliant", pa.bool_()),
    _CARRIED_OVER,
]

FRAMES = pa.schema(_FRAME_FIELDS, metadata=_METADATA)
FACES = pa.schema([*_MOMENT_FIELDS, _CARRIED_OVER, *FACE_FIELDS], metadata=_METADATA)

# What a worker hands back for one segment: its frames, each with its faces inside.
SEGMENT_ROWS = pa.schema([*_FRAME_FIELDS, pa.field("faces", pa.list_(pa.struct(FACE_FIELDS)))])

SOURCES = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("camera", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("object_version", pa.string()),
        pa.field("last_modified", _UTC),
        pa.field("container", pa.string()),
        pa.field("codec", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("duration_s", pa.float64()),
        pa.field("time_source", pa.string()),
        pa.field("start_timestamp", _UTC),
        pa.field("timestamp_source", pa.string()),
        pa.field("frames_declared", pa.int64()),
        pa.field("frames_indexed", pa.int64()),
        pa.field("frames_sampled", pa.int64()),
        pa.field("frames_decoded", pa.int64()),
        pa.field("frames_failed", pa.int64()),
        pa.field("frames_carried_over", pa.int64()),
        pa.field("n_faces", pa.int64()),
        pa.field("n_with_mask", pa.int64()),
        pa.field("n_without_mask", pa.int64()),
        pa.field("n_incorrect_mask", pa.int64()),
        pa.field("n_indeterminate", pa.int64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("duplicate_of", pa.string()),
        pa.field("file_state", pa.string()),
    ],
    metadata=_METADATA,
)

_BOX_FIELDS: list[pa.Field] = [FACE_FIELDS[place] for place in range(5)]

# One row a person. Times are of the faces that count (inside zones and hours); `*_s` columns of labels are the
# time that the person's faces with this label stand for.
TRACKS = pa.schema(
    [
        pa.field("track", pa.int64(), nullable=False),
        pa.field("camera", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("start_pts_s", pa.float64()),
        pa.field("end_source", pa.string(), nullable=False),
        pa.field("end_pts_s", pa.float64()),
        pa.field("start_timestamp", _UTC),
        pa.field("end_timestamp", _UTC),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("n_counted", pa.int32(), nullable=False),
        pa.field("n_with_mask", pa.int32(), nullable=False),
        pa.field("n_without_mask", pa.int32(), nullable=False),
        pa.field("n_incorrect_mask", pa.int32(), nullable=False),
        pa.field("n_indeterminate", pa.int32(), nullable=False),
        pa.field("with_mask_s", pa.float64(), nullable=False),
        pa.field("without_mask_s", pa.float64(), nullable=False),
        pa.field("incorrect_mask_s", pa.float64(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("indeterminate_reason", pa.string()),
        pa.field("confidence", pa.float32()),
        pa.field("n_incidents", pa.int32(), nullable=False),
    ],
    metadata=_METADATA,
)

# One row a stretch of time in which a person breaks the rule. `best_*`, the box and the pictures are of the face
# that shows it best.
INCIDENTS = pa.schema(
    [
        pa.field("incident", pa.int64(), nullable=False),
        pa.field("camera", pa.string(), nullable=False),
        pa.field("track", pa.int64(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start_pts_s", pa.float64()),
        pa.field("end_source", pa.string(), nullable=False),
        pa.field("end_pts_s", pa.float64()),
        pa.field("start_timestamp", _UTC),
        pa.field("end_timestamp", _UTC),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("represented_s", pa.float64(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("n_judged", pa.int32(), nullable=False),
        pa.field("best_source", pa.string(), nullable=False),
        pa.field("best_source_id", pa.string(), nullable=False),
        pa.field("best_source_sha256", pa.string()),
        pa.field("best_frame_index", pa.int64(), nullable=False),
        pa.field("best_image", pa.string()),
        pa.field("best_pts_s", pa.float64()),
        pa.field("best_timestamp", _UTC),
        pa.field("best_probability", pa.float32(), nullable=False),
        *_BOX_FIELDS,
        pa.field("thumbnail", pa.string()),
        pa.field("thumbnail_sha256", pa.string()),
        pa.field("frame_picture", pa.string()),
        pa.field("frame_picture_sha256", pa.string()),
    ],
    metadata=_METADATA,
)

# One row a camera and hour of its own clock; `hour` is null for footage whose time is unknown. Persons and
# incidents count in the hour in which they begin.
HOURS = pa.schema(
    [
        pa.field("camera", pa.string(), nullable=False),
        pa.field("hour", _UTC),
        pa.field("frames_judged", pa.int64(), nullable=False),
        pa.field("faces_with_mask", pa.int64(), nullable=False),
        pa.field("faces_without_mask", pa.int64(), nullable=False),
        pa.field("faces_incorrect_mask", pa.int64(), nullable=False),
        pa.field("faces_indeterminate", pa.int64(), nullable=False),
        pa.field("faces_not_counted", pa.int64(), nullable=False),
        pa.field("persons_with_mask", pa.int64(), nullable=False),
        pa.field("persons_without_mask", pa.int64(), nullable=False),
        pa.field("persons_incorrect_mask", pa.int64(), nullable=False),
        pa.field("persons_indeterminate", pa.int64(), nullable=False),
        pa.field("incidents", pa.int64(), nullable=False),
    ],
    metadata=_METADATA,
)
