"""The image and the compose file: what they name exists. The examples of settings are tested in
``test_config``, nginx in ``e2e/test_proxy``.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from meet_trio.config import entries

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONF / "compose.yaml").read_text())["services"]
    return found


def test_the_files_of_the_compose_file_exist(services: dict[str, Any]) -> None:
    server, relay = services["meet-trio"], services["coturn"]
    build = server["build"]
    assert (CONF / build["context"] / build["dockerfile"]).is_file()
    assert (CONF / server["env_file"]).is_file()
    (mount,) = relay["volumes"]
    outside, inside, mode = mount.split(":")
    assert (CONF / outside).is_file()
    assert (relay["command"], mode) == (["-c", inside], "ro")


def test_the_ports_of_the_image_are_the_defaults() -> None:
    defaults = {entry.key: entry.default for entry in entries()}
    http, media = defaults["http.port"], defaults["media.port"]
    text = (CONF / "Containerfile").read_text()
    assert re.search(r"^EXPOSE (.*)$", text, re.MULTILINE)[1].split() == [
        f"{http}/tcp", f"{media}/udp", f"{media}/tcp"
    ]  # fmt: skip
    assert f"or {http}}}{defaults['http.path_prefix']}/api/health" in text


def test_the_server_in_the_image_is_not_root() -> None:
    last_stage = (CONF / "Containerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", last_stage, re.MULTILINE) == ["meet-trio"]
    assert "gcc" not in last_stage


def test_relay_and_server_share_the_secret() -> None:
    secret = re.search(r"^static-auth-secret=(.*)$", (CONF / "turnserver.conf").read_text(), re.M)
    assert secret is not None
    assert f"#TURN_STATIC_SECRET={secret[1]}\n" in (CONF / "meet-trio.env").read_text()


def test_the_wheel_is_looked_through_for_files_that_there_are() -> None:
    """``tools/wheel`` refuses a wheel without them. The page is made by its build."""
    wanted = re.search(r"^  for needed in (.*); do$", (ROOT / "tools" / "wheel").read_text(), re.M)
    assert wanted is not None
    source = ROOT / "src" / "meet_trio"
    names = [path.relative_to(source).as_posix() for path in source.rglob("*")]
    made = ("_engine", "web/")
    patterns = [name for name in re.findall(r"'([^']+)'", wanted[1]) if not name.startswith(made)]
    assert len(patterns) >= 2
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
