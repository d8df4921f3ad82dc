"""Every codec between two browsers, with the layers that it has."""

import pytest
from support.pages import Join, MeetingPage

CODECS = {
    "vp8": ("video/VP8", {}),
    "h264": ("video/H264", {}),
    "vp9": ("video/VP9", {"mode": "L3T3_KEY"}),
    "vp9-full": ("video/VP9", {"mode": "L2T2"}),
    "av1": ("video/AV1", {"mode": "L2T2_KEY"}),
}


def received(page: MeetingPage) -> dict[str, object]:
    (video,) = (s for s in page.stats() if s["kind"] == "video")
    return video


@pytest.mark.parametrize("name", CODECS)
def test_two_meet(room: str, join: Join, name: str) -> None:
    """Bob sends nothing, because one software encoder is enough for few cores."""
    mime_type, options = CODECS[name]
    codec = name.partition("-")[0]
    ada = join(room, "Ada", size=(640, 480), codec=codec, **options)
    bob = join(room, "Bob", video="0")
    bob.wait_for_media(videos=1, audios=1)
    video = received(bob)
    assert video["mimeType"] == mime_type
    ada.wait_for_media(videos=0, audios=1)
    # The pictures go on, of the highest layer: its width is that of the camera.
    bob.wait(
        f"""meetTest.stats().then(all => all.some(s => s.kind === 'video' &&
        s.framesDecoded > {video["framesDecoded"]} + 30 && s.frameWidth === 1280))"""
    )
    late = join(room, "Cy", video="0")
    late.wait_for_media(videos=1, audios=1)
