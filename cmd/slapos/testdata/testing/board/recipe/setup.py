# SPDX-License-Identifier: GPL-3.0-or-later
from setuptools import setup

setup(name='boardrecipe', version='1', py_modules=['boardrecipe'], entry_points={
    'zc.buildout': ['release = boardrecipe:Release', 'instance = boardrecipe:Instance']})
