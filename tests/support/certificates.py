"""TLS files for tests, made by openssl."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, *, password: str | None = None) -> tuple[Path, Path]:
    """``(certificate, key)``: a new pair of PEM files for ``name`` and 127.0.0.1, signed by itself.
    ``password`` protects the key.
    """
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    protection = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
    command = ["openssl", "req", "-x509", "-days", "2", *protection]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True
    )
    return cert, key
