# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions and their instances: ComputerPartition of slapos.slap.slap."""

import os

from slapos.util import dumps, loads, xml2dict
from . import slap as library
from .exception import NotFoundError, ResourceNotReady
from .hateoas import BasicSlapPartitionAuth

FETCHED = '_instance_guid', '_requested_state', '_software_release_document', '_parameter_dict', '_connection_dict'


class ComputerPartition(library.SlapRequester):
    """A partition of a computer, and the instance in it."""

    def __init__(self, computer_id=None, partition_id=None, request_dict=None, connection_helper=None,
                 hateoas_navigator=None):
        library.SlapDocument.__init__(self, connection_helper, hateoas_navigator)
        if request_dict is not None and (computer_id is not None or partition_id is not None):
            raise TypeError('request_dict conflicts with computer_id and partition_id')
        if request_dict is None and (computer_id is None or partition_id is None):
            raise TypeError('computer_id and partition_id or request_dict are required')
        self._computer_id = computer_id
        self._partition_id = partition_id
        self._request_dict = request_dict
        self._updateTransactionFile()

    def __getinitargs__(self):
        return self._computer_id, self._partition_id, self._request_dict

    def _updateTransactionFile(self, partition_reference=None):
        """Keeps the names of what a partition requests while it is processed, for
        the agent that processes it."""
        root = os.environ.get('SLAPGRID_INSTANCE_ROOT', '')
        if not root or not self._partition_id:
            return
        folder = os.path.join(root, self._partition_id)
        path = os.path.join(folder, library.COMPUTER_PARTITION_REQUEST_LIST_TEMPLATE_FILENAME % self._partition_id)
        try:
            if partition_reference is not None or os.access(folder, os.W_OK):
                with open(path, 'a') as f:
                    if partition_reference is not None:
                        f.write('%s\n' % partition_reference)
        except OSError:
            pass

    def _auth(self):
        return BasicSlapPartitionAuth(self._computer_id, self._partition_id)

    def _tell(self, method, **fields):
        fields.update(computer_id=self._computer_id, computer_partition_id=self.getId())
        self._connection_helper.POST(method, data=fields, auth=self._auth())

    def request(self, software_release, software_type, partition_reference, shared=False, partition_parameter_kw=None,
                filter_kw=None, state=None):
        """Requests an instance in the name of the one in this partition."""
        form = self._form(
            software_release, partition_reference, partition_parameter_kw, software_type, filter_kw, state, shared)
        form.update(computer_id=self._computer_id, computer_partition_id=self._partition_id)
        self._updateTransactionFile(partition_reference)
        return self._requestComputerPartition(form, auth=self._auth())

    def started(self):
        """Tells the master that the instance was started."""
        self._tell('startedComputerPartition')

    def stopped(self):
        """Tells the master that the instance was stopped."""
        self._tell('stoppedComputerPartition')

    def destroyed(self):
        """Tells the master that the instance is gone, and the partition free."""
        self._tell('destroyedComputerPartition')

    def error(self, error_log, logger=None, slave_reference=None):
        """Tells the master what went wrong; a failure to do so is only logged."""
        more = {'slave_reference': slave_reference} if slave_reference else {}
        computer_partition_id = self.getId()
        try:
            self._connection_helper.POST('softwareInstanceError', auth=self._auth(), data=dict(
                more, computer_id=self._computer_id, computer_partition_id=computer_partition_id, error_log=error_log))
        except Exception:
            library._logger(logger).exception('')

    def bang(self, message):
        """Has the instance processed again."""
        self._tell('softwareInstanceBang', message=message)

    def rename(self, new_name, slave_reference=None):
        """Gives the instance another name, or a shared one that it hosts."""
        more = {'slave_reference': slave_reference} if slave_reference else {}
        self._tell('softwareInstanceRename', new_name=new_name, **more)

    def getId(self):
        """The name of the partition on its computer."""
        if not getattr(self, '_partition_id', None):
            raise ResourceNotReady()
        return self._partition_id

    def _fetch(self, name):
        """An attribute that a request may not have answered yet."""
        if not hasattr(self, name):
            self._fetchComputerPartitionInformation()
        return getattr(self, name)

    def _fetchComputerPartitionInformation(self):
        params = {'computer_reference': self._computer_id, 'computer_partition_reference': self.getId()}
        self._updateComputerPartitionInformation(
            loads(self._connection_helper.GET('registerComputerPartition', params=params)))

    def _updateComputerPartitionInformation(self, new_partition):
        for name in FETCHED:
            setattr(self, name, getattr(new_partition, name, None))

    def _ready(self, name):
        value = self._fetch(name)
        if value is None:
            raise ResourceNotReady()
        return value

    def getInstanceGuid(self):
        """The reference of the instance."""
        return self._ready('_instance_guid')

    def getState(self):
        """The state that the instance should have: started, stopped or destroyed."""
        return self._ready('_requested_state')

    def getAccessStatus(self):
        """The last message of the instance, if the master sent it."""
        return getattr(self, '_access_status', None)

    getStatus = getAccessStatus

    def getType(self):
        """The software type of the instance."""
        kind = self.getInstanceParameterDict().get('slap_software_type')
        if not kind:
            raise ResourceNotReady()
        return kind

    def getInstanceParameterDict(self):
        """The parameters that the instance was requested with."""
        return self._fetch('_parameter_dict') or {}

    def getConnectionParameterDict(self):
        """The parameters that the instance published."""
        published = self._fetch('_connection_dict')
        if published is None:  # an old master sends them as XML
            published = xml2dict(getattr(self, 'connection_xml', ''))
        return published or {}

    def getSoftwareRelease(self):
        """The software release of the instance."""
        release = self._fetch('_software_release_document')
        if release is None:
            raise NotFoundError('No software release information for partition %s' % self.getId())
        return release

    @staticmethod
    def _item(parameters, key):
        try:
            return parameters[key]
        except KeyError:
            raise NotFoundError('%s not found' % key)

    def getInstanceParameter(self, key):
        """One of the parameters that the instance was requested with."""
        return self._item(getattr(self, '_parameter_dict', None) or {}, key)

    def getConnectionParameter(self, key):
        """One of the parameters that the instance published."""
        return self._item(self.getConnectionParameterDict(), key)

    def setConnectionDict(self, connection_dict, slave_reference=None):
        """Publishes parameters of the instance, or of a shared one that it hosts."""
        self._connection_helper.POST('setComputerPartitionConnectionXml', auth=self._auth(), data={
            'computer_id': self._computer_id, 'computer_partition_id': self._partition_id,
            'connection_xml': dumps(connection_dict), 'slave_reference': slave_reference})

    def setUsage(self, usage_log):
        """Keeps a report of use in this object."""
        self.usage = usage_log

    def getCertificate(self):
        """The certificate of the instance, and its key."""
        return self._ask('getComputerPartitionCertificate')

    def getFullHostingIpAddressList(self):
        """The addresses of all instances of the service."""
        return self._ask('getHostingSubscriptionIpList')

    def _ask(self, method):
        params = {'computer_id': self._computer_id, 'computer_partition_id': self._partition_id}
        return loads(self._connection_helper.GET(method, params=params))

    def setComputerPartitionRelatedInstanceList(self, instance_reference_list):
        """Tells the master all that the instance requests: the rest can go."""
        self._connection_helper.POST('updateComputerPartitionRelatedInstanceList', auth=self._auth(), data={
            'computer_id': self._computer_id, 'computer_partition_id': self._partition_id,
            'instance_reference_xml': dumps(instance_reference_list)})
