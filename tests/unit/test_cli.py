"""The command line: exit codes, output, the log.

A fake that keeps its arguments replaces the server; the end-to-end tests run the real one.
"""

import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.logs import logging_as_before

from meet_trio import __version__, cli
from meet_trio.config import Settings, entries
from meet_trio.errors import ConfigError


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's variables are read; an unknown one with our prefix is refused too."""
    names = {entry.about.env for entry in entries()}
    for name in list(os.environ):
        if name in names or name.startswith("MEET_TRIO_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def log_put_back() -> Iterator[None]:
    with logging_as_before():
        yield


class FakeApp:
    """Replaces ``meet_trio.daemon``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings: Settings | None = None
        self.error: BaseException | None = None
        module = types.ModuleType("meet_trio.daemon")
        module.__dict__["run"] = self.run
        monkeypatch.setitem(sys.modules, "meet_trio.daemon", module)
        monkeypatch.setattr("meet_trio.daemon", module, raising=False)
        # the supervisor would take the place of this process
        monkeypatch.setenv("MEET_TRIO_PROCESS_SUPERVISED", "off")
        self.reread: Callable[[Settings], Settings] = lambda present: present
        self.parts: list[Callable[[Settings], None]] = []

    def run(
        self,
        settings: Settings,
        *,
        levels: object,
        started: Callable[[object], None],
        reread: Callable[[Settings], Settings],
        notifier: object,
        kept: object,
        takeover: object,
    ) -> None:
        assert takeover is None
        self.settings, self.reread = settings, reread
        if self.error is not None:
            raise self.error
        reload = types.SimpleNamespace(parts=self.parts, settings=settings)
        started(types.SimpleNamespace(url="http://127.0.0.1:7/", port=7, reload=reload))


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    return FakeApp(monkeypatch)


def test_serve_without_settings_prints_page_and_token(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve"]) == 0
    assert app.settings is not None
    said = capsys.readouterr().out
    assert "Open in a browser:  http://127.0.0.1:7/" in said
    assert app.settings.api.auth_token in said


def test_serve_in_earnest_prints_no_token(
    app: FakeApp, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_TOKEN", "sesame")
    assert cli.main(["serve", "--http-port", "7", "--http-force-wss"]) == 0
    assert app.settings is not None
    assert (app.settings.listener.port, app.settings.listener.force_wss) == (7, True)
    out, err = capsys.readouterr()
    assert "listens on http://127.0.0.1:7/" in out
    assert "browser" not in out
    assert "sesame" not in out + err


def test_settings_are_read_again_with_the_same_flags(app: FakeApp, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[limits]\nrooms = 1\npeers_per_room = 1\n")
    assert cli.main(["serve", "--demo", "--config", str(file), "--limits-rooms", "3"]) == 0
    assert app.settings is not None
    file.write_text("[limits]\nrooms = 2\npeers_per_room = 2\n")
    again = app.reread(app.settings)
    assert (again.rooms.max_rooms, again.limits.peers) == (3, 2)
    assert again.api.auth_token == app.settings.api.auth_token  # it was random
    file.write_text("[limits]\nrooms = 0\n")
    with pytest.raises(ConfigError, match=r"\[limits\] rooms"):
        app.reread(app.settings)


def test_flags_beat_the_file(app: FakeApp, tmp_path: Path) -> None:
    file = tmp_path / "meet.toml"
    file.write_text('[http]\nauth_token = "sesame"\nport = 1\nforce_wss = true\n')
    assert cli.main(["serve", "--config", str(file), "--no-http-force-wss"]) == 0
    assert app.settings is not None
    assert (app.settings.listener.port, app.settings.listener.force_wss) == (1, False)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--http-port", "x"], "--http-port: 'x': a whole number"),
        (["--http-port", "7"], "AUTH_TOKEN"),
        (["--config", "/nonexistent.toml"], "/nonexistent.toml: No such file"),
        (["--demo", "--http-host", "192.0.2.1"], "--demo-allow-remote"),
    ],
)
def test_a_bad_setting_ends_it_with_2(
    app: FakeApp, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert cli.main(["serve", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("meet-trio: ")
    assert says in err
    assert err.count("\n") == 1
    assert app.settings is None


@pytest.mark.parametrize(
    ("argv", "unknown"),
    [
        (["serve", "--prot", "1"], "--prot"),
        # abbreviations are not accepted
        (["serve", "--http-por", "1"], "--http-por"),
        (["sreve"], "sreve"),
    ],
)
def test_unknown_arguments_end_it_with_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], unknown: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert unknown in capsys.readouterr().err


def test_without_a_command_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "serve" in capsys.readouterr().err


class Replaced(BaseException):
    """The process would be another program now."""


@pytest.mark.parametrize(
    ("flags", "environ", "supervised"),
    [
        (["--demo"], {}, True),
        (["--demo", "--supervised"], {}, True),
        (["--demo", "--no-supervised"], {}, False),
        (["--demo"], {"MEET_TRIO_PROCESS_SUPERVISED": "off"}, False),
        (["--demo", "--supervised"], {"NOTIFY_SOCKET": "/nowhere"}, False),
    ],
)
def test_outside_of_a_service_manager_there_is_a_supervisor(
    app: FakeApp,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    environ: dict[str, str],
    supervised: bool,
) -> None:
    monkeypatch.delenv("MEET_TRIO_PROCESS_SUPERVISED")
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def execv(path: str, argv: list[str]) -> None:
        assert path == argv[0] == sys.executable
        assert argv[1:6] == ["-P", "-m", "meet_trio.supervisor", "30.0", "1.5"]
        assert argv[6:] == [sys.executable, "-m", "meet_trio", "serve", *flags]
        raise Replaced

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "meet_trio", "serve", *flags])
    if supervised:
        with pytest.raises(Replaced):
            cli.main(["serve", *flags])
    else:
        assert cli.main(["serve", *flags]) == 0


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("192.0.2.1:12443: cannot listen"),
        ExceptionGroup("", [ExceptionGroup("", [ConfigError("192.0.2.1:12443: cannot listen")])]),
    ],
)
def test_a_setting_that_turns_out_bad_later_ends_it_the_same_way(
    app: FakeApp, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    app.error = error
    assert cli.main(["serve"]) == 2
    assert capsys.readouterr().err == "meet-trio: 192.0.2.1:12443: cannot listen\n"


def test_a_fault_of_ours_is_not_hidden(app: FakeApp) -> None:
    app.error = ExceptionGroup("", [ConfigError("x"), ZeroDivisionError()])
    with pytest.raises(ExceptionGroup):
        cli.main(["serve"])


def help_of(capsys: pytest.CaptureFixture[str], flag: str) -> str:
    """Without blanks: argparse breaks lines where it likes."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", flag])
    assert ended.value.code == 0
    return "".join(capsys.readouterr().out.split())


