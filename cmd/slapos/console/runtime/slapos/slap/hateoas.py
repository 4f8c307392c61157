# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of a master, and its second interface, which describes documents."""

import json

from urllib.parse import urljoin, urlsplit, urlunsplit

from .exception import AuthenticationError, ConnectionError, NotFoundError, ResourceNotReady, ServerError

USER_AGENT = 'slapos.core/1.26.1'
MOST_REDIRECTS = 30

# What the console knows of its master: url, ca_file, insecure, token. The console
# sets it when it makes this module.
_master = globals().get('_master', {})

ALLOWED_JIO_FIELD_LIST = ['StringField', 'EmailField', 'IntegerField', 'FloatField', 'TextAreaField']


class TempDocument(object):
    """Attributes of a document."""

    def __init__(self, **kw):
        self.__dict__.update(kw)


class BasicSlapPartitionAuth(object):
    """In whose name a call is made."""

    def __init__(self, computer_id, computer_partition_id):
        self.authorization = 'X-SlapPartition computer_id=%s, computer_partition_id=%s' % (
            computer_id, computer_partition_id)


class Response(object):
    """An answer."""

    def __init__(self, status, reason, url, content, headers):
        self.status_code, self.reason, self.url, self.content, self.headers = status, reason, url, content, headers

    @property
    def text(self):
        return self.content.decode(self.headers.get_content_charset('utf-8'), 'replace')

    def json(self):
        return json.loads(self.text)


class HTTPError(IOError):
    """An answer that says no, in a way that has no exception of its own."""

    def __init__(self, message, response):
        IOError.__init__(self, message)
        self.response = response


def _bracket(url):
    """Puts a bare IPv6 address into brackets."""
    import socket
    parts = urlsplit(url)

    def address(text):
        try:
            return '[%s]' % socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
        except (OSError, ValueError):
            return ''
    host, _, port = parts.netloc.rpartition(':')
    if address(parts.netloc):
        netloc = address(parts.netloc)
    elif address(host):
        netloc = address(host) + ':' + port
    else:
        return url
    return urlunsplit(parts._replace(netloc=netloc))


def _same_server(url, other):
    return urlsplit(url)[:2] == urlsplit(other)[:2]


class _Network(object):
    """Makes requests as one client; urllib is imported with the first of them."""

    def __init__(self, key_file, cert_file, ca_file, timeout):
        self.key_file, self.cert_file, self.ca_file, self.timeout = key_file, cert_file, ca_file, timeout

    def context(self):
        import os
        import ssl
        for path, what in (self.cert_file, 'certificate'), (self.key_file, 'key'):
            if path and self.cert_file and not os.path.exists(path):
                raise OSError('Could not find the TLS %s file, invalid path: %s' % (what, path))
        context = ssl.create_default_context(cafile=self.ca_file or _master.get('ca_file') or None)
        if not self.ca_file and _master.get('insecure'):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        return context

    @staticmethod
    def login(url, auth):
        """The Authorization headers for a server: a token goes to its master alone."""
        user = urlsplit(url)
        headers = []
        if _master.get('token') and _same_server(url, _bracket(_master['url'])):
            headers.append('Bearer ' + _master['token'])
        if auth is not None:
            return headers + [auth.authorization]
        if headers:
            return headers
        name, password = user.username, user.password
        if name is None:
            name, password = _netrc(user.hostname)
        if name is not None:
            from base64 import b64encode
            from urllib.parse import unquote
            text = '%s:%s' % (unquote(name), unquote(password or ''))
            headers.append('Basic ' + b64encode(text.encode('utf-8')).decode())
        return headers

    def send(self, method, url, data, headers, auth):
        import http.client
        import urllib.error
        import urllib.request

        def connection(kind):
            class Connection(kind):
                def putheader(self, name, *values):
                    for value in values:  # one header for each authorization
                        for part in value.split('\0') if isinstance(value, str) else [value]:
                            kind.putheader(self, name, part)
            return Connection

        plain = connection(http.client.HTTPConnection)

        class HTTP(urllib.request.HTTPHandler):
            def http_open(self, request):
                return self.do_open(plain, request)

        handlers = [HTTP]
        if hasattr(http.client, 'HTTPSConnection'):
            secure = connection(http.client.HTTPSConnection)
            network = self

            class HTTPS(urllib.request.HTTPSHandler):
                def https_open(self, request):
                    return self.do_open(secure, request, context=network.context())
            handlers.append(HTTPS)

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
            http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302
        opener = urllib.request.build_opener(Stay, *handlers)

        for _ in range(MOST_REDIRECTS + 1):
            login = self.login(url, auth)
            bare = _without_user(url)
            request = urllib.request.Request(bare, data, dict(headers), method=method)
            if login:
                request.add_unredirected_header('Authorization', '\0'.join(login))
            try:
                answer = opener.open(request, timeout=self.timeout)
            except urllib.error.HTTPError as e:
                answer = e
            with answer:
                response = Response(answer.getcode(), getattr(answer, 'reason', '') or answer.msg, bare, answer.read(), answer.headers)
            target = response.headers.get('Location')
            if response.status_code not in (301, 302, 303, 307, 308) or not target:
                return response
            target = urljoin(url, target)
            if not target.startswith(('http://', 'https://')):
                raise OSError('the server sends the client to %s' % target)
            if not _same_server(target, url):
                auth = None
            url = target
            if response.status_code < 307 and method == 'POST':
                method, data = 'GET', None
                headers = {key: headers[key] for key in headers if key != 'Content-type'}
        raise OSError('Exceeded %d redirects.' % MOST_REDIRECTS)


