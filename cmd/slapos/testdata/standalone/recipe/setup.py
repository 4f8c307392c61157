# SPDX-License-Identifier: GPL-3.0-or-later
from setuptools import setup

setup(name='tinyrecipe', version='1', py_modules=['tinyrecipe'], entry_points={
    'zc.buildout': ['release = tinyrecipe:Release', 'instance = tinyrecipe:Instance']})
