# SPDX-License-Identifier: GPL-3.0-or-later
"""How values travel between a master and those who talk to it."""

import sys

from xml.parsers import expat

# What a master may make this program create.
CLASSES = frozenset(('Computer', 'ComputerPartition', 'SoftwareRelease', 'SoftwareInstance'))
LIBRARY = 'slapos.slap.slap'


def bytes2str(s):
    return s.decode()


def str2bytes(s):
    return s.encode()


def unicode2str(s):
    return s


def _parse(xml, start, end, text):
    """Tells three functions what a document has. Entities of its own are refused:
    a few bytes of them can fill the memory."""
    def refuse(*_):
        raise ValueError('the XML document declares entities')
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.Parse(xml, True)


def _escape(text):
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _unescape(text):
    return text.replace('&lt;', '<').replace('&gt;', '>').replace('&amp;', '&')


def _fit(text):
    for c in text:
        if (c < ' ' and c not in '\t\n\r') or '\ud800' <= c <= '\udfff' or c in '\ufffe\uffff':
            raise ValueError('XML has no character %r' % c)
    return text


class _Writer(object):
    """Writes one value. Lists, dictionaries and sets are numbered: one that
    occurs again is a reference."""

    def __init__(self):
        self.last = 1
        self.numbers = {}

    def number(self, value):
        self.last += 1
        # The value is kept, so that no other gets its address.
        self.numbers[id(value)] = self.last, value
        return ' id="i%d"' % self.last

    def write(self, value):
        if id(value) in self.numbers:
            return '<reference id="i%d"/>' % self.numbers[id(value)][0]
        write = getattr(self, 'of_' + type(value).__name__, None)
        return (write or self.instance)(value)

    @staticmethod
    def element(tag, content, attributes=''):
        return '<%s%s>%s</%s>' % (tag, attributes, content, tag) if content else '<%s%s/>' % (tag, attributes)

    def of_str(self, value):
        return '<string>%s</string>' % _escape(_escape(_fit(value))).replace('\r', '&#13;')

    def of_bytes(self, value):
        return self.of_str(value.decode('utf-8'))

    def of_int(self, value):
        return self.element('int' if -1e24 < value < 1e24 else 'long', str(value))

    def of_float(self, value):
        return self.element('float', str(value))

    def of_bool(self, value):
        return self.element('bool', '1' if value else '0')

    def of_complex(self, value):
        return self.element('complex', '%s %s' % (value.real, value.imag))

    def of_NoneType(self, value):
        return '<none/>'

    def of_tuple(self, value):
        return self.element('tuple', ''.join(map(self.write, value)))

    def of_list(self, value):
        number = self.number(value)
        return self.element('list', ''.join(map(self.write, value)), number)

    def of_set(self, value):
        number = self.number(value)
        return self.element('set', ''.join(map(self.write, value)), number)

    def of_dict(self, value):
        number = self.number(value)
        try:
            keys = sorted(value)
        except TypeError:  # of several kinds
            from functools import cmp_to_key
            keys = sorted(value, key=cmp_to_key(_compare))
        content = ''.join(self.write(key) + self.write(value[key]) for key in keys)
        return self.element('dictionary', content, number)

    def instance(self, value):
        cls = type(value)
        if cls.__module__ != LIBRARY or cls.__name__ not in CLASSES:
            raise RuntimeError('Refusing to marshall %s.%s' % (cls.__module__, cls.__name__))
        number = self.number(value)
        arguments = value.__getinitargs__() if hasattr(value, '__getinitargs__') else ()
        content = self.write(arguments) + self.write(value.__dict__)
        return self.element('object', content, '%s module="%s" class="%s"' % (number, LIBRARY, cls.__name__))


def _compare(a, b):
    try:
        return (a > b) - (a < b)
    except TypeError:
        a, b = repr(a), repr(b)
        return (a > b) - (a < b)


def dumps(value):
    """Writes a value as the XML that a master reads."""
    xml = '<marshal>%s</marshal>' % _Writer().write(value)
    return xml.encode('ascii', 'xmlcharrefreplace')


def _complex(text):
    real, imaginary = text.split()
    return complex(float(real), float(imaginary))


