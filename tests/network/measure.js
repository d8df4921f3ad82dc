// Runs in each page of a network measurement before the page's own scripts. It keeps the figures of
// all peer connections every 100 ms, and the time and width of each decoded frame.
(() => {
  const INTERVAL = 100;
  const INBOUND = [
    "packetsReceived", "packetsLost", "packetsDiscarded", "bytesReceived", "jitter", "nackCount", "pliCount",
    "framesReceived", "framesDecoded", "framesDropped", "frameWidth", "keyFramesDecoded", "freezeCount",
    "totalFreezesDuration", "totalSamplesReceived", "concealedSamples", "silentConcealedSamples",
    "retransmittedPacketsReceived", "jitterBufferDelay", "jitterBufferTargetDelay", "jitterBufferMinimumDelay",
    "jitterBufferEmittedCount", "estimatedPlayoutTimestamp",
  ];
  const OUTBOUND = [
    "rid", "active", "packetsSent", "bytesSent", "headerBytesSent", "retransmittedPacketsSent", "framesEncoded",
    "framesSent", "frameWidth", "keyFramesEncoded", "targetBitrate", "nackCount", "pliCount", "qualityLimitationReason",
  ];
  const PAIR = ["currentRoundTripTime", "availableOutgoingBitrate", "bytesReceived", "bytesSent"];
  const connections = [];
  const samples = [];
  const frames = [];
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const take = (entry, names) =>
    Object.fromEntries(names.filter((name) => entry[name] !== undefined).map((name) => [name, entry[name]]));

  async function watch(track) {
    const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      frames.push([now(), value.codedWidth, track.id]);
      value.close();
    }
  }

  async function sample() {
    const found = { time: now(), inbound: [], outbound: [], pairs: [] };
    for (const connection of connections) {
      if (connection.connectionState === "closed") continue;
      for (const entry of (await connection.getStats()).values()) {
        const { type, kind } = entry;
        if (type === "inbound-rtp") {
          found.inbound.push({ kind, track: entry.trackIdentifier, ...take(entry, INBOUND) });
        } else if (type === "outbound-rtp") {
          found.outbound.push({ kind, ...take(entry, OUTBOUND) });
        } else if (type === "candidate-pair" && entry.nominated) {
          found.pairs.push(take(entry, PAIR));
        }
      }
    }
    samples.push(found);
  }

  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class RTCPeerConnection extends Native {
    constructor(...options) {
      super(...options);
      connections.push(this);
      this.addEventListener("track", ({ track }) => {
        if (track.kind === "video") void watch(track);
      });
    }
  };

  // The processing of a microphone would take the tone for noise.
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  const unprocessed = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  devices.getUserMedia = (wanted) => open(wanted.audio ? { ...wanted, audio: unprocessed } : wanted);

  setInterval(() => void sample(), INTERVAL);
  window.networkTest = {
    samples,
    frames,
    /** the newest figures */
    last: () => samples.at(-1) ?? null,
    take: () => ({ samples: samples.splice(0), frames: frames.splice(0) }),
  };
})();
