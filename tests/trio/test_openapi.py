"""The HTTP API and its description agree: requests are made from the description, valid and invalid
ones, and the answers are compared with it.
"""

import threading
from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pytest
import requests
import schemathesis
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from support.site import API, AUTH, open_site

from meet_trio.edge.openapi import openapi_document

SCHEMA = schemathesis.openapi.from_dict(dict(openapi_document(API)))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
TAKES_BODY = {label: "requestBody" in found.definition.raw for label, found in OPERATIONS.items()}
EXAMPLES, FEW_EXAMPLES = 60, 5
# 500 is nowhere in the description, so the first check notices faults of the program
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.positive_data_acceptance,
    checks.negative_data_rejection,
]


@attrs.frozen
class Api:
    """The application, which runs on a Trio loop in a thread; ``room`` is a room in it."""

    token: trio.lowlevel.TrioToken
    routes: set[tuple[str, str]]
    http: httpx.AsyncClient
    room: str

    def send(self, method: str, url: str, headers: Any = None, body: Any = None) -> httpx.Response:
        async def send() -> httpx.Response:
            return await self.http.request(method, url, headers=headers, content=body)

        return trio.from_thread.run(send, trio_token=self.token)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    opened: list[Api] = []
    ready, end = threading.Event(), trio.Event()

    async def main() -> None:
        async with open_site() as site:
            room = await site.world.registry.create_room()
            routes = {(m, path) for path, methods in site.api.routes.items() for m in methods}
            routes |= {("HEAD", path) for m, path in routes if m == "GET"}
            token = trio.lowlevel.current_trio_token()
            opened.append(Api(token, routes, site.http, room.id))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=trio.run, args=[main])
    thread.start()
    assert ready.wait(20)
    yield opened[0]
    opened[0].token.run_sync_soon(end.set)
    thread.join()


def test_the_description_is_served(api: Api) -> None:
    answer = api.send("GET", f"{API}/openapi.json", AUTH)
    assert answer.json() == openapi_document(API)
    assert api.send("GET", f"{API}/openapi.json").status_code == 403


def test_all_routes_are_described(api: Api) -> None:
    described = {tuple(label.split(" ", 1)) for label in OPERATIONS}
    assert described == {(m, path) for m, path in api.routes if m != "HEAD"}


@pytest.mark.parametrize("label", OPERATIONS)
def test_other_methods_are_refused_and_these_are_named(api: Api, label: str) -> None:
    path = label.split(" ", 1)[1]
    allowed = {method for method, other in api.routes if other == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
        answer = api.send(method, API + path.replace("{room_id}", api.room), AUTH)
        assert answer.status_code == 405
        assert "error" in answer.json()
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_described(api: Api, label: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[label]
    if mode is GenerationMode.NEGATIVE and not TAKES_BODY[label]:
        pytest.skip("it takes nothing that could be invalid")
    known = {"room_id": api.room} if "{room_id}" in label else {}

    @settings(
        max_examples=EXAMPLES if TAKES_BODY[label] else FEW_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        chosen = known if mode is GenerationMode.NEGATIVE or data.draw(st.booleans()) else {}
        case = data.draw(operation.as_strategy(mode, path_parameters=chosen))
        sent = requests.Request(
            **case.as_transport_kwargs(base_url=f"http://meet.test{API}", headers=AUTH)
        ).prepare()
        answer = api.send(str(sent.method), str(sent.url), dict(sent.headers), sent.body)
        case.validate_response(answer, checks=CHECKS)

    run()
