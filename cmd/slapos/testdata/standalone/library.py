# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a slapos program by the standalone library of slapos.core, as test
suites of Software Releases do. Arguments: directory, program, port, release."""
import os
import sys

import resources  # noqa: F401
from slapos.slap.standalone import SlapOSNodeInstanceError, StandaloneSlapOS

directory, program, port, release = sys.argv[1:]
cloud = StandaloneSlapOS(directory, '127.0.0.1', int(port), slapos_bin=program)
try:
    cloud.format(3, '127.0.0.1', 'fd00::/64')
    assert {'slappart0', 'slappart1', 'slappart2'} <= set(os.listdir(cloud.instance_directory))
    cloud.supply(release)
    cloud.waitForSoftware()
    assert cloud.computer.getSoftwareReleaseList()[0].getState() == 'available'

    def request(**options):
        return cloud.request(release, 'first', partition_parameter_kw={'name': 'library'}, **options)

    request()
    cloud.waitForInstance(max_retry=3)
    assert request().getConnectionParameterDict() == {'hello': 'library'}
    with cloud.instance_supervisor_rpc as supervisor:
        states = dict((info['name'], info['statename']) for info in supervisor.getAllProcessInfo())
    assert states['sleeper-on-watch'] == 'RUNNING', states

    # A promise that fails is told with the end of the output.
    partition = os.path.join(cloud.instance_directory, 'slappart0')
    promise = os.path.join(partition, 'etc', 'promise', 'bad')
    with open(promise, 'w') as f:
        f.write('#!/bin/sh\necho this is bad\nexit 1\n')
    os.chmod(promise, 0o755)
    try:
        cloud._force_slapos_node_instance_all = True
        cloud.waitForInstance()
    except SlapOSNodeInstanceError as e:
        assert e.args[0]['exitstatus'] == 2 and 'this is bad' in e.args[0]['output'], e
    else:
        raise AssertionError('a failing promise was not told')
    os.unlink(promise)

    # A second object takes over what runs.
    again = StandaloneSlapOS(directory, '127.0.0.1', int(port), slapos_bin=program)
    assert again.request(release, 'first').getState() == 'started'

    request(state='destroyed')
    cloud.waitForInstance()
    cloud.waitForReport()
    assert os.listdir(partition) == [], os.listdir(partition)
    cloud.format(1, '127.0.0.1', '::1')
    cloud.supply(release, state='destroyed')
    cloud.waitForSoftware()
    assert os.listdir(cloud.software_directory) == [], os.listdir(cloud.software_directory)
finally:
    cloud.stop()
print('the library is content')
