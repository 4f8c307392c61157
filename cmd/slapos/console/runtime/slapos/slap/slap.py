# SPDX-License-Identifier: GPL-3.0-or-later
"""Computers, partitions, software releases and services of a master."""

from .exception import ConnectionError, NotFoundError, ResourceNotReady, ServerError
from .hateoas import ConnectionHelper
from slapos.util import bytes2str, dumps, loads, xml2dict

__all__ = ['slap', 'ComputerPartition', 'Computer', 'SoftwareRelease', 'SoftwareInstance', 'SoftwareProductCollection',
           'Supply', 'OpenOrder', 'NotFoundError', 'Token', 'ResourceNotReady', 'ServerError', 'ConnectionError']

OLD_DEFAULT_SOFTWARE_TYPE = 'RootSoftwareInstance'
DEFAULT_SOFTWARE_TYPE = 'default'
COMPUTER_PARTITION_REQUEST_LIST_TEMPLATE_FILENAME = '.slapos-request-transaction-%s'


def _logger(logger):
    import logging
    return logger or logging.getLogger(__name__)


class SlapDocument(object):
    """Something that a master knows, and the way to the master."""

    _navigator = None

    def __init__(self, connection_helper=None, hateoas_navigator=None):
        if connection_helper is not None:
            self._connection_helper = connection_helper
            self._navigator = hateoas_navigator

    # Most documents never need it, so that it may be a function that finds it.
    @property
    def _hateoas_navigator(self):
        return self._navigator() if callable(self._navigator) else self._navigator

    @_hateoas_navigator.setter
    def _hateoas_navigator(self, navigator):
        self._navigator = navigator

    def _navigate(self):
        navigator = self._hateoas_navigator
        if navigator is None:
            raise Exception('SlapOS Master Hateoas API required for this operation is not available.')
        return navigator

    def _connect(self, document):
        document._connection_helper = self._connection_helper
        document._navigator = self._navigator
        return document


def _dictionary(name, value):
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("Unexpected type of %s '%s'" % (name, value))
    return value


class SlapRequester(SlapDocument):
    """Whoever can request an instance."""

    def _requestComputerPartition(self, request_dict, auth=None):
        """Sends a form, and answers the partition, which may not have been found yet."""
        helper = self._connection_helper
        try:
            answer = helper.POST('requestComputerPartition', data=request_dict, auth=auth)
        except ResourceNotReady:
            return ComputerPartition(request_dict=request_dict, connection_helper=helper)
        found = loads(answer)
        place = found.slap_computer_id, found.slap_computer_partition_id
        partition = ComputerPartition(*place, connection_helper=helper)
        vars(partition).update(vars(found))
        if loads(request_dict['shared_xml']):
            partition._synced = True
        return partition

    def _form(self, software_release, partition_reference, partition_parameter_kw, software_type, filter_kw, state, shared):
        return {
            'software_release': software_release,
            'partition_reference': partition_reference,
            'partition_parameter_xml': dumps(_dictionary('partition_parameter_kw', partition_parameter_kw)),
            'filter_xml': dumps(_dictionary('filter_kw', filter_kw)),
            'software_type': DEFAULT_SOFTWARE_TYPE if software_type is None else software_type,
            'state': dumps(state),
            'shared_xml': dumps(shared),
        }


class SoftwareRelease(SlapDocument):
    """A software release, and the computer that it is for."""

    def __init__(self, software_release=None, computer_guid=None, requested_state='available', **kw):
        SlapDocument.__init__(self, kw.pop('connection_helper', None), kw.pop('hateoas_navigator', None))
        self._software_instance_list = []
        self._software_release = software_release
        self._computer_guid = computer_guid

    def __getinitargs__(self):
        return self._software_release, self._computer_guid

    def getComputerId(self):
        """The reference of the computer."""
        if not self._computer_guid:
            raise NameError('computer_guid has not been defined.')
        return self._computer_guid

    def getURI(self):
        """The URL of the profile."""
        if not self._software_release:
            raise NameError('software_release has not been defined.')
        return self._software_release

    def _tell(self, method, **fields):
        self._connection_helper.POST(method, data=dict(fields, url=self.getURI(), computer_id=self.getComputerId()))

    def error(self, error_log, logger=None):
        """Tells the master what went wrong; a failure to do so is only logged."""
        try:
            self._tell('softwareReleaseError', error_log=error_log)
        except Exception:
            _logger(logger).exception('')

    def available(self):
        """Tells the master that the release is built."""
        self._tell('availableSoftwareRelease')

    def building(self):
        """Tells the master that the release is being built."""
        self._tell('buildingSoftwareRelease')

    def destroyed(self):
        """Tells the master that the release is gone."""
        self._tell('destroyedSoftwareRelease')

    def getState(self):
        """The state that the release should have: available or destroyed."""
        return getattr(self, '_requested_state', 'available')


