# SPDX-License-Identifier: GPL-3.0-or-later
"""A board that serves pages, as a small Software Release: type default serves
its own page and one for each shared instance, type wall requests boards."""
import hashlib
import json
import os
import socket
import sys

from slapos.slap import NotFoundError
from slapos.slap import slap as Slap

PROFILE = '''\
[buildout]
parts = board
index = file:///nowhere/
allow-hosts = none
develop-eggs-directory = %(directory)s/develop-eggs
eggs-directory = %(directory)s/eggs

[board]
recipe = boardrecipe:instance
greeting = %(greeting)s
'''

SERVER = '''\
import http.server, json, socket
with open(%(configuration)r) as f:
    configuration = json.load(f)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = configuration['pages'].get(self.path)
        body = (page or 'no such page').encode()
        self.send_response(200 if page else 404)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


Server((configuration['address'], configuration['port']), Handler).serve_forever()
'''

PROMISE = '''\
import sys
sys.path[0:0] = []
import http.client
from zope.interface import implementer
from slapos.grid.promise import interface
from slapos.grid.promise.generic import GenericPromise

extra_config_dict = %(extra)r


@implementer(interface.IPromise)
class RunPromise(GenericPromise):
    def __init__(self, config):
        super().__init__(config)
        self.setPeriodicity(minute=1)

    def sense(self):
        connection = http.client.HTTPConnection(extra_config_dict['address'], extra_config_dict['port'], timeout=5)
        try:
            connection.request('GET', '/')
            status = connection.getresponse().status
        except OSError as e:
            self.logger.error('the board is down: %%s', e)
        else:
            (self.logger.info if status == 200 else self.logger.error)('status %%s', status)

    def anomaly(self):
        return self._test(result_count=1, failure_amount=1)
'''


class Recipe(object):
    def __init__(self, buildout, name, options):
        self.buildout, self.options, self.directory = buildout, options, buildout['buildout']['directory']
        self.paths = []

    def update(self):
        return self.install()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, mode)
        self.paths.append(path)
        return path


class Release(Recipe):
    def install(self):
        self.write('instance.cfg', PROFILE % {'directory': self.directory, 'greeting': self.options['greeting']})
        return []


class Instance(Recipe):
    def __init__(self, buildout, name, options):
        super().__init__(buildout, name, options)
        connection = buildout['slap-connection']
        slap = Slap()
        slap.initializeConnection(connection['server-url'], connection.get('key-file'), connection.get('cert-file'))
        self.partition = slap.registerComputerPartition(connection['computer-id'], connection['partition-id'])
        self.release = connection['software-release-url']
        parameters = self.partition.getInstanceParameterDict()
        self.type = parameters.pop('slap_software_type')
        self.slaves = parameters.pop('slave_instance_list', [])
        self.address = [ip for _, ip in parameters.pop('ip_list') if ':' in ip][0]
        self.serialised = '_' in parameters
        self.parameters = json.loads(parameters['_']) if self.serialised else parameters
        # Part of what tells buildout that there is something to do.
        self.state = self.wall() if self.type == 'wall' else self.board()
        options['state'] = json.dumps(self.state, sort_keys=True).replace('$', '$$')

    def board(self):
        pages = {'/': '%s, %s' % (self.options['greeting'], self.parameters.get('name', 'world'))}
        for slave in self.slaves:
            pages['/' + slave['slave_reference']] = slave.get('text', 'nothing')
        return {'address': self.address, 'port': self.port(), 'pages': pages}

    def wall(self):
        urls = {}
        for name in self.parameters.get('boards', 'first second').split():
            board = self.partition.request(self.release, 'default', name, partition_parameter_kw={'name': name})
            try:
                urls[name] = board.getConnectionParameter('url')
            except NotFoundError:
                urls[name] = ''  # to be seen at the next processing
        return {'urls': urls}

    def port(self):
        """A port that was free at first."""
        path = os.path.join(self.directory, 'srv', 'port')
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with socket.socket(socket.AF_INET6) as s:
                s.bind((self.address, 0))
                port = s.getsockname()[1]
            with open(path, 'w') as f:
                f.write(str(port))
        with open(path) as f:
            return int(f.read())

    def publish(self, values, slave=None):
        if self.serialised:
            values = {'_': json.dumps(values, sort_keys=True)}
        self.partition.setConnectionDict(values, slave)

    def install(self):
        # What a test breaks to see that it is told.
        self.write('etc/promise/not-broken', '#!/bin/sh\nif [ -e srv/broken ]; then cat srv/broken; exit 1; fi\n', 0o755)
        if self.type == 'wall':
            urls = self.state['urls']
            self.write('etc/promise/boards', '#!/bin/sh\necho %s\nexec %s\n' % (' '.join(urls), 'true' if all(urls.values()) else 'false'), 0o755)
            self.publish({'urls': json.dumps(urls, sort_keys=True)})
            return self.paths
        text = json.dumps(self.state, indent=1, sort_keys=True)
        configuration = self.write('etc/board.json', text)
        server = self.write('bin/board.py', SERVER % {'configuration': configuration})
        # Another configuration, another name: the service restarts.
        digest = hashlib.md5(text.encode()).hexdigest()[:8]
        self.write('etc/service/board-' + digest, '#!/bin/sh\nmkdir -p var/log\nexec %s %s 2>>var/log/board.log\n' % (sys.executable, server), 0o755)
        self.write('etc/run/note', '#!/bin/sh\ndate >>var/notes\n', 0o755)
        extra = {key: self.state[key] for key in ('address', 'port')}
        self.write('etc/plugin/board.py', PROMISE % {'extra': extra})
        url = 'http://[%(address)s]:%(port)s/' % extra
        values = {'url': url, 'name': self.parameters.get('name', 'world')}
        if 'monitor-interface-url' in self.parameters:
            values['monitor-setup-url'] = self.parameters['monitor-interface-url'] + '&url=' + url
        self.publish(values)
        for slave in self.slaves:
            self.publish({'url': url + slave['slave_reference']}, slave['slave_reference'])
        return self.paths
