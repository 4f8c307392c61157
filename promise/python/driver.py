# SPDX-License-Identifier: GPL-3.0-or-later
# Runs the plugin promises of one partition, as its user and in the Python of
# its Software Release: 2.7 or 3.5 and later, standard library only. The agent
# reads one JSON object per line on descriptor 3:
#
#   {"runner": "own" | "launcher", "version": V}    V: null with our own runtime
#   {"name": N, "status": S, "duration": seconds, "type": T, "failed": F,
#    "message": M, "date": D}          S: done, empty, silent, timeout
#   {"bang": message}                  please bang (embedded runtime only)
#   {"finished": true}                 a launcher has found all well
#   {"error": text, "promise": F}      a launcher reports a promise, or why
#                                      nothing ran
#
# Whatever promises print is the agent's log. What they give to a logger is a
# line there, too: character 0x1e, then {"logger": L, "level": V, "text": T}.

import errno
import fcntl
import gc
import json
import logging
import os
import select
import signal
import sys
import time
import traceback

from _slapos_promise_child import REPORT, Token, as_text, run_child, write_all
from _slapos_promise_library import prepare, read, share_imports

now = getattr(time, 'monotonic', time.time)


def tell(**message):
    write_all(REPORT, message)


class Run(object):
    """A promise that runs."""

    def __init__(self, name, timeout):
        self.name, self.started = name, now()
        self.deadline, self.stage = self.started + timeout, 'running'
        self.received = b''
        self.source = self.pid = None

    def receive(self):
        """Takes what the promise has sent; False when nothing more will come."""
        while True:
            try:
                data = os.read(self.source, 65536)
            except (IOError, OSError) as e:
                return e.errno in (errno.EAGAIN, errno.EINTR)
            if not data:
                return False
            self.received = (self.received + data)[:1 << 18]

    def expire(self):
        """SIGTERM when the time is over, and a second later the end (PROM-24)."""
        if self.stage == 'running':
            self.stage, self.deadline = 'asked', now() + 1
            signal_process(self.pid, signal.SIGTERM)
        else:
            if self.stage == 'asked':
                logging.info('Killing process %s...', self.name)
            self.stage, self.deadline = 'killed', now() + 60
            kill_tree(self.pid)

    def report(self):
        answer = {'status': 'silent'}
        for line in self.received.split(b'\n')[:-1]:
            try:
                message = dict(json.loads(line.decode('ascii')))
            except (TypeError, ValueError):
                continue
            if 'bang' in message:
                tell(bang=message['bang'])
            else:
                answer = message
        if self.stage != 'running':
            answer = {'status': 'timeout'}
        answer.update(name=self.name, duration=now() - self.started)
        write_all(REPORT, answer)
        return answer.get('status')


def start(job, name, token, others, wakeup):
    run = Run(name, job['timeout'])
    run.source, sink = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    run.pid = os.fork()
    if run.pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in [run.source, wakeup] + [other.source for other in others]:
                os.close(fd)
        finally:
            run_child(job, name, sink, token)
    os.close(sink)
    set_nonblocking(run.source)
    try:
        os.setpgid(run.pid, run.pid)  # whoever comes first
    except OSError:
        pass
    return run


def run_all(job):
    time.strptime('0', '%M')  # imports what each promise needs to read its log
    if hasattr(gc, 'freeze'):
        gc.freeze()  # a collection in each child would copy its memory
    wakeup, wakeup_sink = os.pipe()
    set_nonblocking(wakeup)
    set_nonblocking(wakeup_sink)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakeup_sink)
    token = Token()
    waiting, running, readable = list(job['due']), [], set()
    while waiting or running:
        while waiting and len(running) < job['parallel']:
            running.append(start(job, waiting.pop(0), token, running, wakeup))
            readable.add(running[-1])
        pause = max(0, min(run.deadline for run in running) - now())
        ready = wait([wakeup] + [run.source for run in readable], pause)
        for run in list(readable):
            if run.source in ready and not run.receive():
                readable.discard(run)
        if wakeup in ready:
            os.read(wakeup, 4096)
        for run in list(running):
            if ended(run.pid):
                run.receive()
                status = run.report()
                if status in ('silent', 'timeout') and run.name in job['suspects']:
                    bool(token)  # an anomaly: the others must not bang
                readable.discard(run)
                os.close(run.source)
                running.remove(run)
            elif now() >= run.deadline:
                run.expire()


