"""python-socketio's blocking client, driven through its standard input.

    python client.py URL OPTIONS

It speaks the lines that client.mjs, beside it, describes. OPTIONS (JSON) are ``path`` and, if not
the default ones, ``transports``. The path of URL is the namespace.
"""

import base64
import json
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

import socketio


def from_json(value: Any) -> Any:
    match value:
        case {"base64": str(data)}:
            return base64.b64decode(data)
        case dict():
            return {name: from_json(field) for name, field in value.items()}
        case list():
            return [from_json(element) for element in value]
    return value


def to_json(value: Any) -> Any:
    match value:
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {name: to_json(field) for name, field in value.items()}
        case list() | tuple():
            return [to_json(element) for element in value]
    return value


writing = threading.Lock()  # handlers run in threads of their own


def say(**line: object) -> None:
    with writing:
        print(json.dumps(to_json(line)), flush=True)


def main(url: str, options: dict[str, Any]) -> None:
    client = socketio.Client()
    namespace = urlsplit(url).path or "/"
    answer: tuple[Any, ...] = (None,)

    def connect() -> None:
        # The upgrade is over by the time the client reports the connection.
        if client.eio.upgrades:
            say(on="transport", name="polling")
        if client.transport() == "websocket":
            say(on="transport", name="websocket")
        say(on="connect")

    def hear(name: str, *args: object) -> tuple[Any, ...] | None:
        say(on="event", name=name, args=args)
        return answer if name == "request" else None

    client.on("connect", connect, namespace)
    client.on("disconnect", lambda reason: say(on="disconnect", reason=reason), namespace)
    client.on("connect_error", lambda error: say(on="refused", message=error), namespace)
    client.on("*", hear, namespace)
    client.connect(
        url,
        transports=options.get("transports"),
        namespaces=[namespace],
        socketio_path=options["path"],
    )
    for line in sys.stdin:
        match from_json(json.loads(line)):
            case {"emit": [name, *args]}:
                client.emit(name, tuple(args), namespace)
            case {"call": [name, *args]}:
                client.emit(name, tuple(args), namespace, lambda *args: say(on="ack", args=args))
            case {"answer": args}:
                answer = tuple(args)
            case {"disconnect": True}:
                client.disconnect()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