def _nothing(text):
    return None


_SCALARS = {
    'string': _unescape, 'unicode': _unescape, 'int': int, 'long': int, 'float': float,
    'bool': lambda text: bool(int(text)), 'complex': _complex, 'none': _nothing,
}
_CONTAINERS = {'list': list, 'set': set, 'tuple': list, 'dictionary': dict, 'object': list}


class _Reader(object):
    def __init__(self):
        self.open = []  # what has begun: [element, attributes, items, container]
        self.text = None
        self.known = {}  # by id
        self.results = []

    def start(self, tag, attributes):
        tag = tag.rpartition(':')[2]
        if tag == 'marshal':
            if self.open or self.results:
                raise ValueError('root element %r found elsewhere than root' % tag)
        elif tag == 'reference':
            self.add(self.known[attributes['id']])
        elif tag in _SCALARS:
            self.text = []
        else:
            container = _CONTAINERS[tag]()
            if 'id' in attributes:
                self.known[attributes['id']] = container
            self.open.append((tag, attributes, [], container))

    def characters(self, text):
        if self.text is not None:
            self.text.append(text)

    def end(self, tag):
        tag = tag.rpartition(':')[2]
        if tag in _SCALARS:
            text, self.text = ''.join(self.text), None
            self.add(_SCALARS[tag](text))
        elif tag in _CONTAINERS:
            kind, attributes, items, container = self.open.pop()
            self.add(self.finish(kind, attributes, items, container))

    def finish(self, kind, attributes, items, container):
        if kind == 'list':
            container.extend(items)
        elif kind == 'set':
            container.update(items)
        elif kind == 'dictionary':
            container.update(zip(items[::2], items[1::2]))
        elif kind == 'tuple':
            return tuple(items)
        else:
            return self.instance(attributes, *items)
        return container

    @staticmethod
    def instance(attributes, arguments, state):
        module, name = attributes['module'], attributes['class']
        if module != LIBRARY or name not in CLASSES:
            raise RuntimeError('Refusing to unmarshall %s.%s' % (module, name))
        __import__(LIBRARY)
        value = getattr(sys.modules[LIBRARY], name)(*arguments)
        for key in state:
            setattr(value, key, state[key])
        return value

    def add(self, value):
        (self.open[-1][2] if self.open else self.results).append(value)


def loads(xml):
    """Reads a value from XML; of classes, those of the library alone."""
    reader = _Reader()
    _parse(xml, reader.start, reader.end, reader.characters)
    result, = reader.results
    return result


def xml2dict(xml):
    """Reads parameters from XML of the form <instance><parameter id="...">."""
    result = {}
    depth = [0]
    current = []  # the name of the parameter that is read, and its text

    def start(tag, attributes):
        depth[0] += 1
        if depth[0] == 2 and tag == 'parameter':
            current[:] = [attributes.get('id'), '']

    def text(characters):
        if current and depth[0] == 2:
            current[1] += characters

    def end(tag):
        if depth[0] == 2 and current:
            name, value = current
            value = value or None
            if result.get(name) is not None:
                value = result[name] + ' ' + value
            result[name] = value
            del current[:]
        depth[0] -= 1

    if xml:
        _parse(xml, start, end, text)
    return result


def dict2xml(dictionary):
    """Writes parameters as the XML that xml2dict reads."""
    def text(value):
        if isinstance(value, bytes):
            return _fit(value.decode('utf-8'))
        return _fit(str(value))
    lines = []
    for name in sorted(dictionary):
        if not isinstance(name, (str, bytes)):
            raise TypeError('the name of a parameter must be text, not %r' % (name,))
        attribute = _escape(text(name)).replace('"', '&quot;')
        for character in '\t\n\r':
            attribute = attribute.replace(character, '&#%d;' % ord(character))
        value = _escape(text(dictionary[name])).replace('\r', '&#13;')
        lines.append('  <parameter id="%s">%s</parameter>\n' % (attribute, value))
    content = '<instance>\n%s</instance>' % ''.join(lines) if lines else '<instance/>'
    return "<?xml version='1.0' encoding='utf-8'?>\n%s\n" % content
