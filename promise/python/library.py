# SPDX-License-Identifier: GPL-3.0-or-later
# Makes the promise classes importable: those of the Software Release, as its
# plugins name it, or else the embedded runtime.

import ast
import logging
import os
import re
import sys
import traceback
import types

# slapos.core from 1.22 on keeps no history and no statistics, so that its
# promise classes are all that a run needs; classes of these releases have been
# tried. Any other one runs with its own launcher (PROM-40).
OWN_RUNNER = (1, 22), (1, 27)


def library_path(folder):
    """The list that the first plugin puts in front of sys.path (PROM-7)."""
    wanted = ast.dump(ast.parse('sys.path[0:0] = 0').body[0].targets[0])
    for name in os.listdir(folder):
        if not name.endswith('.py') or name.startswith('__init__'):
            continue
        try:
            with open(os.path.join(folder, name), 'rb') as f:
                tree = ast.parse(f.read())
            first = next(n for n in tree.body if isinstance(n, ast.Assign))
            if [ast.dump(target) for target in first.targets] == [wanted]:
                return [str(path) for path in ast.literal_eval(first.value)]
        except Exception:
            pass  # its own run will tell
    return []


class Deferred(types.ModuleType):
    """A module of slapos.core that is imported when something needs it. The
    promise classes import much that only few promises use: most of the time of
    a run would be spent there."""

    def __getattr__(self, name):
        if name.startswith('__') and name != '__file__':
            raise AttributeError(name)
        if '__path__' in self.__dict__:
            try:
                return import_module(self.__name__ + '.' + name)
            except ImportError:
                pass
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = import_module(self.__name__)
        self.__dict__.update(vars(real))
        return getattr(real, name)


def defer(name, path=None, **known):
    from importlib.machinery import ModuleSpec
    module = Deferred(name)
    module.__spec__ = ModuleSpec(name, None, is_package=path is not None)
    if path is not None:
        module.__path__ = module.__spec__.submodule_search_locations = path
    module.__dict__.update(known)
    sys.modules[name] = module
    parent, _, child = name.rpartition('.')
    setattr(sys.modules[parent], child, module)


def import_module(name):
    __import__(name)
    return sys.modules[name]


def make_directories(path, mode=0o700):
    if not os.path.isdir(path):
        os.makedirs(path, mode)


def parse_boolean(text):
    try:
        return {'false': False, 'true': True}[text.lower()]
    except Exception:
        raise ValueError('%s is neither True nor False.' % text)


def defer_library():
    import slapos.grid
    defer('slapos.slap')
    defer('slapos.util', mkdir_p=make_directories, bytes2str=bytes.decode,
          string_to_boolean=parse_boolean)
    defer('slapos.grid.promise',
          [os.path.join(path, 'promise') for path in slapos.grid.__path__])


# What slapos.grid.promise offers of its module generic. Plugins may take it from
# either: without these, each would import the whole of slapos.grid.promise.
GENERIC = ('GenericPromise', 'TestResult', 'AnomalyResult', 'PromiseQueueResult',
           'PROMISE_STATE_FOLDER_NAME', 'PROMISE_RESULT_FOLDER_NAME',
           'PROMISE_PARAMETER_NAME')


def offer_generic():
    generic = sys.modules['slapos.grid.promise.generic']
    for name in GENERIC:
        sys.modules['slapos.grid.promise'].__dict__.setdefault(
            name, getattr(generic, name))


# What the original has in memory before it forks. A promise that needs one of
# them would import it in its own process: two that do pay for importing it here.
SHARED = ('slapos.util', 'slapos.slap', 'requests', 'psutil', 'lxml.etree',
          'jsonschema', 'netaddr')


def share_imports(folder, names):
    """Imports what at least two of the plugins use, by a look at their text and
    at that of the module that they take RunPromise from."""
    texts, origins = [], {}
    for name in names:
        text = read(os.path.join(folder, name))
        found = re.search(r'^from +([\w.]+) +import +.*RunPromise', text, re.M)
        if found:
            origin = found.group(1).replace('.', os.sep) + '.py'
            if origin not in origins:
                origins[origin] = ''.join(
                    [read(os.path.join(base, origin)) for base in sys.path])
            text += origins[origin]
        texts.append(text)
    for module in SHARED:
        if sum(uses(text, module) for text in texts) > 1:
            try:
                loaded = import_module(module)
                if isinstance(loaded, Deferred):
                    getattr(loaded, '__file__', None)
            except Exception:
                pass  # the promise will tell


def uses(text, module):
    package, _, name = module.rpartition('.')
    pattern = r'^\s*(import|from) +%s\b' % re.escape(module)
    if package:
        pattern += r'|^\s*from +%s +import +.*\b%s\b' % (re.escape(package), name)
    return re.search(pattern, text, re.M) is not None


def read(path):
    try:
        with open(path, 'rb') as f:
            return f.read(1 << 20).decode('utf-8', 'replace')
    except (IOError, OSError):
        return ''


def library_version():
    try:
        from slapos.version import version
        return str(version)
    except ImportError:
        return None


def install_runtime(sources):
    """Stands in for the promise classes of slapos.core, and for zope.interface
    where it is missing too."""
    try:
        import zope.interface  # noqa: F401
    except ImportError:
        install('zope.interface', sources['runtime/zope'])
    for name in ('slapos.grid.promise.interface', 'slapos.grid.promise.generic'):
        install(name, sources['runtime/' + name.rpartition('.')[2]])
    promise = sys.modules['slapos.grid.promise']
    promise.PromiseError = sys.modules['slapos.grid.promise.generic'].PromiseError
    offer_generic()


def install(name, source):
    parent = None
    words = name.split('.')
    for depth in range(1, len(words) + 1):
        full = '.'.join(words[:depth])
        try:
            if depth == len(words):
                raise ImportError
            import_module(full)
        except ImportError:
            sys.modules[full] = types.ModuleType(full)
            sys.modules[full].__path__ = []
        if parent is not None:
            setattr(parent, words[depth - 1], sys.modules[full])
        parent = sys.modules[full]
    exec(compile(source, '<slapos %s>' % name, 'exec'), parent.__dict__)


def prepare(job):
    """Makes the promise classes importable. Returns the version of slapos.core
    and whether its launcher is needed."""
    sys.path[0:0] = library_path(job['folder'])
    version = library_version()
    found = re.match(r'(\d+)\.(\d+)', version or '')
    if found:
        release = tuple(int(number) for number in found.groups())
        launcher = not OWN_RUNNER[0] <= release < OWN_RUNNER[1]
        try:
            if launcher:
                from slapos.grid.promise import PromiseLauncher  # noqa: F401
                return version, True
            if sys.version_info >= (3, 7):
                defer_library()
            import_module('slapos.grid.promise.generic')
            import_module('slapos.grid.promise.interface')
            offer_generic()
            return version, False
        except ImportError:
            logging.warning('slapos.core %s of the Software Release can not be '
                            'used: %s', version, traceback.format_exc())
            for name in list(sys.modules):
                if name == 'slapos' or name.startswith('slapos.'):
                    del sys.modules[name]
    install_runtime(job['sources'])
    return None, False