class SoftwareProductCollection(object):
    """product.NAME is the URL of the best release of a software product."""

    def __init__(self, logger, slap):
        self.logger = logger
        self.slap = slap
        self.get = self.__getattr__

    def __getattr__(self, software_product):
        if software_product.startswith('__'):
            raise AttributeError(software_product)  # Python asks, not a person
        self.logger.info('Getting best Software Release corresponding to this Software Product...')
        urls = self.slap.getSoftwareReleaseListFromSoftwareProduct(software_product)
        if not urls:
            raise AttributeError('No Software Release corresponding to this Software Product has been found.')
        self.logger.info('Found as %s.' % urls[0])
        return urls[0]


class SoftwareInstance(SlapDocument):
    """What a master knows of an instance."""

    def __init__(self, **kw):
        self.__dict__.update(kw)


def _information(document, data):
    """Attributes of a document, from what the master's second interface knows."""
    for key in data:
        if key != '_links':
            setattr(document, '_' + key, data[key])
    return document


class Supply(SlapDocument):
    """Asks for software on computers."""

    def supply(self, software_release, computer_guid=None, state='available'):
        """Asks for a software release on a computer, or for its end: state 'destroyed'."""
        try:
            self._connection_helper.POST('supplySupply', data={
                'url': software_release, 'computer_id': computer_guid, 'state': state})
        except NotFoundError:
            raise NotFoundError('Computer %s has not been found by SlapOS Master.' % computer_guid)


class Token(SlapDocument):
    """Asks for tokens."""

    def request(self):
        """A token with which a computer can be registered."""
        return self._navigate().getToken()


class OpenOrder(SlapRequester):
    """What a person has requested."""

    def request(self, software_release, partition_reference, partition_parameter_kw=None, software_type=None,
                filter_kw=None, state=None, shared=False):
        """Requests an instance, or changes it; returns its partition."""
        return self._requestComputerPartition(self._form(
            software_release, partition_reference, partition_parameter_kw, software_type, filter_kw, state, shared))

    def getInformation(self, partition_reference):
        """What the master knows of a service."""
        data = self._navigate().getInstanceTreeRootSoftwareInstanceInformation(partition_reference)['data']
        instance = _information(SoftwareInstance(), data)
        parameters = {}
        if data.get('text_content') is not None:
            parameters = xml2dict(data['text_content'])
            if list(parameters) == ['_']:
                import json
                parameters['_'] = json.loads(parameters['_'])
        instance._parameter_dict = parameters
        instance._requested_state = data['slap_state']
        instance._connection_dict = data['connection_parameter_list']
        instance._software_release_url = data['url_string']
        return instance

    def requestComputer(self, computer_reference):
        """Makes a computer known to the master."""
        return self._connect(loads(self._connection_helper.POST('requestComputer', data={'computer_title': computer_reference})))


class Computer(SlapDocument):
    """A machine with partitions."""

    def __init__(self, computer_id, connection_helper=None, hateoas_navigator=None):
        SlapDocument.__init__(self, connection_helper, hateoas_navigator)
        self._computer_id = computer_id

    def __getinitargs__(self):
        return (self._computer_id,)

    def _fetch(self):
        if getattr(self, '_synced', False):
            return
        self.__dict__.update(self._connection_helper.getFullComputerInformation(self._computer_id).__dict__)
        self._synced = True
        for partition in self._computer_partition_list:
            partition._synced = True

    def getSoftwareReleaseList(self):
        """The software releases that the computer should have."""
        self._fetch()
        return [self._connect(release) for release in self._software_release_list]

    def getComputerPartitionList(self):
        """The partitions of the computer."""
        self._fetch()
        return [self._connect(partition) for partition in self._computer_partition_list]

    def _tell(self, method, **fields):
        return self._connection_helper.POST(method, data=dict(fields, computer_id=self._computer_id))

    def reportUsage(self, computer_usage):
        """Tells the master what partitions used, as XML."""
        if computer_usage != '':
            self._tell('useComputer', use_string=computer_usage)

    def updateConfiguration(self, xml):
        """Tells the master how the computer is set up."""
        return self._connection_helper.POST('loadComputerConfigurationFromXML', data={'xml': xml})

    def bang(self, message):
        """Has all instances of the computer processed again."""
        self._tell('computerBang', message=message)

    def getStatus(self):
        """The last message of the computer."""
        return loads(self._connection_helper.GET('getComputerStatus', params={'computer_id': self._computer_id}))

    def revokeCertificate(self):
        """Makes the certificate of the computer invalid."""
        self._tell('revokeComputerCertificate')

    def generateCertificate(self):
        """A new certificate for the computer, and its key."""
        return loads(self._tell('generateComputerCertificate'))

    def getInformation(self):
        """What the master knows of the computer."""
        return _information(Computer(self._computer_id), self._navigate()._getComputer(reference=self._computer_id)['data'])


