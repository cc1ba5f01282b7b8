"""The report: one self-contained HTML page, made from cards and events."""

from tamis.report.page import build_report

__all__ = ["build_report"]
