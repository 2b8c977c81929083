"""Importers: other people's logs, counts and metrics become traffic traces, and say what they repaired."""

from scenarios.importers.interval_counts import CountOptions, import_counts
from scenarios.importers.report import ImportReport
from scenarios.importers.request_rows import RequestOptions, import_requests

__all__ = ["CountOptions", "ImportReport", "RequestOptions", "import_counts", "import_requests"]
