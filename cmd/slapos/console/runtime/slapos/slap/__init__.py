# SPDX-License-Identifier: GPL-3.0-or-later
"""The library that talks to a master: slapos.slap.slap has all of it."""

from .slap import *
