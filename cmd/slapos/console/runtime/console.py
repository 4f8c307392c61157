# SPDX-License-Identifier: GPL-3.0-or-later
# The Python side of slapos console. What begins it can be any Python: up to the
# check of its version, this must be understood by old ones.
import os
import sys

OLDEST = (3, 6)
HERE = '<slapos console>'


def start(job, payload):
    if sys.version_info < OLDEST:
        leave(job, payload)
    payload.close()
    arguments = sys.argv[2:]
    if sys.path and sys.path[0] == '':
        del sys.path[0]  # until the program starts, nothing comes from the working directory
    main = sys.modules['__main__'].__dict__
    for name in [name for name in main if not name.startswith('__')]:
        del main[name]
    sys.excepthook = show
    console = Console(job, main)
    if job['kind'] == 'interactive':
        console.interact()
    else:
        console.run(arguments)


def leave(job, payload):
    """Goes on with the next Python, or without one."""
    number = int(sys.argv[1]) + 1
    pythons, starlark = job['pythons'].split('\0'), job['starlark'].split('\0')
    if job['fixed'] == 'yes':
        sys.exit('slapos console: %s is Python %d.%d, too old: set [slapos] python to one from %d.%d on, or use --starlark' % (
            (pythons[0],) + tuple(sys.version_info[:2]) + OLDEST))
    if number == len(pythons):
        os.execv(starlark[0], starlark)
    os.lseek(payload.fileno(), 0, 0)
    os.execv(pythons[number], [pythons[number], '-c', job['begin'], str(number)] + sys.argv[2:])


def show(kind, value, trace):
    """Shows an exception without the console's own part of the stack."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (HERE, '<string>') and (
            trace.tb_frame.f_globals.get('HERE') == HERE or trace.tb_next is not None
            and trace.tb_next.tb_frame.f_globals.get('HERE') == HERE):
        trace = trace.tb_next
    sys.__excepthook__(kind, value.with_traceback(trace), trace)


class Finder(object):
    """Finds the library's modules that this Python does not have itself."""

    def __init__(self, sources, master):
        self.sources, self.master = sources, master

    def find_spec(self, name, path=None, target=None):
        if name not in self.sources:
            return None
        from importlib.machinery import ModuleSpec
        return ModuleSpec(name, self, origin='slapos', is_package=self.sources[name][0] == 'package')

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module._master = self.master
        exec(compile(self.get_source(module.__name__), self.place(module.__name__), 'exec'), module.__dict__)

    @staticmethod
    def place(name):
        return 'slapos console/%s.py' % name.replace('.', '/')

    def get_source(self, name):  # tracebacks ask for it
        return self.sources[name][1]


class Log(object):
    """Logs as the rest of slapos does."""

    def __init__(self, job):
        self.quiet, self.time = job['quiet'] == 'yes', job['time'] == 'yes'
        self.file = self.follow(job['log_file']) if job['log_file'] else None

    def follow(self, path):
        """Has a file get all that is logged, by scripts and libraries, too."""
        import logging
        file, terminal = logging.FileHandler(path), logging.StreamHandler()
        file.setFormatter(logging.Formatter('[%(asctime)s] %(levelname)-8s %(message)s'))
        terminal.setLevel(logging.WARNING)  # as without a file
        logging.getLogger().setLevel(logging.DEBUG)
        for handler in file, terminal:
            logging.getLogger().addHandler(handler)
        return file

    def write(self, level, message, arguments):
        if self.file:
            import logging
            self.file.handle(logging.LogRecord('slapos', getattr(logging, level), '', 0, message, arguments, None))
        if self.quiet and level == 'INFO':
            return
        import time
        text = message % arguments if arguments else message
        begin = time.strftime('%Y-%m-%d %H:%M:%S ') if self.time else ''
        sys.stderr.write('%sslapos[%d] %s %s\n' % (begin, os.getpid(), level, text))

    def info(self, message, *arguments):
        self.write('INFO', message, arguments)

    def warning(self, message, *arguments):
        self.write('WARNING', message, arguments)

    def error(self, message, *arguments):
        self.write('ERROR', message, arguments)


