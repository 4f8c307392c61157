# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the release, as authors of releases write them with slapos.testing."""
import glob
import http.server
import json
import os
import pathlib
import subprocess
import time

import psutil
import requests

from slapos.grid.utils import md5digest
from slapos.slap.standalone import SlapOSNodeInstanceError
from slapos.testing.monitoring_mixin import MonitoringPropagationTestMixin
from slapos.testing.testcase import installSoftwareUrlList, makeModuleSetUpAndTestCaseClass
from slapos.testing.utils import ManagedHTTPServer, ManagedTemporaryDirectory, findFreeTCPPort, getPromisePluginParameterDict

release = pathlib.Path(__file__).resolve().parent.parent
setUpModule, SlapOSInstanceTestCase = makeModuleSetUpAndTestCaseClass(str(release / 'software.cfg'))


class TestCase(SlapOSInstanceTestCase):
    partition_count = 3
    instance_max_retry = 5

    def get(self, url, status=200):
        """A page, as soon as the board answers."""
        for _ in range(100):
            try:
                answer = requests.get(url, timeout=10)
            except requests.exceptions.ConnectionError:
                time.sleep(.1)
                continue
            self.assertEqual(status, answer.status_code, url)
            return answer.text
        self.fail('%s does not answer' % url)

    def processes(self, partition=None):
        """Name without hash and state of what the supervisor has in a partition."""
        partition = partition or self.computer_partition.getId()
        with self.slap.instance_supervisor_rpc as supervisor:
            return {info['name'].split('-')[0]: info for info in supervisor.getAllProcessInfo() if info['group'] == partition}

    def process_all(self, **options):
        """Partitions without changes, too."""
        try:
            self.slap._force_slapos_node_instance_all = True
            self.slap.waitForInstance(**options)
        finally:
            self.slap._force_slapos_node_instance_all = False

    def request(self, reference, **options):
        return self.slap.request(self.getSoftwareURL(), reference, **options)


class TestBoard(TestCase):
    __partition_reference__ = 'b'

    @classmethod
    def getInstanceParameterDict(cls):
        return {'name': 'test <&> é'}

    def test_connection_parameters(self):
        parameters = self.computer_partition.getConnectionParameterDict()
        self.assertEqual({'url', 'name'}, set(parameters))
        self.assertEqual('test <&> é', parameters['name'])
        self.assertEqual('test <&> é', self.computer_partition.getConnectionParameter('name'))
        self.assertEqual('hello, test <&> é', self.get(parameters['url']))
        self.get(parameters['url'] + 'x', 404)

    def test_partition(self):
        self.assertEqual('b0', self.computer_partition.getId())
        self.assertEqual('b0', self.getPartitionId(self.default_partition_reference))
        self.assertEqual(os.environ['SLAPOS_TEST_IPV6'], self.computer_partition_ipv6_address)
        self.assertIn('[%s]' % self.computer_partition_ipv6_address, self.computer_partition.getConnectionParameter('url'))
        self.assertTrue((self.computer_partition_root_path / 'etc' / 'board.json').is_file())
        self.assertEqual(
            os.path.join(self.slap.software_directory, md5digest(self.getSoftwareURL())),
            os.path.realpath(self.computer_partition_root_path / 'software_release'))

    def test_states(self):
        self.assertEqual(self.getSoftwareURL(), self.computer_partition.getSoftwareRelease().getURI())
        parameters = self.computer_partition.getInstanceParameterDict()
        self.assertEqual(self.default_partition_reference, parameters['instance_title'])
        self.assertEqual('default', parameters['slap_software_type'])
        self.assertEqual(
            {'b0': 'started', 'b1': 'destroyed', 'b2': 'destroyed'},
            {partition.getId(): partition.getState() for partition in self.slap.computer.getComputerPartitionList()})

    def test_promise_plugin(self):
        plugin, = glob.glob(str(self.computer_partition_root_path / 'etc' / 'plugin' / 'board.py'))
        parameters = getPromisePluginParameterDict(plugin)
        self.assertEqual(self.computer_partition_ipv6_address, parameters['address'])
        with open(self.computer_partition_root_path / '.slapgrid' / 'promise' / 'result' / 'board.status.json') as f:
            result = json.load(f)['result']
        self.assertEqual((False, 'status 200'), (result['failed'], result['message']))

    def test_processes(self):
        processes = self.processes()
        self.assertEqual({'board', 'note'}, set(processes))
        self.assertEqual('RUNNING', processes['board']['statename'])
        self.assertRegex(processes['board']['name'], '^board-[0-9a-f]{8}-on-watch$')
        self.assertEqual(('note', 'EXITED', 0), tuple(processes['note'][key] for key in ('name', 'statename', 'exitstatus')))

    def test_killed_service(self):
        pid = self.processes()['board']['pid']
        process = psutil.Process(pid)
        process.kill()
        psutil.wait_procs([process], timeout=30)
        for _ in range(30):
            # The watchdog tells the master, the next pass starts it again.
            self.slap.waitForInstance(max_retry=5)
            board = self.processes()['board']
            if board['statename'] == 'RUNNING' and board['pid'] != pid:
                break
            time.sleep(.3)
        else:
            self.fail('the service is not back: %s' % board)
        self.assertEqual('hello, test <&> é', self.get(self.computer_partition.getConnectionParameter('url')))

    def test_failing_promise(self):
        broken = self.computer_partition_root_path / 'srv' / 'broken'
        broken.write_text('this is broken\n')
        try:
            with self.assertRaises(SlapOSNodeInstanceError) as caught:
                self.process_all()
            self.assertEqual(2, caught.exception.args[0]['exitstatus'])
            self.assertIn('this is broken', str(caught.exception))
        finally:
            broken.unlink()
        self.process_all()

    def test_processed_again(self):
        """Nothing changes, nothing restarts."""
        before = self.processes()['board']['pid']
        self.process_all()
        self.assertEqual(before, self.processes()['board']['pid'])

    def test_command(self):
        """The program that belongs to this directory."""
        command = [os.path.join(os.path.dirname(self.slap.instance_directory), 'bin', 'slapos')]
        out = subprocess.check_output(command + ['service', 'list'], text=True)
        self.assertIn(self.default_partition_reference, json.loads(out))


