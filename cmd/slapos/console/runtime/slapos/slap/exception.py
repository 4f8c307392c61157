# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a master."""


class SlapException(Exception):
    """The ancestor of the others."""


class ResourceNotReady(SlapException):
    """What was asked for does not exist yet: ask again later."""


class ServerError(SlapException):
    """The master failed, or a server before it."""


class NotFoundError(SlapException):
    """The master does not know what was asked for."""


class AuthenticationError(SlapException):
    """The master does not accept the certificate."""


class ConnectionError(SlapException):
    """There was no answer."""
