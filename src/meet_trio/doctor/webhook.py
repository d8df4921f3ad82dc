"""The check of the webhook: its host answers, its certificate is trusted, and the token is taken.

HEAD comes first. Kolab knows POST only at this path and answers 405 without a look at the token. So
an event follows that no receiver knows (``PROBE``): Kolab answers 200, or 403 to a wrong token.
"""

import ssl
from collections.abc import Sequence

import httpx
import trio

from meet_trio.doctor.findings import Finding, ok, problem, warning
from meet_trio.doctor.inspection import Inspection, as_address
from meet_trio.errors import first_cause, reason_of

ANSWER_DEADLINE = 3.0  # seconds
PROBE = {"event": "doctor", "roomId": ""}
_WHY = "Kolab does not learn that rooms have closed or that a moderator has let somebody in"


async def check_webhook(seen: Inspection) -> Sequence[Finding]:
    webhook = seen.settings.webhook
    if webhook.url is None:
        if seen.settings.site.demo:
            return [ok("no webhook: demo mode")]
        return [
            warning(
                "WEBHOOK_URL is not set",
                _WHY,
                "set WEBHOOK_URL to https://KOLAB/api/webhooks/meet, and WEBHOOK_TOKEN",
            )
        ]
    host = httpx.URL(webhook.url).host
    if as_address(host) is None:
        try:
            await seen.machine.look_up(host)
        except OSError as error:
            return [
                problem(
                    f"the webhook's host {host} cannot be looked up: {error.strerror or error}",
                    _WHY,
                    "correct WEBHOOK_URL (webhook.url) or the DNS",
                )
            ]
    headers = {"X-Auth-Token": webhook.token} if webhook.token else {}
    verify = await trio.to_thread.run_sync(ssl.create_default_context)
    try:
        async with httpx.AsyncClient(
            headers=headers, timeout=ANSWER_DEADLINE, verify=verify, trust_env=False
        ) as client:
            answer = await client.head(webhook.url)
            method = "HEAD"
            if answer.status_code in (404, 405, 501):
                answer = await client.post(webhook.url, json=PROBE)
                method = "POST of an unknown event"
    except httpx.HTTPError as error:
        return [_unreachable(_shown(webhook.url), error)]
    return [_judge(_shown(webhook.url), method, answer.status_code)]


def _shown(url: str) -> str:
    """Without the parts in which a secret may stand."""
    return str(httpx.URL(url).copy_with(username=None, password=None, query=None, fragment=None))


def _unreachable(url: str, error: httpx.HTTPError) -> Finding:
    text = reason_of(error)
    if isinstance(first_cause(error), ssl.SSLCertVerificationError):
        return problem(
            f"the certificate of {url} is not trusted: {text}",
            _WHY,
            "install the authority's certificate (update-ca-certificates), or correct the "
            "receiver's chain",
        )
    return problem(
        f"{url} does not answer: {text}",
        _WHY,
        f"curl -i {url} from this machine; check WEBHOOK_URL (webhook.url) and the firewall",
    )


def _judge(url: str, method: str, status: int) -> Finding:
    shown = f"{url} answers {status} to {method}"
    if status in (401, 403):
        return problem(
            f"{shown}: the token is refused",
            _WHY,
            "set WEBHOOK_TOKEN (webhook.token) to Kolab's MEET_WEBHOOK_TOKEN",
        )
    if status >= 500:
        return problem(shown, _WHY, "look into the receiver's log")
    if status == 404:
        return problem(
            shown,
            _WHY,
            "correct WEBHOOK_URL: Kolab's path is /api/webhooks/meet, and its host no other name "
            "than its APP_WEBSITE_DOMAIN",
        )
    if 300 <= status < 400:
        return problem(
            shown,
            f"events are not sent on to another URL. {_WHY}",
            "set WEBHOOK_URL (webhook.url) to the URL that it leads to",
        )
    return ok(shown)
