# SPDX-License-Identifier: GPL-3.0-or-later
"""The original's side of TestOriginal: one JSON answer a line.

peer.py generate SEED COUNT   random values, as the original writes them
peer.py echo                  read documents (JSON strings), write them again
"""
import json
import random
import sys

from slapos.util import dict2xml, dumps, loads, xml2dict
from slapos.slap.slap import (
    Computer, ComputerPartition, SoftwareInstance, SoftwareRelease)

PIECES = ['', 'a', 'Z', '_', '0', ' ', '\n', '\t', '\r', '"', "'", '<', '>', '&',
          '&amp;', '&lt;', ']]>', '\\', 'é', '€', '\U0001f600', '\xa0', '\x7f',
          '\x85', '\u2028', '\ufffd', '\xad', 'http://[::1]/']


class Generator(object):
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.shared = []

    def text(self):
        return ''.join(self.random.choice(PIECES)
                       for _ in range(self.random.randrange(5)))

    def number(self):
        kind = self.random.randrange(7)
        if kind == 0:
            return self.random.randrange(-10, 10)
        if kind == 1:
            return self.random.randrange(-10 ** 30, 10 ** 30)
        if kind == 2:
            return self.random.choice([10 ** 24 - 1, 10 ** 24, -10 ** 24, 2 ** 63, -2 ** 63, 2 ** 64])
        if kind == 3:
            return self.random.choice([0.0, -0.0, 1e16, 1e15, 1e-4, 1e-5, 1e300, 5e-324,
                                       float('inf'), float('-inf'), 0.1, 1.5, 123456789.125])
        if kind == 4:
            return self.random.random() * 10 ** self.random.randrange(-30, 30)
        if kind == 5:
            return complex(self.random.randrange(-2, 3), self.random.choice([0, 1.5, -1, 1e20]))
        return self.random.random() < 0.5

    def scalar(self):
        kind = self.random.randrange(5)
        if kind == 0:
            return None
        return self.text() if kind < 3 else self.number()

    def key(self, depth=0):
        if self.random.randrange(4):
            return self.text()
        if depth < 2 and not self.random.randrange(4):
            return tuple(self.key(depth + 1) for _ in range(self.random.randrange(3)))
        return self.random.choice([None, True, 1, 2, -3, 1.5, 10 ** 20, 'x'])

    def value(self, depth=0):
        kind = self.random.randrange(12 if depth < 4 else 3)
        size = self.random.randrange(4)
        if kind < 3:
            return self.scalar()
        if kind == 3 and self.shared:
            return self.random.choice(self.shared)
        if kind == 4:
            return tuple(self.value(depth + 1) for _ in range(size))
        if kind == 5:
            return set(self.key() for _ in range(size % 2))  # a larger one has no order
        if kind == 6:
            return self.entity(depth)
        if kind < 9:
            result = [self.value(depth + 1) for _ in range(size)]
        elif kind == 9:
            result = {self.key(): self.value(depth + 1) for _ in range(size)}
        else:
            result = {self.text(): self.value(depth + 1) for _ in range(size)}
        if self.random.randrange(3) == 0 and result:
            self.shared.append(result)
        return result

    def entity(self, depth):
        kind = self.random.randrange(4)
        if kind == 0:
            entity = Computer(self.text())
            entity._computer_partition_list = [
                ComputerPartition(self.text(), self.text()) for _ in range(2)]
            entity._software_release_list = [SoftwareRelease(self.text(), self.text())]
        elif kind == 1:
            entity = ComputerPartition(self.text(), self.text())
            if self.random.randrange(2):
                entity._need_modification = 1
                entity._software_release_document = SoftwareRelease(self.text(), self.text())
                entity._parameter_dict = {'ip_list': [(self.text(), self.text())]}
                entity._connection_dict = {}
                entity._requested_state = 'started'
        elif kind == 2:
            entity = SoftwareRelease(self.text(), self.text())
            entity._requested_state = self.random.choice(['available', 'destroyed'])
        else:
            entity = SoftwareInstance(slap_computer_id=self.text(), connection_xml=self.scalar())
        if self.random.randrange(3) == 0:
            entity.__dict__.update({'x' + self.text(): self.value(depth + 1)})
        return entity


def has_set_or_entity(value):
    if isinstance(value, (list, tuple)):
        return any(has_set_or_entity(item) for item in value)
    if isinstance(value, dict):
        return any(has_set_or_entity(item) for item in value.values())
    return isinstance(value, (set, Computer, ComputerPartition, SoftwareRelease, SoftwareInstance))


def generate(seed, count):
    generator = Generator(seed)
    for _ in range(count):
        generator.shared = []
        value = generator.value()
        marshalled = dumps(value)
        answer = {'marshal': marshalled.decode()}
        value = loads(marshalled)  # dictionaries in the order of the wire
        if not has_set_or_entity(value):
            answer['repr'] = repr(value)
        if type(value) is dict and 'repr' in answer and all(type(k) is str for k in value):
            answer['instance'] = dict2xml(value)
            answer['parameters'] = xml2dict(answer['instance'])
        print(json.dumps(answer))


def echo():
    for line in sys.stdin:
        try:
            answer = {'marshal': dumps(loads(json.loads(line).encode())).decode()}
        except Exception as error:
            answer = {'error': '%s: %s' % (type(error).__name__, error)}
        print(json.dumps(answer))


if sys.argv[1] == 'generate':
    generate(int(sys.argv[2]), int(sys.argv[3]))
else:
    echo()
