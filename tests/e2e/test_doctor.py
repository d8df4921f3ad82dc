"""``meet-trio doctor`` as a command, beside a real daemon and without one."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
from support.daemon import start_daemon
from support.patient import TOKEN, free_ports


@attrs.frozen
class Examined:
    code: int
    findings: list[dict[str, object]]

    def grades(self, check: str) -> list[object]:
        return [finding["grade"] for finding in self.findings if finding["check"] == check]

    def found(self, check: str) -> str:
        return "; ".join(str(f["found"]) for f in self.findings if f["check"] == check)


def examine(*flags: str) -> Examined:
    done = call("--json", *flags)
    assert done.stderr == ""
    return Examined(done.returncode, json.loads(done.stdout))


def call(*flags: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, "-m", "meet_trio", "doctor", *flags]
    return subprocess.run(command, env=keep | environ, capture_output=True, text=True, timeout=60)


def test_beside_a_daemon_and_without(tmp_path: Path) -> None:
    http, media = free_ports(), free_ports(2)
    ports = {"--http-port": str(http), "--media-port": str(media), "--media-workers": "2"}
    config = tmp_path / "meet-trio.toml"
    config.write_text(
        f"""
        [http]
        host = "127.0.0.1"
        port = {http}
        public_domain = "127.0.0.1:{http}"
        auth_token = "{TOKEN}"
        [media]
        port = {media}
        workers = 2
        listen_ip = "127.0.0.1"
        """
    )
    stopped = examine("--config", str(config))
    # the trap of the original's README; packets do flow on this machine
    assert stopped.code == 1
    assert "which is loopback" in stopped.found("announced")
    assert stopped.grades("health") == ["note"]
    assert "free:" in stopped.found("ports")
    assert stopped.grades("media") == stopped.grades("http") == ["ok", "ok"]

    flags = itertools.chain(*ports.items(), ["--http-auth-token", TOKEN])
    daemon = start_daemon(*flags)
    try:
        running = examine("--config", str(config))
        assert running.grades("health") == running.grades("ports") == ["ok"]
        assert running.grades("media") == running.grades("http") == ["ok", "ok"]
        assert "the server may open" in running.found("open files")
    finally:
        code, _ = daemon.stop()
    assert code == 0
    assert not [line for line in daemon.log if "Traceback" in line or " ERROR " in line]


def test_demo_mode_has_no_problem() -> None:
    ports = ["--http-port", str(free_ports()), "--media-port", str(free_ports(2))]
    done = call("--demo", "--timings", *ports, "--media-workers", "2")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "\x1b" not in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.splitlines()[-1].startswith("0 problems, ")
