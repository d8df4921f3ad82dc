/* See specs.h. */
#include "state/specs.h"

const char *const mt_extension_uris[MT_EXT_COUNT] = {
    [MT_EXT_MID] = "urn:ietf:params:rtp-hdrext:sdes:mid",
    [MT_EXT_RID] = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    [MT_EXT_REPAIRED_RID] = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    [MT_EXT_ABS_SEND_TIME] = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    [MT_EXT_TRANSPORT_CC] = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    [MT_EXT_AUDIO_LEVEL] = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    [MT_EXT_VIDEO_ORIENTATION] = "urn:3gpp:video-orientation",
    [MT_EXT_TRANSMISSION_OFFSET] = "urn:ietf:params:rtp-hdrext:toffset",
    [MT_EXT_ABS_CAPTURE_TIME] = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    [MT_EXT_PLAYOUT_DELAY] = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    [MT_EXT_FRAME_MARKING] = "urn:ietf:params:rtp-hdrext:framemarking",
    [MT_EXT_FRAME_MARKING_07] = "http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07",
    [MT_EXT_DEPENDENCY_DESCRIPTOR] = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
};
