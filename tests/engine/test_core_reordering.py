"""Viewers whose network reorders packets ask for packets that are still on their way."""

from support.engine_link import LinkedViewer
from support.engine_world import VIEWED_ADAPTED, World, simulcast
from support.layered_camera import LayeredCamera


def call(seconds: float, **link: float | bool | None) -> tuple[LinkedViewer, dict[str, float]]:
    """Three layers without limit; the link changes after two seconds. Returns the viewer, and the
    consumer's figures less those of the first seconds.
    """
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, simulcast(3))
    camera = LayeredCamera(alice)
    viewer = LinkedViewer.behind(bob)
    viewer.run(1, camera.step)
    consumer = str(world.consume(bob, producer, header_extensions=VIEWED_ADAPTED))
    viewer.run(2, camera.step)
    for name, value in link.items():
        setattr(viewer, name, value)
    viewer.run(2, camera.step)
    before = world.stats()["consumers"][consumer]
    viewer.run(seconds, camera.step)
    after = world.stats()["consumers"][consumer]
    names = ("packetsRetransmitted", "nackCount", "packetCount", "packetsRedundant")
    return viewer, {name: after[name] - before[name] for name in names}


def test_what_is_still_on_its_way_is_not_sent_again() -> None:
    _, figures = call(10, scatter=0.03)
    assert figures["nackCount"] > 200
    assert figures["packetsRetransmitted"] < figures["nackCount"] / 10


def test_what_is_lost_among_it_is_sent_again() -> None:
    viewer, figures = call(10, scatter=0.03, loss=0.05)
    lost = 0.05 * figures["packetCount"]
    assert lost * 0.8 < figures["packetsRetransmitted"] < lost * 2.5
    viewer.loss = viewer.scatter = 0
    viewer.run(1)
    assert viewer.unanswered <= 3


def test_without_reordering_the_answer_does_not_wait() -> None:
    _, figures = call(10, loss=0.05)
    lost = 0.05 * figures["packetCount"]
    assert lost * 0.8 < figures["packetsRetransmitted"] < lost * 1.4
