"""Cards and events to one self-contained HTML page."""

from tamis.report.page import build_report

__all__ = ["build_report"]