class Library(object):
    """The library that talks to the master, imported when something needs it."""

    def __init__(self, job, log):
        self.job, self.log = job, log
        self.module = self.slap = self.product = None
        self.finder = Finder(job['sources'], job['master'])
        sys.meta_path.append(self.finder)  # after what finds the real one

    def load(self):
        if self.module is None:
            try:
                import slapos.slap.slap
            except ImportError as e:
                if not sys.meta_path.count(self.finder) or sys.meta_path[0] is self.finder:
                    raise
                self.log.warning('The slapos.slap of %s cannot be imported (%s): the console uses its own.', sys.executable, e)
                for name in [name for name in sys.modules if (name + '.').startswith(('slapos.slap.', 'slapos.util.'))]:
                    del sys.modules[name]
                sys.meta_path.insert(0, self.finder)
                import slapos.slap.slap
            module = sys.modules['slapos.slap.slap']
            if module.__spec__.loader is not self.finder:
                trust(self.job['master'])
            self.slap = connected(module, self.job['master'])
            self.product = module.SoftwareProductCollection(self.log, self.slap)
            self.module = module
        return self

    def client(self, name):
        __import__('slapos.client')
        return getattr(sys.modules['slapos.client'], name)


def connected(module, master):
    """A slapos.slap.slap() that is connected when something is asked of it."""
    class slap(module.slap):
        __doc__ = module.slap.__doc__

        def __getattr__(self, name):
            if name in ('_connection_helper', '_hateoas_navigator') and '_connection_helper' not in self.__dict__:
                self.initializeConnection(master['url'], key_file=master['key_file'] or None, cert_file=master['cert_file'] or None,
                                          slapgrid_rest_uri=master['rest_url'] or None)
                return getattr(self, name)
            inherited = getattr(super(slap, self), '__getattr__', None)
            if inherited is None:
                raise AttributeError('%r object has no attribute %r' % ('slap', name))
            return inherited(name)
    slap.__module__, slap.__qualname__ = module.slap.__module__, module.slap.__qualname__
    return slap()


def trust(master):
    """Makes the library of slapos.core, which trusts every server and knows no
    tokens, check certificates and send the token as the configuration says."""
    import slapos.slap.hateoas as hateoas
    helper = hateoas.ConnectionHelper
    original = getattr(helper, 'do_request', None)
    if original is None:
        return
    from urllib.parse import urlsplit
    if master['insecure'] == 'yes':
        import warnings
        warnings.filterwarnings('ignore', message='Unverified HTTPS request')  # the configuration says so

    class Second(str):
        """A header's name beside another's that is the same."""

        def lower(self):
            return self + '-2'

    def do_request(self, method, *args, **kwargs):
        def send(url, verify=None, auth=None, **options):
            if master['insecure'] == 'yes':
                verify = False
            else:
                import ssl
                paths = ssl.get_default_verify_paths()
                verify = master['ca_file'] or paths.cafile or paths.capath or True
            if master['token'] and urlsplit(url)[:2] == urlsplit(master['url'])[:2]:
                def login(request):
                    if auth is not None:
                        request.headers[Second('Authorization')] = 'Bearer ' + master['token']
                        return auth(request)
                    request.headers['Authorization'] = 'Bearer ' + master['token']
                    return request
                return method(url=url, verify=verify, auth=login, **options)
            return method(url=url, verify=verify, auth=auth, **options)
        return original(self, send, *args, **kwargs)
    helper.do_request = do_request


class Later(object):
    """A name whose value is made when it is first used."""

    def __init__(self, make):
        self.__dict__['make'] = make

    @property
    def __class__(self):
        return type(self.__dict__['make']())

    def __getattr__(self, name):
        return getattr(self.__dict__['make'](), name)

    def __setattr__(self, name, value):
        setattr(self.__dict__['make'](), name, value)

    def __call__(self, *args, **kwargs):
        return self.__dict__['make']()(*args, **kwargs)

    def __repr__(self):
        return repr(self.__dict__['make']())

    def __dir__(self):
        return dir(self.__dict__['make']())


