# cython: language_level=3, binding=True, embedsignature=False
"""The thin shell around the C engine: arguments are checked and copied into commands, events and
figures become Python values. Nothing here waits, and nothing here is on a packet's path.

The parts in shell/ are included into this one module. The classes and C functions of the parts use
each other, and no other module uses them: several modules would need a .pxd for each part, a fixed
order of imports, and calls through tables of pointers, and each would link the C library again.
"""

import itertools
import logging
import os
import secrets
from collections import OrderedDict
from ipaddress import ip_address, ip_network
from typing import get_args

from libc.errno cimport errno
from libc.stdlib cimport free, malloc
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

# the classes
include "shell/commands.pxi"
include "shell/queue.pxi"
include "shell/engine.pxi"
include "shell/core.pxi"
