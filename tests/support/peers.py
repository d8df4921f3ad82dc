"""The roles that tests give to peers, and the capabilities that peers join with."""

from meet_trio.bench.rtp_parameters import receive_capabilities
from meet_trio.ortc import router_capabilities
from meet_trio.room import Role

PARTICIPANT = Role.SUBSCRIBER | Role.PUBLISHER
EVERYTHING = Role(31)
CAPABILITIES = receive_capabilities(router_capabilities().to_json())
