"""Settings of the state that outlives a process, and where it is."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from meet_trio.settings import kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import Kind, seconds, whole

LARGEST = 2**30
"""Bytes of a log that is read at all, and the highest ``state.max_size``."""


@attrs.frozen
class StatePlace:
    """The directory below which each server has one of its own. ``chosen``: an operator named it. A
    server that cannot use a directory that was chosen does not start. At the default one it runs
    and keeps nothing.
    """

    path: Path
    chosen: bool = True


def _read_place(raw: object) -> StatePlace | None:
    if raw is False or raw == "":  # TOML's own word; nothing
        return None
    text = kinds.read_text(raw)
    if text.lower() in ("off", "none"):
        return None
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError("an absolute path, or off, is wanted")
    return StatePlace(path)


@attrs.frozen(kw_only=True)
class StateSettings:
    """``dir`` None: nothing is kept, and a restart ends all calls."""

    dir: StatePlace | None = attrs.field(
        default=None,
        metadata=about(
            "state.dir",
            Kind("an absolute path, or off,", _read_place),
            "folder in memory (tmpfs) for the state of calls, so that they go on after a restart",
            default="state in systemd's RuntimeDirectory, else $XDG_RUNTIME_DIR/meet-trio, else "
            "/dev/shm/meet-trio-UID",
            operator=True,
            example="/run/meet-trio/state",
        ),
    )
    allow_disk: bool = attrs.field(
        default=False,
        metadata=about(
            "state.allow_disk",
            kinds.SWITCH,
            "DANGEROUS: accept a folder on a disk. The keys of all calls are then written to it: "
            "whoever gets the disk, its snapshots or backups can decrypt recorded calls",
        ),
    )
    max_size: int = attrs.field(
        default=256 * 2**20,
        metadata=about(
            "state.max_size",
            whole(2**20, LARGEST, "bytes"),
            "size of the log of state; what does not fit is not kept",
        ),
    )
    wipe_within: float = attrs.field(
        default=30.0,
        metadata=about(
            "state.wipe_within",
            seconds(1, 3600),
            "state of what has ended, such as keys, is overwritten after this time",
        ),
    )


def default_place(environ: Mapping[str, str], uid: int) -> StatePlace:
    """Where the state is without a setting.

    systemd sets RUNTIME_DIRECTORY for services and XDG_RUNTIME_DIR for people who have logged in.
    """
    if environ.get("RUNTIME_DIRECTORY"):
        # several directories are separated by colons
        return StatePlace(Path(environ["RUNTIME_DIRECTORY"].partition(":")[0]) / "state", False)
    if environ.get("XDG_RUNTIME_DIR"):
        return StatePlace(Path(environ["XDG_RUNTIME_DIR"]) / "meet-trio", False)
    return StatePlace(Path(f"/dev/shm/meet-trio-{uid}"), False)