class Console(object):
    def __init__(self, job, main):
        self.job, self.main = job, main
        self.log = Log(job)
        self.library = library = Library(job, self.log)

        def request(*args, **kwargs):
            """request(software_release, partition_reference, partition_parameter_kw=None, software_type=None,
            filter_kw=None, state=None, shared=False): requests an instance, or changes it; returns its partition."""
            return library.load().slap.registerOpenOrder().request(*args, **kwargs)

        def supply(*args, **kwargs):
            """supply(software_release, computer_guid=None, state='available'): asks for software on a computer, or for
            its end with the state 'destroyed'."""
            return library.load().slap.registerSupply().supply(*args, **kwargs)

        def getInformation(*args, **kwargs):
            """getInformation(partition_reference): what the master knows of a service."""
            return library.load().slap.registerOpenOrder().getInformation(*args, **kwargs)

        def computer(computer_guid):
            """computer(computer_guid): a computer, with its partitions and its software."""
            return library.load().slap.registerComputer(computer_guid)
        for function in request, supply, getInformation, computer:
            function.__module__ = 'slapos.client'
            function.__qualname__ = function.__name__
            main[function.__name__] = function
        self.makers = {
            'slap': lambda: library.load().slap,
            'product': lambda: library.load().product,
            'software_product': lambda: library.load().product,
            'slapos': lambda: library.load() and sys.modules['slapos'],
            'atexit': lambda: __import__('atexit'),
            'configparser': lambda: __import__('configparser'),
        }
        for name in ('ClientConfig', 'SoftwareProductCollection', 'SOFTWARE_PRODUCT_NAMESPACE', 'init', 'do_console'):
            self.makers[name] = lambda name=name: library.client(name)
        main.update(os=os, sys=sys, __name__='__main__', __doc__=None)
        self.later = {name: Later(lambda name=name: self.make(name)) for name in self.makers}
        main.update(self.later)

    def make(self, name):
        """Makes the value of a name, and puts it where the name stands for it."""
        value = self.makers[name]()
        if self.main.get(name) is self.later[name]:
            self.main[name] = value
        return value

    def prepare(self, code):
        """Makes the names that a program uses."""
        used = set()

        def collect(code):
            used.update(code.co_names)
            for constant in code.co_consts:
                if hasattr(constant, 'co_names'):
                    collect(constant)
        collect(code)
        # These can reach any name.
        wide = used & {'globals', 'locals', 'vars', 'dir', 'eval', 'exec', 'execfile', '__main__', 'runpy', 'pickle'}
        if 'import_module' in used or '__import__' in used:
            wide = True
        for name in self.makers:
            if name in used or wide and name in ('slap', 'product', 'software_product', 'slapos'):
                self.make(name)

    def run(self, arguments):
        kind = self.job['kind']
        if kind == 'script':
            name = arguments[0]
            with open(name, 'rb') as f:
                source = f.read()
            self.main['__file__'] = name
            sys.path.insert(0, os.path.dirname(os.path.realpath(name)))
        else:
            sys.path.insert(0, '')
            if kind == 'code':
                name, source = '<code>', self.job['code']
            else:
                name, source = '<stdin>', sys.stdin.buffer.read()
        sys.argv = arguments
        code = compile(source, name, 'exec', 0, True)
        self.prepare(code)
        exec(code, self.main)

    def interact(self):
        sys.argv = ['']
        sys.path.insert(0, '')
        shell = {'ipython': self.ipython, 'bpython': self.bpython}.get(self.job['shell'])
        if shell is not None and shell():
            return
        self.library_in_background()
        inspect = os.environ.get('PYTHONINSPECT')
        hook = getattr(sys, '__interactivehook__', None)

        def begin():
            if inspect is None:
                os.environ.pop('PYTHONINSPECT', None)  # Pythons that are started are none of ours
            else:
                os.environ['PYTHONINSPECT'] = inspect
            sys.excepthook = sys.__excepthook__
            self.history(hook)
            print(self.job['banner'])
        sys.__interactivehook__ = begin
        os.environ['PYTHONINSPECT'] = 'yes'  # Python looks for it at the end of this program

    def library_in_background(self):
        """The library of slapos.core takes half a second: people read the banner
        meanwhile."""
        import threading

        def load():
            try:
                for name in ('slap', 'product', 'software_product', 'slapos'):
                    self.make(name)
            except Exception:
                pass  # who uses it sees why
        threading.Thread(target=load).start()

    def history(self, hook):
        """Completes names, and keeps what is typed."""
        path = self.job['history']
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # nobody else reads it
        except OSError:
            path = os.devnull  # without a writable home there is no history
        try:
            import site
            if hasattr(site, 'gethistoryfile'):  # from 3.13 on, whose console has lines of its own
                site.gethistoryfile = lambda: path
                if hook is not None:
                    hook()
                return
            import readline
            import rlcompleter  # noqa: F401  it sets itself up
        except ImportError:
            return
        libedit = 'libedit' in (getattr(readline, '__doc__', None) or '')
        readline.parse_and_bind('bind ^I rl_complete' if libedit else 'tab: complete')
        try:
            readline.read_init_file()
        except OSError:
            pass  # there is none
        try:
            readline.read_history_file(path)
        except OSError:
            pass
        import atexit

        def save():
            try:
                readline.write_history_file(path)
            except OSError:
                pass
        atexit.register(save)

    def names(self):
        """The real values, for those who look at them in their own way."""
        for name in self.makers:
            self.make(name)
        return self.main

    def ipython(self):
        try:
            from IPython import embed
        except ImportError:
            self.log.info('IPython not available - using plain Python shell')
            return False
        embed(banner1=self.job['banner'], user_ns=self.names())
        return True

    def bpython(self):
        try:
            from bpython import embed
        except ImportError:
            self.log.info('bpython not available - using plain Python shell')
            return False
        embed(banner=self.job['banner'], locals_=self.names())
        return True
