# cython: language_level=3, binding=True, embedsignature=False
"""The shell around the C engine. It checks arguments and copies them into commands, and it turns
events and figures into Python values. It never waits, and no media packet passes through it.

Its parts are the files of shell/. They are included, so that they become one module: their classes
and C functions use each other, and no other module uses them. As modules of their own they would
need a .pxd each, would call each other through pointers that imports fill in, and more than one of
them would link the C library.
"""

import itertools
import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import get_args

from libc.errno cimport EADDRNOTAVAIL, errno
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from meet_trio.engine import records

logger = logging.getLogger("meet_trio.engine")

include "shell/c.pxi"

# Python to C
include "shell/paths.pxi"
include "shell/specs.pxi"
include "shell/settings.pxi"

# C to Python
include "shell/figures.pxi"
include "shell/events.pxi"
include "shell/kept.pxi"

# the classes
include "shell/commands.pxi"
include "shell/queue.pxi"
include "shell/engine.pxi"
include "shell/core.pxi"
include "shell/crowd.pxi"
