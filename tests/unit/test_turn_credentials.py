"""TURN credentials, with openssl as the second opinion."""

from meet_trio.media.turn import turn_credentials


def test_turn_credentials_are_what_coturn_computes() -> None:
    # echo -n 1700086400:peer1 | openssl dgst -sha1 -hmac north -binary | base64
    assert turn_credentials("north", "peer1", 1_700_000_000.9, ttl=86400) == (
        "1700086400:peer1",
        "OSSgDCLfMhgvIrZpgloAG/eMtV4=",
    )
    assert turn_credentials("north", "peer1", 1_700_000_000, ttl=60)[0] == "1700000060:peer1"
