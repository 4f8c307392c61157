# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks through the documents of a master: services, computers, tokens."""

import json

from .exception import NotFoundError
from .hateoas import ALLOWED_JIO_FIELD_LIST, ConnectionHelper, TempDocument, expand

VIEW = 'slaposjs_view'
MOST = 40  # documents that an answer lists


class HateoasNavigator(object):
    """Follows the links of documents."""

    def __init__(self, slapgrid_uri, key_file=None, cert_file=None, master_ca_file=None, timeout=60):
        self.slapos_master_hateoas_uri = slapgrid_uri
        self.key_file = key_file
        self.cert_file = cert_file
        self.master_ca_file = master_ca_file
        self.timeout = timeout

    def GET(self, uri, headers=None):
        connection = ConnectionHelper(uri, self.key_file, self.cert_file, self.master_ca_file, self.timeout)
        return connection.GET(uri, headers=headers)

    def hateoasGetLinkFromLinks(self, links, title):
        for link in [links] if isinstance(links, dict) else links:
            if link.get('title') == title:
                return link['href']
        raise NotFoundError('Action %s not found.' % title)

    def getRelativeUrlFromUrn(self, urn):
        before, found, url = urn.partition('urn:jio:get:')
        if found and 'urn:jio:get:' not in url:
            return url
        return None

    def getSiteDocument(self, url, headers=None):
        return json.loads(self.GET(url, headers))

    def getRootDocument(self):
        if not getattr(self, 'root_document', None):
            self.root_document = self.getSiteDocument(
                self.slapos_master_hateoas_uri, headers={'Cache-Control': 'no-cache'})
        return self.root_document

    def _getSearchUrl(self):
        return self.getRootDocument()['_links']['raw_search']['href']

    def _getTraverseUrl(self):
        return self.getRootDocument()['_links']['traverse']['href']

    def _extractPropertyFromFormDict(self, form_dict):
        """What the fields of a form hold, and how to send them back."""
        form, links = form_dict['_embedded']['_view'], form_dict['_links']
        values = {'portal_type': links['type']['name']}
        if 'parent' in links:
            values['parent_relative_url'] = '/'.join(links['parent']['href'].split('/')[-2:])
        fields = {'form_id': {'key': [form['form_id']['key']], 'default': form['form_id']['default']}}
        for key, field in form.items():
            kind, _, name = key.partition('_')
            if kind in ('my', 'your') and _ and field['type'] in ALLOWED_JIO_FIELD_LIST:
                values[name] = field.get('default')
                fields[name] = {'default': field.get('default'), 'key': field['key']}
        return {'data': values, 'form_data': fields}

    def jio_allDocs(self, query):
        query.setdefault('limit', MOST)
        rows = json.loads(self.GET(expand(self._getSearchUrl(), query)))['_embedded']['contents']
        return {'data': {'rows': rows, 'total_rows': len(rows)}}

    def _traverse(self, key):
        return json.loads(self.GET(expand(self._getTraverseUrl(), {'relative_url': key, 'view': VIEW})))

    def jio_get(self, key):
        return self._extractPropertyFromFormDict(self._traverse(key))

    def jio_getAttachment(self, key, action, options):
        if action == 'view':
            return self._traverse(key)
        if not action.startswith(self.slapos_master_hateoas_uri):
            raise ValueError('%s is no address of the master' % action)
        return json.loads(self.GET(action))

    def _getMeUrl(self):
        return self.getRelativeUrlFromUrn(self.getRootDocument()['_links']['me']['href'])

    def getMeDocument(self):
        return self.jio_get(self._getMeUrl())


def _documents(row, skipped, **more):
    document = TempDocument(**more)
    for key in row:
        if key not in skipped:
            setattr(document, '_' + key, row[key])
    return document


class SlapHateoasNavigator(HateoasNavigator):
    """What a person asks a master about."""

    def _search(self, kinds, conditions, select_list):
        query = 'portal_type:%s AND validation_state:validated' % kinds
        for name, value in conditions:
            if value is not None:
                query += ' AND %s:="%s"' % (name, value)
        return self.jio_allDocs(query={'query': query, 'select_list': select_list})['data']['rows']

    def _getInstanceTreeList(self, title=None, select_list=('title', 'url_string')):
        return self._search('"Instance Tree"', [('title', title)], list(select_list))

    def _getComputerList(self, title=None, reference=None, select_list=('title', 'reference')):
        return self._search('"Compute Node"', [('title', title), ('reference', reference)], list(select_list))

    def getInstanceTreeInstanceList(self, title):
        return self._search(
            '("Software Instance", "Slave Instance")', [('default_specialise_title', title)],
            ['uid', 'title', 'relative_url', 'portal_type', 'url_string', 'text_content', 'getConnectionXmlAsDict',
             'SoftwareInstance_getNewsDict'])

    def getInstanceTreeDict(self, title=None):
        trees = {}
        for row in self._getInstanceTreeList(title=title):
            tree = _documents(row, ('_links', 'url_string'), _software_release_url=row['url_string'])
            trees[tree._title] = tree
        return trees

    def getComputerDict(self):
        computers = [_documents(row, ('_links',)) for row in self._getComputerList()]
        return {computer._title: computer for computer in computers}

    def getToken(self):
        home = self.getRootDocument()['_links']['self']['href']
        answer = self.jio_getAttachment('computer_module', home + '/computer_module/Base_getComputerToken', {})
        return answer['access_token']

    def _document(self, rows, name, value, missing):
        assert len(rows) <= 1, 'the master has several documents with the %s %s' % (name, value)
        for row in rows:
            if row.get(name) == value:
                return self.jio_get(row['relative_url'])
        raise NotFoundError(missing)

    def getInstanceTreeRootSoftwareInstanceInformation(self, reference):
        rows = self._getInstanceTreeList(title=reference, select_list=['title', 'relative_url'])
        return self._document(rows, 'title', reference, 'This document does not exist.')

    def _getComputer(self, reference):
        rows = self._getComputerList(reference=reference, select_list=['reference', 'relative_url'])
        return self._document(rows, 'reference', reference, 'This computer does not exist.')

    def getSoftwareInstallationList(self, computer_guid=None, select_list=(
            'uid', 'relative_url', 'url_string', 'SoftwareInstallation_getNewsDict')):
        return self._search(
            '"Software Installation"', [('default_aggregate_reference', computer_guid)], list(select_list))

    def getInstanceNews(self, url):
        return self.jio_get(url)['news']

    def getSoftwareInstallationNews(self, computer_guid=None, url=None):
        for row in self.getSoftwareInstallationList(computer_guid):
            if row['url_string'] == url:
                return row['SoftwareInstallation_getNewsDict']['text']
        return '#error no data found'

    def getComputerNews(self, computer_guid):
        return self._getComputer(reference=computer_guid)['data']['news']['computer']['text']

    def getComputerPartitionNews(self, computer_guid, partition_id):
        try:
            return self._getComputer(reference=computer_guid)['data']['news']['partition'][partition_id]['text']
        except KeyError:
            return '#error no data found'