def test_help_is_about_what_an_operator_turns(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, "--help")
    assert "--help-all" in said
    shown = [entry for entry in entries() if f"(env{entry.about.env};" in said]
    assert shown == [entry for entry in entries() if entry.about.operator]
    assert 30 <= len(shown) < 60
    for entry in entries():
        assert (f"{entry.about.flag}" in said) is entry.about.operator, entry.key


def test_a_bound_has_a_flag_all_the_same(app: FakeApp) -> None:
    assert cli.main(["serve", "--demo", "--limits-nickname", "7"]) == 0
    assert app.settings is not None
    assert app.settings.limits.nickname == 7


def test_help_all_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, "--help-all")
    for entry in entries():
        for part in (
            entry.about.flag,
            f"(env {entry.about.env};",
            f"default: {entry.default_text})",
        ):
            assert part.replace(" ", "") in said, entry.key


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"meet-trio {__version__}\n"


def test_too_new_a_python_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    assert cli.main(["--version"]) == 2
    said = capsys.readouterr().err
    assert "Python 3.14" in said
    assert "3.13" in said


def test_help_does_not_load_the_server() -> None:
    code = (
        "import sys; from meet_trio import cli\n"
        "try: cli.main(['serve', '--help'])\n"
        "except SystemExit: sys.exit('trio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0


# Logging


@pytest.mark.parametrize("form", ["console", "json"])
def test_what_clients_chose_is_one_line(
    app: FakeApp, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert cli.main(["serve", "--process-log-format", form]) == 0
    logging.getLogger("meet_trio.room").info("request %s", "x\nERROR all is lost" + "y" * 900_000)
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) <= 4096
    assert line.startswith("{") is (form == "json")