class TestRestart(TestCase):
    __partition_reference__ = 'r'

    def test(self):
        url = self.computer_partition.getConnectionParameter('url')
        self.assertEqual('hello, world', self.get(url))
        pid = self.processes()['board']['pid']

        self.assertEqual('stopped', self.requestDefaultInstance(state='stopped').getState())
        self.waitForInstance()
        self.assertEqual({}, self.processes())
        with self.assertRaises(requests.exceptions.ConnectionError):
            requests.get(url, timeout=10)

        self.assertEqual('started', self.requestDefaultInstance(state='started').getState())
        self.waitForInstance()
        self.assertEqual('hello, world', self.get(url))
        self.assertNotEqual(pid, self.processes()['board']['pid'])

        # Other parameters: another service, same port.
        name = self.processes()['board']['name']
        type(self)._instance_parameter_dict = {'name': 'change'}
        self.requestDefaultInstance()
        self.waitForInstance()
        self.assertEqual('hello, change', self.get(url))
        self.assertNotEqual(name, self.processes()['board']['name'])
        self.assertEqual({'url': url, 'name': 'change'}, self.requestDefaultInstance().getConnectionParameterDict())

        # After a restart of all it goes on, with the next pass over everything.
        self.slap.stop()
        with self.assertRaises(requests.exceptions.ConnectionError):
            requests.get(url, timeout=10)
        self.slap.start()
        self.process_all(max_retry=5)
        self.assertEqual('hello, change', self.get(url))


class TestShared(TestCase):
    __partition_reference__ = 's'

    def test(self):
        def share(name, **options):
            return self.request(name, shared=True, software_type='default', partition_parameter_kw={'text': 'text of ' + name}, **options)

        for name in 'one', 'two':
            share(name)
        self.waitForInstance()
        urls = {name: share(name).getConnectionParameter('url') for name in ('one', 'two')}
        board = self.computer_partition.getConnectionParameter('url')
        for name, url in urls.items():
            self.assertTrue(url.startswith(board), url)
            self.assertEqual('text of ' + name, self.get(url))
            self.assertEqual('text of ' + name, share(name).getInstanceParameterDict()['text'])
        self.assertNotEqual(urls['one'], urls['two'])

        share('one', state='destroyed')
        self.waitForInstance()
        self.get(urls['one'], 404)
        self.assertEqual('text of two', self.get(urls['two']))
        share('two', state='destroyed')
        self.waitForInstance()
        self.get(urls['two'], 404)


class TestWall(TestCase):
    """An instance that requests others, with parameters as one JSON text."""
    __partition_reference__ = 'w'

    @classmethod
    def getInstanceSoftwareType(cls):
        return 'wall'

    @classmethod
    def getInstanceParameterDict(cls):
        return {'_': json.dumps({'boards': 'left right'})}

    def test(self):
        urls = json.loads(json.loads(self.computer_partition.getConnectionParameterDict()['_'])['urls'])
        self.assertEqual({'left', 'right'}, set(urls))
        for name, url in urls.items():
            self.assertEqual('hello, ' + name, self.get(url))
            partition = self.getPartitionId(name)
            self.assertIn('[%s]' % self.getPartitionIPv6(partition), url)
            self.assertEqual('RUNNING', self.processes(partition)['board']['statename'])
        partitions = self.slap.computer.getComputerPartitionList()
        self.assertEqual(['w0', 'w1', 'w2'], [partition.getId() for partition in partitions])
        self.assertEqual({'wall', 'default'}, {partition.getInstanceParameterDict()['slap_software_type'] for partition in partitions})


class TestUpgrade(TestCase):
    __partition_reference__ = 'u'

    def test(self):
        url = self.computer_partition.getConnectionParameter('url')
        self.assertEqual('hello, world', self.get(url))
        upgraded = os.path.join(os.path.dirname(self.getSoftwareURL()), 'upgraded.cfg')
        installSoftwareUrlList(type(self), [upgraded])
        try:
            self.slap.request(upgraded, self.default_partition_reference, state='started')
            self.waitForInstance()
            self.assertEqual('good evening, world', self.get(url))
        finally:
            self.requestDefaultInstance()
            self.waitForInstance()
            self.slap.supply(upgraded, state='destroyed')
            self.slap.waitForSoftware()
        self.assertEqual('hello, world', self.get(url))
        self.assertEqual([md5digest(self.getSoftwareURL())], os.listdir(self.slap.software_directory))


class TestMonitoring(MonitoringPropagationTestMixin, TestCase):
    __partition_reference__ = 'm'


class TestResources(TestCase):
    """No instance is needed."""
    __partition_reference__ = 'n'
    request_instance = False

    class Server(ManagedHTTPServer):
        class RequestHandler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(204)
                self.end_headers()

    def test(self):
        server = self.getManagedResource('server', self.Server)
        self.get(server.url, 204)
        self.assertTrue(os.path.isdir(self.getManagedResource('directory', ManagedTemporaryDirectory).path))
        self.assertTrue(findFreeTCPPort('127.0.0.1'))
        self.assertEqual({'destroyed'}, {partition.getState() for partition in self.slap.computer.getComputerPartitionList()})
