// Every text of the page in English. Its type is the list of texts that each language needs.
import { plural } from "./plural.ts";

const count = plural("en");

export const en = {
  // the page
  language: "Language",
  untitled: "Meet",
  meeting: "Meeting",
  unreadTitle: (unread: number) => `(${unread}) Meeting`,
  guest: "Guest",
  you: "You",

  // the start
  hero: "Start a meeting, send the link, talk.",
  lead: "No account, nothing to install. Whoever has the link can come in.",
  oneMoment: "One moment…",
  startMeeting: "Start a meeting",
  haveLink: "Have a link?",
  pasteHere: "Paste it here",
  go: "Go",
  noLink: "This does not look like a meeting link.",
  notMade: "The meeting could not be made. Try again.",

  // before the meeting
  backToStart: "Meet, back to the start",
  preview: "Preview",
  startingCamera: "Starting the camera…",
  cameraIsOff: "Your camera is off",
  readyToJoin: "Ready to join?",
  yourName: "Your name",
  join: "Join the meeting",
  joining: "Joining…",

  // devices
  microphone: "Microphone",
  camera: "Camera",
  speaker: "Speaker",
  noMicrophone: "No microphone to choose",
  noCamera: "No camera to choose",
  systemSpeaker: "The system’s speaker",
  mute: "Mute microphone",
  unmute: "Unmute microphone",
  cameraOff: "Turn camera off",
  cameraOn: "Turn camera on",

  // errors of devices
  micNotAllowed: "The browser may not use your microphone. Allow it in the address bar, then try again.",
  camNotAllowed: "The browser may not use your camera. Allow it in the address bar, then try again.",
  screenNotAllowed: "The browser was not allowed to share the screen.",
  micNotFound: "No microphone was found.",
  camNotFound: "No camera was found.",
  screenNotFound: "No screen was found.",
  micBusy: "Your microphone is busy. Another program may be using it.",
  camBusy: "Your camera is busy. Another program may be using it.",
  screenBusy: "Your screen is busy. Another program may be using it.",
  micInsecure: "Browsers give a microphone only to pages opened over https or on this machine.",
  camInsecure: "Browsers give a camera only to pages opened over https or on this machine.",
  screenInsecure: "Browsers give a screen only to pages opened over https or on this machine.",
  micFailed: "Your microphone could not be started.",
  camFailed: "Your camera could not be started.",
  screenFailed: "Your screen could not be started.",
  micNotSwitched: "Your microphone could not be switched. Try again.",
  camNotSwitched: "Your camera could not be switched. Try again.",
  screenNotSwitched: "Your screen could not be switched. Try again.",

  // errors of joining
  unreachable: "The server can’t be reached. Check the connection and try again.",
  linkIncomplete: "This link is not complete. Ask for it again.",
  noDemo: "This server does not hand out meetings by itself. Open the link you were given.",
  tooMany: "Too many requests just now. Wait a moment and try again.",
  full: "The server is full at the moment. Try again later.",
  serverTrouble: "The server had a problem. Try again.",
  strangeAnswer: "The server gave an answer nobody understands.",
  joinFailed: "Joining the meeting did not work. Try again.",
  noAnswer: "The server does not answer. Try again.",
  connectionLost: "The connection to the meeting was lost.",
  notLetIn: "The meeting did not let you in. The link may be out of date.",

  // the meeting
  people: (n: number) => count(n, "1 person", `${n} people`),
  participants: "Participants",
  alone: "Nobody else is here yet. Share the link to let others in.",
  copyLink: "Copy link",
  linkCopied: "Link copied",
  linkToMeeting: "Link to this meeting",
  meetingControls: "Meeting controls",
  shareScreen: "Share the screen",
  stopScreen: "Stop sharing the screen",
  raiseHand: "Raise hand",
  lowerHand: "Lower hand",
  chat: "Chat",
  whoIsHere: "Who is here",
  leave: "Leave",
  settings: "Settings",
  closeNamed: (title: string) => `Close ${title}`,
  withUnread: (label: string, unread: number) => `${label}, ${unread} unread`,
  turnOnSound: "Turn on sound",

  // tiles
  yourScreen: "Your screen",
  screenOf: (name: string) => `${name}’s screen`,
  stateMuted: "muted",
  stateMicOn: "microphone on",
  stateCamOn: "camera on",
  stateCamOff: "camera off",
  stateHand: "hand raised",
  showLarge: "Show large",
  showNamedLarge: (name: string) => `Show ${name} large`,
  unpin: "Unpin",

  // chat
  messages: "Messages",
  chatEmpty: "Messages are seen by everyone here, and gone when you leave.",
  writeMessage: "Write a message",
  send: "Send",
  notSent: "The message was not sent.",

  // people and roles
  host: "Host",
  moderator: "Moderator",
  listener: "Listener",
  nameAndYou: (name: string) => `${name} (you)`,
  actionsFor: (name: string) => `Actions for ${name}`,
  makeModerator: "Make moderator",
  takeModerator: "Take moderator role",
  letSpeak: "Let speak",
  makeListener: "Make listener",
  remove: "Remove",
  endForAll: "End for everyone…",
  endQuestion: "End the meeting for everyone?",
  endIt: "End it",
  cancel: "Cancel",
  joined: (name: string) => `${name} joined`,
  left: (name: string) => `${name} left`,
  raisedHand: (name: string) => `${name} raised a hand`,
  maySpeak: "You may speak and show your camera now.",
  nowListener: "You are a listener now: the others don’t see or hear you.",
  nowModerator: "You are a moderator now.",
  noModerator: "You are no moderator any more.",
  didNotWork: "That did not work.",
  notRenamed: "The name could not be changed.",
  notRemoved: "Removing did not work.",
  roleNotChanged: "The role could not be changed.",
  notEnded: "The meeting could not be ended.",
  notPinned: "Pinning did not work.",

  // settings
  save: "Save",
  singleKeys: "Single-key shortcuts",

  // after the meeting
  overLeft: "You left",
  overKicked: "You were removed",
  overEnded: "The meeting has ended",
  overLost: "Connection lost",
  overFailed: "You could not join",
  whyLeft: "You can come back while the meeting goes on.",
  whyKicked: "A moderator removed you from this meeting.",
  whyEnded: "The host ended this meeting for everyone.",
  whyEndedByYou: "You ended this meeting for everyone.",
  rejoin: "Rejoin",
  tryAgain: "Try again",
  toStart: "Back to the start",
  mayClose: "You can close this page.",

  // the test before the meeting
  testSetUp: "Test sound, picture and network",
  stopTest: "Stop the test",
  testTitle: "Test call to yourself",
  testWhat: "You see and hear yourself as others will, by way of the server.",
  testCalling: "Calling…",
  testFailed: "The test call did not come about.",
  testPicture: "Your picture, back from the server",
  micWaits: "Say something…",
  micHeard: "Your microphone is heard.",
  micSilent: "Nothing is heard of your microphone. Is it muted, or another one chosen?",
  micIsOff: "Your microphone is off.",
  camWaits: "Waiting for your picture…",
  camSeen: "Your camera is seen.",
  camUnseen: "No picture of your camera came back.",
  netWaits: "Measuring the network…",
  netFine:
    (path: string, trip: number) => `Your network is fine: ${path}, ${trip} ms to the server and back.`,
  netPoor:
    (path: string, trip: number, lost: number) => `Your network is poor: ${path}, ${trip} ms to the server and back, ${lost} % of packets lost.`,
  netNone: "No sound or picture gets through. A firewall may block UDP and TCP to the server.",
  pathUdp: "directly by UDP",
  pathTcp: "by TCP, which may lag",
  pathTurn: "through a TURN server",
  playTone: "Play a tone",

  // devices that come and go
  deviceReplaced: (gone: string, now: string) => `“${gone}” was pulled out. “${now}” is used now.`,
  micPulled: (gone: string) => `“${gone}” was pulled out, and there is no other microphone.`,
  camPulled: (gone: string) => `“${gone}” was pulled out, and there is no other camera.`,
  speakerPulled:
    (gone: string) => `“${gone}” was pulled out. You hear the others through the system’s speaker.`,
  deviceBack: (name: string) => `“${name}” is back and used again.`,
  deviceFound: (name: string) => `“${name}” was plugged in. You can choose it beside the buttons.`,
  chooseMic: "Choose microphone and speaker",
  chooseCam: "Choose camera",

  // layouts
  layout: "Layout",
  layoutGrid: "Everybody alike",
  layoutSpeaker: "Speaker large, others below",
  layoutSidebar: "Speaker large, others beside",
  more: (n: number) => `${n} more`,

  // quality of the connection
  qualityGood: "good connection",
  qualityFair: "fair connection",
  qualityPoor: "poor connection",
  connection: "Your connection",
  connectionGood: "Your connection is good.",
  connectionNone: "Nothing is sent or received at the moment.",
  connectionWaits: "Measuring…",
  losesIn:
    (percent: number) => `Your network loses ${percent} % of the packets that come to you: sound and picture of the others suffer.`,
  losesOut:
    (percent: number) => `Your network loses ${percent} % of the packets that you send: the others hear and see you badly.`,
  farAway:
    (ms: number) => `The way to the server and back takes ${ms} ms: you and the others may talk into each other.`,
  narrow: (rate: string) => `Your network carries only ${rate}: the others see a smaller picture of you.`,
  slowComputer: "Your computer is too busy to send the whole picture. Close other programs.",
  freezes: "The pictures of others freeze at times.",
  byTcp: "No UDP gets through, so TCP is used: sound may lag on a lossy network.",
  goesBy: (path: string) => `Sound and picture go ${path}.`,
  plotRate: "Bitrate",
  plotLoss: "Packets lost",
  plotTrip: "Round trip",
  plotFrames: "Pictures per second",
  plotLayers: "Layers sent of your camera",
  sent: "sent",
  received: "received",
  plotSpan: (seconds: number) => `the last ${seconds} s`,

  // shortcuts, and talking while a key is held
  shortcuts: "Keyboard shortcuts",
  keySpace: "Space",
  keyEscape: "Esc",
  holdToTalk: "Hold to talk while muted",
  talking: "You are heard while you hold the space bar.",
  muteShort: "Microphone on or off",
  camShort: "Camera on or off",
  screenShort: "Share the screen or stop",
  handShort: "Raise or lower your hand",
  nextLayout: "Next layout",
  thisList: "This list",
  closePanel: "Close the side panel",
  notWhileTyping: "They do nothing while you write.",

  // a small window beside other programs
  smallWindow: "Small window on top of other programs",
  smallWindowFailed: "The small window could not be opened.",

  // reconnecting
  troubleSignaling: "The connection to the server is lost. Connecting again…",
  troubleRejoin:
    (attempt: number, of: number) => `The meeting was lost. Joining again, attempt ${attempt} of ${of}…`,
  troubleMedia: "Sound and picture are interrupted. Looking for another way…",
  forSeconds: (n: number) => `for ${n} s`,
  hintMayHear: "The others may still see and hear you.",
  hintOffline: "Your device is offline: check Wi-Fi or cable. It goes on by itself when the network is back.",
  hintWait: "You need not do anything. If it lasts, try another network, or leave and join again.",
  hintFirewall:
    "A firewall may block UDP and TCP to the server: try another network, or ask its administrator.",
};

export type Words = typeof en;
