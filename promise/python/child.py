# SPDX-License-Identifier: GPL-3.0-or-later
# One plugin promise, in a process of its own.

import json
import logging
import os
import re
import sys
import time
import traceback

from _slapos_promise_library import import_module

REPORT = 3  # where the agent listens


def write_all(fd, message):
    data = (json.dumps(message) + '\n').encode('ascii')
    while data:
        data = data[os.write(fd, data):]


class Queue(object):
    """What promise classes put their result in."""

    def __init__(self, fd):
        self.fd = fd

    def put_nowait(self, result):
        item = result.item
        write_all(self.fd, {
            'status': 'empty' if item.type() == 'Empty Result' else 'done',
            'type': item.type(), 'failed': bool(item.hasFailed()),
            'message': as_text(item.message),
            'date': item.date.strftime('%Y-%m-%dT%H:%M:%S+0000')})

    put = put_nowait

    def bang(self, message):
        write_all(self.fd, {'bang': as_text(message)})


def as_text(value):
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode('utf-8', 'replace')
    return value if isinstance(value, type(u'')) else str(value)


class Token(object):
    """True for one promise of the run only: the first anomaly bangs (PROM-15)."""

    def __init__(self):
        self.source, sink = os.pipe()
        os.write(sink, b'1')
        os.close(sink)

    def __bool__(self):
        return os.read(self.source, 1) == b'1'

    __nonzero__ = __bool__


def load_class(folder, name):
    """The RunPromise of a plugin, and its parameters (PROM-11)."""
    title = os.path.splitext(name)[0]
    if re.match('[a-zA-Z_]', name) is None:
        raise ValueError('%r is no name for a plugin: it must begin with a '
                         'letter or an underscore' % name)
    initial = os.path.join(folder, '__init__.py')
    if not os.path.exists(initial):
        with open(initial, 'w'):
            pass
        os.chmod(initial, 0o644)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    sys.modules.pop(title, None)  # a module of the library of the same name
    module = import_module(title)
    promise = getattr(module, 'RunPromise', None)
    if promise is None:
        raise AttributeError('%s has no class RunPromise' % name)
    from slapos.grid.promise import interface
    from slapos.grid.promise.generic import GenericPromise
    if not interface.IPromise.implementedBy(promise):
        raise RuntimeError('RunPromise of %s does not implement IPromise: is '
                           '@implementer(interface.IPromise) missing?' % name)
    if not issubclass(promise, GenericPromise):
        raise RuntimeError('RunPromise of %s is no GenericPromise' % name)
    extra = getattr(module, 'extra_config_dict', {})
    if not isinstance(extra, dict):
        raise ValueError('extra_config_dict of %s is no dictionary' % name)
    return promise, extra


def write_cache(job, title, promise, enabled):
    """What the next run needs to know without starting Python (PROM-23)."""
    module = sys.modules[type(promise).__module__]
    source = os.path.splitext(module.__file__)[0] + '.py'
    stamp = time.time()
    cache = [('is_tested', promise.isTested()),
             ('is_anomaly_detected', promise.isAnomalyDetected()),
             ('periodicity', promise.getPeriodicity()),
             ('next_run_after',
              stamp + promise.getPeriodicity() * 60.0 if enabled else stamp),
             ('timestamp', stamp),
             ('module_file', source),
             ('module_file_mtime', os.stat(source).st_mtime)]
    text = '{%s}' % ', '.join(
        ['%s: %s' % (json.dumps(key), json.dumps(value)) for key, value in cache])
    path = os.path.join(job['cache'], title)
    temporary = path + '.tmp'
    try:
        os.unlink(temporary)
    except OSError:
        pass
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(fd, text.encode('ascii'))
    finally:
        os.close(fd)
    os.rename(temporary, path)


def run_promise(job, name, queue, token):
    os.chdir(job['partition'])
    anomaly = job['anomaly']
    promise, extra = load_class(job['folder'], name)
    config = dict(job['config'], queue=queue, name=name,
                  path=os.path.join(job['folder'], name))
    for key in extra:
        if key in config:
            raise ValueError('extra_config_dict of %s can not set %r' % (name, key))
    config.update(extra)
    instance = promise(config)
    enabled = instance.isAnomalyDetected() if anomaly else instance.isTested()
    write_cache(job, os.path.splitext(name)[0], instance, enabled)
    instance.run(anomaly, token if anomaly else False)


def run_child(job, name, fd, token):
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.close(REPORT)
        if 'random' in sys.modules:
            sys.modules['random'].seed()
        run_promise(job, name, Queue(fd), token)
        threading = sys.modules.get('threading')
        for thread in threading.enumerate() if threading else ():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        code = 0
    except Exception:
        logging.error('%s', traceback.format_exc())
    except SystemExit:
        pass
    finally:
        for stream in sys.stdout, sys.stderr:
            try:
                stream.flush()
            except Exception:
                pass
        os._exit(code)
