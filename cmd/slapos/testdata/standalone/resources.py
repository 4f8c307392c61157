# SPDX-License-Identifier: GPL-3.0-or-later
"""slapos.core 1.26.1 asks for resources of modules, which Python 3.11 refuses."""
import importlib.resources
import sys

if sys.version_info < (3, 12):
    files = importlib.resources.files

    def files_of_package(name):
        __import__(name)
        module = sys.modules[name]
        return files(name if hasattr(module, '__path__') else module.__package__)

    importlib.resources.files = files_of_package
