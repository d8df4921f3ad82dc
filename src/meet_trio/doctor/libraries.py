"""The checks of the libraries that the server loads with its first room only, and of the one that
encrypts media.

They are loaded in a process of its own: the doctor stays small, and a library that crashes takes
only that process with it.
"""

import json
import shlex
import signal
import sys
from collections.abc import Sequence

from meet_trio.doctor.findings import Finding, note, ok, problem
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
module.DtlsIdentity.generate()
"""
_CIPHER_PROGRAM = """
import json
from meet_trio.engine import aead_library
found = aead_library("auto")
print(json.dumps([found.name, found.why_not]))
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


async def check_cipher(seen: Inspection) -> Sequence[Finding]:
    """Load the library that media is encrypted with."""
    if seen.settings.engine.aead == "libcrypto":
        return [ok("media is encrypted by libcrypto, as media.aead says")]
    code, output, errors = await seen.machine.run_python(_CIPHER_PROGRAM)
    if code != 0:
        return [
            problem(
                f"the library that encrypts media cannot be loaded: {_error(code, errors)}",
                "the server loads it when it starts",
                "MEET_TRIO_MEDIA_AEAD=libcrypto (media.aead) leaves libipsec-mb out",
            )
        ]
    name, why_not = json.loads(output)
    if "libIPSec_MB" not in why_not:
        return [ok(f"media is encrypted by {name}" + (f": {why_not}" if why_not else ""))]
    return [
        note(
            f"media is encrypted by {name}: {why_not}",
            "libipsec-mb needs a fraction of the CPU time",
            "apt-get install libipsec-mb1, then restart the server",
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
