"""Long recordings, made by repeating the packets of a short one; nothing is encoded again."""

from __future__ import annotations

from pathlib import Path

import av


def repeat(source: Path, target: Path, times: int, options: dict[str, str] | None = None) -> Path:
    """Write the recording `times` times in a row into one file, whose suffix chooses the container."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in reader.demux(stream) if p.size]
        length = max(pts for pts, *_ in packets) + max(stream.duration - max(pts for pts, *_ in packets), 1)
        for offset in range(0, times * length, length):
            for pts, dts, is_key, data in packets:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.is_keyframe = pts + offset, dts + offset, is_key
                packet.stream, packet.time_base = copy, stream.time_base
                writer.mux(packet)
    return target
