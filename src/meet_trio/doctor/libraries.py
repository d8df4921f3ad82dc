"""The check of the libraries that the server loads with its first room only.

They are loaded in a process of its own: the doctor stays small, and a library that crashes takes
only that process with it.
"""

import shlex
import signal
import sys
from collections.abc import Sequence

from meet_trio.doctor.findings import Finding, ok, problem
from meet_trio.doctor.inspection import Inspection

PACKAGES = {
    "cryptography": "cryptography",
    "OpenSSL": "pyOpenSSL",
    "pylibsrtp": "pylibsrtp",
    "av": "av",
    "aioice": "aioice",
    "aiortc": "aiortc",
}
"""By the name of the module. Each comes after those that it needs."""

_LAST = "meet_trio.media.dtls_server"  # it makes the certificate, which needs them all

# Says what it is about to do, then does it. So the last line of the output is what did not work.
_PROGRAM = f"""
import importlib
for name in {[*PACKAGES, _LAST]}:
    print(name, flush=True)
    module = importlib.import_module(name)
print("certificate", flush=True)
module.DtlsIdentity()
"""
_MOST_TOLD = 300  # characters of an error


async def check_dtls_libraries(seen: Inspection) -> Sequence[Finding]:
    """Load what DTLS needs, and make a certificate."""
    code, output, errors = await seen.machine.run_python(_PROGRAM)
    if code == 0:
        return [ok("aiortc and what it needs can be loaded")]
    step = (output.split() or ["?"])[-1]
    package = PACKAGES.get(step, "aiortc")  # of another step all packages could be loaded
    what = "cannot be loaded" if step in PACKAGES else "does not work with this version"
    return [
        problem(
            f"{package} {what}: {_error(code, errors)}",
            "DTLS needs it: the server starts, and ends with its first room",
            f"{shlex.quote(sys.executable)} -m pip install --force-reinstall {package}; if that "
            "does not help, install meet-trio anew",
        )
    ]


def _error(code: int, errors: str) -> str:
    """The last line of a traceback, or the signal that has ended the process."""
    if code < 0:
        try:
            return f"the process was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"the process was ended by signal {-code}"
    lines = [line for line in errors.splitlines() if line.strip()]
    return lines[-1].strip()[:_MOST_TOLD] if lines else f"exit code {code}"
