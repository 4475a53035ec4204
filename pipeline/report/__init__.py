"""Tables -> one self-contained HTML page, in English or Indonesian."""

from __future__ import annotations

from pipeline.report.page import Report, write_report

__all__ = ["Report", "write_report"]
