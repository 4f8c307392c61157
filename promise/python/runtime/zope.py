# SPDX-License-Identifier: GPL-3.0-or-later
# As much of zope.interface as a plugin promise uses, where it is missing.


class _InterfaceType(type):
    def implementedBy(cls, other):
        """Tells whether a class, or one that it derives from, implements this
        interface or one that derives from it."""
        return any(issubclass(interface, cls)
                   for base in getattr(other, '__mro__', (other,))
                   for interface in base.__dict__.get('_implemented', ()))

    def providedBy(cls, instance):
        return cls.implementedBy(type(instance))


# The same statement makes a class of a metaclass under Python 2 and 3.
Interface = _InterfaceType('Interface', (object,), {})


class implementer(object):
    def __init__(self, *interfaces):
        self.interfaces = interfaces

    def __call__(self, cls):
        classImplements(cls, *self.interfaces)
        return cls


def classImplements(cls, *interfaces):
    cls._implemented = tuple(cls.__dict__.get('_implemented', ())) + interfaces


def implements(*interfaces):
    raise TypeError('implements() works in no Python 3: use @implementer(...)')


class Attribute(object):
    def __init__(self, name='', doc=''):
        self.__name__, self.__doc__ = name, doc
