# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands of a person share."""

import atexit
import configparser
import os
import sys

import slapos.slap.slap
from slapos.slap import SoftwareProductCollection

SOFTWARE_PRODUCT_NAMESPACE = 'product.'


class ClientConfig(object):
    """Options of a command line, and what a configuration file adds to them."""

    state = None

    def __init__(self, args, configp=None):
        self.__dict__.update(vars(args))
        if configp.has_section('slapconsole'):
            for key, value in configp.items('slapconsole'):
                if not getattr(self, key, None):
                    setattr(self, key, value)
        section = dict(configp.items('slapos'))
        if not getattr(self, 'key_file', None) and not getattr(self, 'cert_file', None):
            self.key_file, self.cert_file = section.get('key_file'), section.get('cert_file')
        if not section.get('master_url'):
            raise ValueError("No option 'master_url'")
        self.master_url = section['master_url']
        if self.master_url.startswith('https') and self.key_file is None and self.cert_file is None:
            raise ValueError("No option 'key_file' and/or 'cert_file'")
        self.master_rest_url = section.get('master_rest_url')
        for key in ('key_file', 'cert_file'):
            if getattr(self, key, None):
                setattr(self, key, os.path.expanduser(getattr(self, key)))


def init(conf, logger):
    """The names of the console, connected to the master of conf."""
    slap = slapos.slap.slap()
    slap.initializeConnection(
        conf.master_url, key_file=conf.key_file, cert_file=conf.cert_file, slapgrid_rest_uri=conf.master_rest_url)

    def request(*args, **kwargs):
        return slap.registerOpenOrder().request(*args, **kwargs)

    def supply(*args, **kwargs):
        return slap.registerSupply().supply(*args, **kwargs)

    def getInformation(*args, **kwargs):
        return slap.registerOpenOrder().getInformation(*args, **kwargs)

    names = dict(globals())
    names.pop('__file__', None)
    names.update(slap=slap, request=request, supply=supply, getInformation=getInformation,
                 product=SoftwareProductCollection(logger, slap))
    return names


def _getSoftwareReleaseFromSoftwareString(logger, software_string, product):
    """The URL behind product.NAME; anything else is a URL already."""
    if not software_string.startswith(SOFTWARE_PRODUCT_NAMESPACE):
        return software_string
    try:
        return getattr(product, software_string[len(SOFTWARE_PRODUCT_NAMESPACE):])
    except AttributeError as e:
        logger.error('Error: %s Exiting now.', e)
        sys.exit(1)


def do_console(local):
    """Reads and runs statements with these names."""
    import code
    code.interact(banner='', local=local)