def wait(descriptors, pause):
    try:
        return select.select(descriptors, [], [], pause)[0]
    except (select.error, OSError) as e:
        if e.args[0] != errno.EINTR:
            raise
        return descriptors[:1] if readable_now(descriptors[0]) else []


def readable_now(fd):
    return bool(select.select([fd], [], [], 0)[0])


def ended(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except OSError as e:
        return e.errno == errno.ECHILD


def set_nonblocking(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


def signal_process(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def kill_tree(root):
    """Stops the promise, its descendants and its process group until there is
    no new one, then kills them."""
    signal_process(root, signal.SIGSTOP)
    tree = set([root])
    for _ in range(1000):
        new = set(pid for pid, parent, group in processes()
                  if pid not in tree and (parent in tree or group == root))
        if not new:
            break
        for pid in new:
            signal_process(pid, signal.SIGSTOP)
        tree |= new
    for pid in tree:
        signal_process(pid, signal.SIGKILL)


def processes():
    for name in os.listdir('/proc'):
        if name.isdigit():
            fields = read('/proc/%s/stat' % name).rpartition(')')[2].split()
            if len(fields) > 2:
                yield int(name), int(fields[1]), int(fields[2])


def run_launcher(job):
    """Lets the release's own launcher do everything, legacy promises too."""
    from slapos.grid.promise import PromiseLauncher, PromiseError
    config = dict(job['config'])
    config.update({'promise-folder': job['folder'],
                   'legacy-promise-folder': job['legacy'],
                   'force': job['force'], 'check-anomaly': job['anomaly']})
    try:
        PromiseLauncher(config=config, logger=logging.getLogger('slapos')).run()
    except Exception as e:
        try:
            text = as_text(str(e))
        except UnicodeError:
            text = repr(e)
        if not isinstance(e, PromiseError):
            logging.error('%s', traceback.format_exc())
        tell(error=text, promise=isinstance(e, PromiseError))
    else:
        tell(finished=True)


class Formatter(logging.Formatter):
    """Records whose name and level the agent's log keeps."""

    def format(self, record):
        text = logging.Formatter.format(self, record)
        name = 'slapos' if record.name == 'root' else record.name
        line = '\x1e' + json.dumps({'logger': as_text(name), 'level': record.levelname,
                                    'text': as_text(text)})
        if len(line) < 60000:  # the agent cuts lines that are longer
            return line
        return text


def native(value):
    """JSON's text as Python 2's str."""
    if isinstance(value, list):
        return [native(item) for item in value]
    if isinstance(value, dict):
        return dict((native(key), native(item)) for key, item in value.items())
    if sys.version_info < (3,) and isinstance(value, type(u'')):
        return value.encode('utf-8')
    return value


def main(job):
    job = native(job)
    stream = sys.stdout
    if sys.version_info >= (3,):  # whatever the locale
        stream = open(1, 'w', encoding='utf-8', errors='replace', closefd=False)
    logging.basicConfig(stream=stream, level=logging.INFO, format='%(message)s')
    logging.getLogger().handlers[0].setFormatter(Formatter())
    try:
        version, launcher = prepare(job)
        job['config']['slapgrid-version'] = version or job['version']
        tell(runner='launcher' if launcher else 'own', version=version)
        if launcher:
            run_launcher(job)
        else:
            if version and sys.version_info >= (3, 7):
                share_imports(job['folder'], job['due'])
            run_all(job)
    except Exception:
        tell(error=traceback.format_exc(), promise=False)
        sys.exit(1)
