"""A pytest plugin: skips are counted by their reason and printed, and in CI none passes in silence."""

from collections import Counter

import pytest


def reason_of(report):
    """Why a test or a module was skipped; None where it was not, or where it was expected to fail."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


class SkipAccount:
    """`allowed` are the beginnings of reasons that pass, and other skips fail; None lets all pass."""

    def __init__(self, allowed):
        self.allowed = allowed

    def judge(self, report):
        reason = reason_of(report)
        if reason is None or self.allowed is None or reason.startswith(self.allowed):
            return report
        report.outcome = "failed"
        report.longrepr = f"Skipped, and CI must be able to run it: {reason}"
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        return self.judge((yield))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector):
        return self.judge((yield))

    def pytest_terminal_summary(self, terminalreporter):
        counts = Counter(filter(None, map(reason_of, terminalreporter.stats.get("skipped", []))))
        if counts:
            terminalreporter.section("skipped, by reason")
            for reason, count in counts.most_common():
                terminalreporter.line(f"{count:5} × {reason}")