from .partition import ComputerPartition  # noqa: E402  it needs what is above
ComputerPartition.__module__ = __name__


class SlapConnectionHelper(ConnectionHelper):
    """Calls that answer with a computer."""

    def getComputerInformation(self, computer_id):
        return loads(self.GET('getComputerInformation', params={'computer_id': computer_id}))

    def getFullComputerInformation(self, computer_id):
        params = {'computer_id': computer_id}
        if not computer_id:
            raise NotFoundError('%r %r' % ('getFullComputerInformation', params))
        try:
            return loads(self.GET('getFullComputerInformation', params=params))
        except NotFoundError:  # of an old master
            return self.getComputerInformation(computer_id)


class slap(object):
    """The way to a master."""

    _rest = None  # what initializeConnection says of the second interface

    def initializeConnection(self, slapgrid_uri, key_file=None, cert_file=None, master_ca_file=None, timeout=60,
                             slapgrid_rest_uri=None):
        """Names the master; it is called when something is asked of it."""
        self._connection_helper = SlapConnectionHelper(slapgrid_uri, key_file, cert_file, master_ca_file, timeout)
        self._rest = slapgrid_rest_uri, (key_file, cert_file, master_ca_file, timeout)

    def __getattr__(self, name):
        if name != '_hateoas_navigator' or self._rest is None:
            raise AttributeError('%r object has no attribute %r' % (type(self).__name__, name))
        uri, options = self._rest
        if not uri:
            try:
                uri = bytes2str(self._connection_helper.GET('getHateoasUrl'))
            except Exception:
                uri = None  # an old master has none
        self._hateoas_navigator = None
        if uri:
            from .navigator import SlapHateoasNavigator
            self._hateoas_navigator = SlapHateoasNavigator(uri, *options)
        return self._hateoas_navigator

    def _document(self, kind, *arguments):
        document = kind(*arguments)
        document._connection_helper = self._connection_helper
        document._navigator = lambda: self._hateoas_navigator
        return document

    def registerSoftwareRelease(self, software_release):
        """A software release, by its URL."""
        return self._document(SoftwareRelease, software_release)

    def registerToken(self):
        """Where tokens are requested."""
        self._navigate()
        return self._document(Token)

    def registerComputer(self, computer_guid):
        """A computer, by its reference."""
        return self._document(Computer, computer_guid)

    def registerComputerPartition(self, computer_guid, partition_id):
        """A partition, by its computer's reference and its name there."""
        if not computer_guid or not partition_id:
            raise NotFoundError
        return self._document(ComputerPartition, computer_guid, partition_id)

    def registerOpenOrder(self):
        """Where instances are requested."""
        return self._document(OpenOrder)

    def registerSupply(self):
        """Where software is asked for."""
        return self._document(Supply)

    def getSoftwareReleaseListFromSoftwareProduct(self, software_product_reference=None, software_release_url=None):
        """The URLs of a product's releases, the best first; or of those beside another."""
        params = {}
        if software_product_reference:
            if software_release_url is not None:
                raise AttributeError('Both software_product_reference and software_release_url parameters are specified.')
            params['software_product_reference'] = software_product_reference
        elif software_release_url is None:
            raise AttributeError('None of software_product_reference and software_release_url parameters are specified.')
        else:
            params['software_release_url'] = software_release_url
        return loads(self._connection_helper.GET('getSoftwareReleaseListFromSoftwareProduct', params=params))

    def _navigate(self):
        if self._hateoas_navigator is None:
            raise Exception('SlapOS Master Hateoas API required for this operation is not available.')
        return self._hateoas_navigator

    def getOpenOrderDict(self):
        """The services of the person, by title."""
        return self._navigate().getInstanceTreeDict()

    def getComputerDict(self):
        """The computers of the person, by title."""
        return self._navigate().getComputerDict()
