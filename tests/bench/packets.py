"""What one forwarded packet costs, in CPU time of all of the server's threads:
``PYTHONPATH=tests python tests/bench/packets.py [OTHER_CHECKOUT]``.

A real engine sends through real sockets: publishers of plain RTP (four, each with packets of 1200
bytes in frames), and viewers who all watch all of them, by SRTP or by plain RTP. As libwebrtc does,
the publishers make some of a frame's packets a byte longer, the last ones. Publishers and viewers
are processes of their own; viewers read all that comes. The kernel's work for the sends is part of
the cost; on loopback that includes the receivers' half. With ``--gro`` viewers take messages whole,
as a network card would, so the kernel need not cut them on the server's account.

``--call`` is a load like a call's: as many publishers as make the rate, who send by SRTP to the
engine's one port, each at times of its own: video of 30 frames a second, each of 3 to 8 packets of
nearly one length, and audio of 50 packets a second, each of another length. With ``--in-step``
they all send at one time, so their packets come together.

With the path of another checkout (whose ``.venv`` is built) both engines run in turn, again and
again, and the median of the pairs' ratios is printed. ``packet_runs.py`` says how a run is
measured.
"""

import argparse
from pathlib import Path

from checkouts import HERE
from packet_load import Load
from packet_runs import compare


def main() -> None:
    parser = argparse.ArgumentParser(description="What one forwarded packet costs.")
    parser.add_argument("other", nargs="?", type=Path, help="another checkout with a built .venv")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 3, 1])
    parser.add_argument("--call", action="store_true", help="a load like a call's, no frames")
    parser.add_argument("--in-step", action="store_true", help="the call's publishers at one time")
    parser.add_argument("--gro", action="store_true", help="viewers take messages whole")
    parser.add_argument("--ways", nargs="+", choices=("srtp", "plain"), default=["srtp", "plain"])
    parser.add_argument("--rate", type=float, default=Load().rate)
    parser.add_argument("--viewers", type=int, default=Load().viewers)
    parser.add_argument("--seconds", type=float, default=Load().seconds)
    parser.add_argument("--turns", type=int, default=4)
    arguments = parser.parse_args()
    for way in arguments.ways:
        fields = {
            "plain": way == "plain",
            "gro": arguments.gro,
            "rate": arguments.rate,
            "viewers": arguments.viewers,
            "seconds": arguments.seconds,
        }
        loads = [Load(frame=frame, **fields) for frame in arguments.frames]
        calls = [Load.of_call(in_step=arguments.in_step, **fields)]
        for load in calls if arguments.call or arguments.in_step else loads:
            other = (arguments.other, load) if arguments.other else None
            compare(arguments.turns, (HERE, load), other)


if __name__ == "__main__":
    main()
