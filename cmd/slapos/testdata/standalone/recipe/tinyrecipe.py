# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that needs nothing but zc.buildout: each instance has a service that
sleeps and a promise, and publishes the name it was given."""
import json
import os
import urllib.request

PROFILE = '''\
[buildout]
parts = instance
index = file:///nowhere/
allow-hosts = none
develop-eggs-directory = %(directory)s/develop-eggs
eggs-directory = %(directory)s/eggs

[instance]
recipe = tinyrecipe:instance
'''


class Recipe(object):
    def __init__(self, buildout, name, options):
        self.buildout, self.directory = buildout, buildout['buildout']['directory']

    def update(self):
        return self.install()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, mode)


class Release(Recipe):
    def install(self):
        self.write('instance.cfg', PROFILE % {'directory': self.directory})
        return []


class Instance(Recipe):
    def call(self, method, **fields):
        url = self.buildout['slap-connection']['server-url'].rstrip('/') + '/slapos.' + method
        headers = {'Content-Type': 'application/json'}
        request = urllib.request.Request(url, json.dumps(fields).encode(), headers)
        return json.load(urllib.request.urlopen(request))

    def install(self):
        connection = self.buildout['slap-connection']
        document = self.call('get.v0.compute_partition', computer_guid=connection['computer-id'],
                             compute_partition_id=connection['partition-id'])
        self.write('etc/service/sleeper', '#!/bin/sh\nexec sleep 1000\n', 0o755)
        self.write('etc/promise/good', '#!/bin/sh\necho fine\n', 0o755)
        self.call('put.v0.software_instance_connection_parameter', instance_guid=document['instance_guid'],
                  connection_parameter_dict={'hello': document['parameters'].get('name', 'world')})
        return []
