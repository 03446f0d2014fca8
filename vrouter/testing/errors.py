"""What a lab complains about."""

from __future__ import annotations


class LabError(AssertionError):
    """The network did not do what the test needed: it never became idle, a task waits for ever, accounts differ …

    An AssertionError, so that pytest shows it as a failed test rather than as an error in the tools.
    """
