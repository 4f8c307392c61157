# SPDX-License-Identifier: GPL-3.0-or-later
# slapos.grid.promise.interface where slapos.core is missing (PROM-10).

from zope.interface import Interface


class IPromise(Interface):
    """A promise: what it needs to know comes with its configuration."""

    def __init__(config):
        """Prepares the check."""

    def sense(self):
        """Checks, and logs what it finds; an error in the log is a failure."""

    def test(self):
        """Judges by what was sensed; returns a TestResult."""

    def anomaly(self):
        """Judges by what was sensed; returns an AnomalyResult."""
