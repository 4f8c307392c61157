# SPDX-License-Identifier: GPL-3.0-or-later
# The agent's side of the promises of one partition; promise/python of slapos.
import json
import os
import sys
import types


def begin(job):
    job = json.loads(job)
    for name in ('library', 'child', 'driver'):
        full = '_slapos_promise_' + name
        module = sys.modules[full] = types.ModuleType(full)
        code = compile(job['sources'][name], '<%s of promises>' % name, 'exec')
        exec(code, module.__dict__)
    sys.path[:] = [path for path in sys.path if path]  # not the partition
    sys.modules['_slapos_promise_driver'].main(job)