def _without_user(url):
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition('@')[2]))


def _netrc(host):
    """The login for a host in .netrc, or two Nones."""
    import os
    path = os.environ.get('NETRC') or os.path.expanduser('~/.netrc')
    if not os.path.exists(path):
        return None, None
    import netrc
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        found = None
    from urllib.parse import quote
    return (quote(found[0]), quote(found[2] or '')) if found else (None, None)


class ConnectionHelper:
    """Calls a master by the names of its methods."""

    def __init__(self, master_url, key_file=None, cert_file=None, master_ca_file=None, timeout=None):
        master_url = _bracket(master_url)
        self.slapgrid_uri = master_url if master_url.endswith('/') else master_url + '/'
        self.key_file = key_file
        self.cert_file = cert_file
        self.master_ca_file = master_ca_file
        self.timeout = timeout

    def do_request(self, method, path, params=None, data=None, headers=None, auth=None):
        import http.client
        from urllib.parse import urlencode
        url = asked = urljoin(self.slapgrid_uri, path)
        query = {key: params[key] for key in params or {} if params[key] is not None}
        if query:
            url += ('&' if '?' in url else '?') + urlencode(query, True)
        body = None
        if method == 'POST':
            data = {key: 'None' if value is None else value for key, value in (data or {}).items()}
            body = urlencode(data, True).encode()
        headers = dict({'Accept': '*/*', 'User-Agent': USER_AGENT}, **headers or {})
        network = _Network(self.key_file, self.cert_file, self.master_ca_file, self.timeout)
        try:
            response = network.send(method, url, body, headers, auth)
        except (OSError, http.client.HTTPException) as e:
            if isinstance(e, OSError) and str(e).startswith('Could not find the TLS'):
                raise
            raise ConnectionError(
                "Couldn't connect to the server. Please double check given master-url argument, and make sure that IPv6 "
                'is enabled on your machine and that the server is available. The original error was:\n%s'
                % getattr(e, 'reason', e))
        status = response.status_code
        if status < 400:
            return response
        if status == 404:
            raise NotFoundError(asked + (' - %s' % params if params else ''))
        if status == 408:  # that is how a master says "not yet"
            raise ResourceNotReady(path.lstrip('/'))
        message = '%d %s Error: %s for url: %s' % (
            status, 'Client' if status < 500 else 'Server', response.reason, response.url)
        if status in (500, 502, 503, 520, 523, 524, 526):
            raise ServerError(message)
        raise HTTPError(message, response)

    def GET(self, path, params=None, headers=None, auth=None):
        return self.do_request('GET', path, params=params, headers=headers).text.encode('utf-8')

    def POST(self, path, params=None, data=None, content_type='application/x-www-form-urlencoded', auth=None):
        headers = {'Content-type': content_type}
        return self.do_request('POST', path, params=params, data=data, headers=headers, auth=auth).text.encode('utf-8')


# Before the first value, between values, whether values have names, what follows
# the name of an empty one, and which characters stay: RFC 6570.
_RESERVED = ":/?#[]@!$&'()*+,;=%"
_OPERATORS = {
    '': ('', ',', False, '', ''), '+': ('', ',', False, '', _RESERVED), '#': ('#', ',', False, '', _RESERVED),
    '.': ('.', '.', False, '', ''), '/': ('/', '/', False, '', ''), ';': (';', ';', True, '', ''),
    '?': ('?', '&', True, '=', ''), '&': ('&', '&', True, '=', ''),
}


def expand(template, variables):
    """Expands a URI template."""
    import re
    from urllib.parse import quote

    def expression(found):
        operator, names = re.match(r'([+#./;?&]?)(.*)', found.group(1)).groups()
        first, separator, named, empty, safe = _OPERATORS[operator]

        def text(value):
            return quote(str(value), safe='~' + safe)

        def with_name(name, value):
            return '%s%s' % (name, '=' + value if value else empty) if named else value
        out = []
        for spec in names.split(','):
            name, explode, _ = spec.partition('*')
            name, _, length = name.partition(':')
            value = variables.get(name)
            if value is None or value in ([], (), {}):
                continue
            if isinstance(value, dict):
                pairs = [(text(key), text(value[key])) for key in sorted(value)]
                if explode:
                    out.append(separator.join('%s=%s' % pair for pair in pairs))
                else:
                    out.append(with_name(name, ','.join('%s,%s' % pair for pair in pairs)))
            elif isinstance(value, (list, tuple)):
                if explode:
                    out.append(separator.join(with_name(name, text(item)) for item in value))
                else:
                    out.append(with_name(name, ','.join(map(text, value))))
            else:
                value = str(value)
                out.append(with_name(name, text(value[:int(length)] if length else value)))
        return first + separator.join(out) if out else ''
    return re.sub(r'{([^}]+)}', expression, template)
