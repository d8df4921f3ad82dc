// Every text of the page in German.
import type { Words } from "./en.ts";
import { plural } from "./plural.ts";

const count = plural("de");

export const de: Words = {
  // the page
  language: "Sprache",
  untitled: "Meet",
  meeting: "Besprechung",
  unreadTitle: (unread) => `(${unread}) Besprechung`,
  guest: "Gast",
  you: "Sie",

  // the start
  hero: "Besprechung beginnen, Link senden, reden.",
  lead: "Ohne Konto, ohne Installation. Wer den Link hat, kann hereinkommen.",
  oneMoment: "Einen Moment …",
  startMeeting: "Besprechung beginnen",
  haveLink: "Sie haben einen Link?",
  pasteHere: "Hier einfügen",
  go: "Öffnen",
  noLink: "Das sieht nicht wie ein Link zu einer Besprechung aus.",
  notMade: "Die Besprechung konnte nicht angelegt werden. Versuchen Sie es noch einmal.",

  // before the meeting
  backToStart: "Meet, zurück zum Anfang",
  preview: "Vorschau",
  startingCamera: "Die Kamera wird gestartet …",
  cameraIsOff: "Ihre Kamera ist aus",
  readyToJoin: "Bereit?",
  yourName: "Ihr Name",
  join: "Teilnehmen",
  joining: "Sie treten bei …",

  // devices
  microphone: "Mikrofon",
  camera: "Kamera",
  speaker: "Lautsprecher",
  noMicrophone: "Kein Mikrofon zur Auswahl",
  noCamera: "Keine Kamera zur Auswahl",
  systemSpeaker: "Lautsprecher des Systems",
  mute: "Mikrofon stummschalten",
  unmute: "Mikrofon einschalten",
  cameraOff: "Kamera ausschalten",
  cameraOn: "Kamera einschalten",

  // errors of devices
  micNotAllowed:
    "Der Browser darf Ihr Mikrofon nicht benutzen. Erlauben Sie es in der Adresszeile und versuchen Sie es dann noch einmal.",
  camNotAllowed:
    "Der Browser darf Ihre Kamera nicht benutzen. Erlauben Sie es in der Adresszeile und versuchen Sie es dann noch einmal.",
  screenNotAllowed: "Der Browser durfte den Bildschirm nicht teilen.",
  micNotFound: "Es wurde kein Mikrofon gefunden.",
  camNotFound: "Es wurde keine Kamera gefunden.",
  screenNotFound: "Es wurde kein Bildschirm gefunden.",
  micBusy: "Ihr Mikrofon ist belegt. Vielleicht benutzt es ein anderes Programm.",
  camBusy: "Ihre Kamera ist belegt. Vielleicht benutzt sie ein anderes Programm.",
  screenBusy: "Ihr Bildschirm ist belegt. Vielleicht benutzt ihn ein anderes Programm.",
  micInsecure: "Browser geben ein Mikrofon nur Seiten, die über https oder auf diesem Rechner geöffnet sind.",
  camInsecure: "Browser geben eine Kamera nur Seiten, die über https oder auf diesem Rechner geöffnet sind.",
  screenInsecure:
    "Browser geben einen Bildschirm nur Seiten, die über https oder auf diesem Rechner geöffnet sind.",
  micFailed: "Ihr Mikrofon konnte nicht gestartet werden.",
  camFailed: "Ihre Kamera konnte nicht gestartet werden.",
  screenFailed: "Ihr Bildschirm konnte nicht geteilt werden.",
  micNotSwitched: "Ihr Mikrofon konnte nicht umgeschaltet werden. Versuchen Sie es noch einmal.",
  camNotSwitched: "Ihre Kamera konnte nicht umgeschaltet werden. Versuchen Sie es noch einmal.",
  screenNotSwitched: "Ihr Bildschirm konnte nicht umgeschaltet werden. Versuchen Sie es noch einmal.",

  // errors of joining
  unreachable: "Der Server ist nicht erreichbar. Prüfen Sie die Verbindung und versuchen Sie es noch einmal.",
  linkIncomplete: "Dieser Link ist nicht vollständig. Bitten Sie noch einmal darum.",
  noDemo: "Dieser Server vergibt selbst keine Besprechungen. Öffnen Sie den Link, den Sie bekommen haben.",
  tooMany: "Gerade kommen zu viele Anfragen. Warten Sie einen Moment und versuchen Sie es noch einmal.",
  full: "Der Server ist im Augenblick voll. Versuchen Sie es später noch einmal.",
  serverTrouble: "Der Server hatte ein Problem. Versuchen Sie es noch einmal.",
  strangeAnswer: "Der Server gab eine Antwort, die niemand versteht.",
  joinFailed: "Das Beitreten hat nicht geklappt. Versuchen Sie es noch einmal.",
  noAnswer: "Der Server antwortet nicht. Versuchen Sie es noch einmal.",
  connectionLost: "Die Verbindung zur Besprechung ist abgerissen.",
  notLetIn: "Die Besprechung hat Sie nicht eingelassen. Vielleicht ist der Link veraltet.",

  // the meeting
  people: (n) => count(n, "1 Person", `${n} Personen`),
  participants: "Teilnehmende",
  alone: "Noch ist niemand sonst da. Geben Sie den Link weiter, damit andere hereinkommen.",
  copyLink: "Link kopieren",
  linkCopied: "Link kopiert",
  linkToMeeting: "Link zu dieser Besprechung",
  meetingControls: "Bedienung der Besprechung",
  shareScreen: "Bildschirm teilen",
  stopScreen: "Bildschirm nicht mehr teilen",
  raiseHand: "Hand heben",
  lowerHand: "Hand senken",
  chat: "Chat",
  whoIsHere: "Wer ist da",
  leave: "Verlassen",
  settings: "Einstellungen",
  closeNamed: (title) => `${title} schließen`,
  withUnread: (label, unread) => `${label}, ${unread} ungelesen`,
  turnOnSound: "Ton einschalten",

  // tiles
  yourScreen: "Ihr Bildschirm",
  screenOf: (name) => `Bildschirm von ${name}`,
  stateMuted: "stumm",
  stateMicOn: "Mikrofon an",
  stateCamOn: "Kamera an",
  stateCamOff: "Kamera aus",
  stateHand: "Hand gehoben",
  showLarge: "Groß zeigen",
  showNamedLarge: (name) => `${name} groß zeigen`,
  unpin: "Nicht mehr groß zeigen",

  // chat
  messages: "Nachrichten",
  chatEmpty: "Nachrichten sehen alle, die hier sind. Sie sind weg, wenn Sie gehen.",
  writeMessage: "Nachricht schreiben",
  send: "Senden",
  notSent: "Die Nachricht wurde nicht gesendet.",

  // people and roles
  host: "Gastgeber",
  moderator: "Moderation",
  listener: "Hört zu",
  nameAndYou: (name) => `${name} (Sie)`,
  actionsFor: (name) => `Aktionen für ${name}`,
  makeModerator: "Moderation geben",
  takeModerator: "Moderation nehmen",
  letSpeak: "Sprechen lassen",
  makeListener: "Nur zuhören lassen",
  remove: "Entfernen",
  endForAll: "Für alle beenden …",
  endQuestion: "Die Besprechung für alle beenden?",
  endIt: "Beenden",
  cancel: "Abbrechen",
  joined: (name) => `${name} ist dazugekommen`,
  left: (name) => `${name} ist gegangen`,
  raisedHand: (name) => `${name} hat die Hand gehoben`,
  maySpeak: "Sie dürfen jetzt sprechen und Ihre Kamera zeigen.",
  nowListener: "Sie hören jetzt nur zu: Die anderen sehen und hören Sie nicht.",
  nowModerator: "Sie moderieren jetzt.",
  noModerator: "Sie moderieren nicht mehr.",
  handNotChanged: "Die Hand konnte nicht gehoben oder gesenkt werden.",
  languageNotChanged: "Die Sprache konnte nicht geändert werden.",
  notRenamed: "Der Name konnte nicht geändert werden.",
  notRemoved: "Das Entfernen hat nicht geklappt.",
  roleNotChanged: "Die Rolle konnte nicht geändert werden.",
  notEnded: "Die Besprechung konnte nicht beendet werden.",
  notPinned: "Das Großzeigen hat nicht geklappt.",

  // settings
  save: "Speichern",
  singleKeys: "Tastenkürzel mit einer Taste",

  // after the meeting
  overLeft: "Sie sind gegangen",
  overKicked: "Sie wurden entfernt",
  overEnded: "Die Besprechung ist zu Ende",
  overLost: "Verbindung abgerissen",
  overFailed: "Sie konnten nicht beitreten",
  whyLeft: "Sie können zurückkommen, solange die Besprechung läuft.",
  whyKicked: "Die Moderation hat Sie aus dieser Besprechung entfernt.",
  whyEnded: "Der Gastgeber hat diese Besprechung für alle beendet.",
  whyEndedByYou: "Sie haben diese Besprechung für alle beendet.",
  rejoin: "Wieder teilnehmen",
  tryAgain: "Noch einmal versuchen",
  toStart: "Zurück zum Anfang",
  mayClose: "Sie können diese Seite schließen.",

  // the test before the meeting
  testSetUp: "Ton, Bild und Netz testen",
  stopTest: "Test beenden",
  testTitle: "Testanruf bei sich selbst",
  testWhat: "Sie sehen und hören sich über den Server, wie die anderen Sie sehen und hören werden.",
  testCalling: "Wird angerufen …",
  testFailed: "Der Testanruf kam nicht zustande.",
  testPicture: "Ihr Bild, vom Server zurück",
  micWaits: "Sagen Sie etwas …",
  micHeard: "Ihr Mikrofon ist zu hören.",
  micSilent: "Von Ihrem Mikrofon ist nichts zu hören. Ist es stumm, oder ist ein anderes gewählt?",
  micIsOff: "Ihr Mikrofon ist aus.",
  camWaits: "Warten auf Ihr Bild …",
  camSeen: "Ihre Kamera ist zu sehen.",
  camUnseen: "Von Ihrer Kamera kam kein Bild zurück.",
  netWaits: "Das Netz wird gemessen …",
  netFine: (path, trip) => `Ihr Netz ist gut: ${path}, ${trip} ms zum Server und zurück.`,
  netPoor:
    (path, trip, lost) => `Ihr Netz ist schlecht: ${path}, ${trip} ms zum Server und zurück, ${lost} % der Pakete verloren.`,
  netNone: "Weder Ton noch Bild kommt durch. Vielleicht sperrt eine Firewall UDP und TCP zum Server.",
  pathUdp: "direkt über UDP",
  pathTcp: "über TCP, was stocken kann",
  pathTurn: "über einen TURN-Server",
  playTone: "Ton abspielen",

  // devices that come and go
  deviceReplaced: (gone, now) => `„${gone}“ wurde herausgezogen. Jetzt wird „${now}“ benutzt.`,
  deviceGone: (gone) => `„${gone}“ wurde herausgezogen.`,
  micPulled: gone => `„${gone}“ wurde herausgezogen, und ein anderes Mikrofon gibt es nicht.`,
  camPulled: gone => `„${gone}“ wurde herausgezogen, und eine andere Kamera gibt es nicht.`,
  speakerPulled:
    gone => `„${gone}“ wurde herausgezogen. Sie hören die anderen über den Lautsprecher des Systems.`,
  deviceBack: name => `„${name}“ ist wieder da und wird wieder benutzt.`,
  deviceFound: name => `„${name}“ wurde angesteckt. Sie können es neben den Knöpfen wählen.`,
  chooseMic: "Mikrofon und Lautsprecher wählen",
  chooseCam: "Kamera wählen",

  // layouts
  layout: "Anordnung",
  layoutGrid: "Alle gleich groß",
  layoutSpeaker: "Sprecher groß, andere darunter",
  layoutSidebar: "Sprecher groß, andere daneben",
  more: n => `${n} weitere`,

  // quality of the connection
  qualityGood: "gute Verbindung",
  qualityFair: "mäßige Verbindung",
  qualityPoor: "schlechte Verbindung",
  connection: "Ihre Verbindung",
  connectionGood: "Ihre Verbindung ist gut.",
  connectionNone: "Im Augenblick wird nichts gesendet oder empfangen.",
  connectionWaits: "Wird gemessen …",
  losesIn:
    percent => `Ihr Netz verliert ${percent} % der Pakete, die zu Ihnen kommen: Ton und Bild der anderen leiden.`,
  losesOut:
    percent => `Ihr Netz verliert ${percent} % der Pakete, die Sie senden: Die anderen hören und sehen Sie schlecht.`,
  farAway:
    ms => `Der Weg zum Server und zurück dauert ${ms} ms: Sie und die anderen fallen sich leicht ins Wort.`,
  narrow: rate => `Ihr Netz trägt nur ${rate}: Die anderen sehen ein kleineres Bild von Ihnen.`,
  slowComputer:
    "Ihr Rechner ist zu beschäftigt, um das ganze Bild zu senden. Schließen Sie andere Programme.",
  freezes: "Die Bilder der anderen bleiben zeitweise stehen.",
  byTcp: "UDP kommt nicht durch, deshalb wird TCP benutzt: Bei Paketverlust stockt der Ton.",
  goesBy: path => `Ton und Bild gehen ${path}.`,
  plotRate: "Datenrate",
  plotLoss: "Verlorene Pakete",
  plotTrip: "Hin und zurück",
  plotFrames: "Bilder je Sekunde",
  plotLayers: "Gesendete Stufen Ihrer Kamera",
  sent: "gesendet",
  received: "empfangen",
  plotSpan: seconds => `die letzten ${seconds} s`,

  // shortcuts, and talking while a key is held
  shortcuts: "Tastenkürzel",
  keySpace: "Leertaste",
  keyEscape: "Esc",
  holdToTalk: "Gedrückt halten, um trotz Stummschaltung zu sprechen",
  talking: "Sie sind zu hören, solange Sie die Leertaste halten.",
  muteShort: "Mikrofon an oder aus",
  camShort: "Kamera an oder aus",
  screenShort: "Bildschirm teilen oder nicht mehr",
  handShort: "Hand heben oder senken",
  nextLayout: "Nächste Anordnung",
  thisList: "Diese Liste",
  closePanel: "Seitenleiste schließen",
  notWhileTyping: "Beim Schreiben tun sie nichts.",

  // a small window beside other programs
  smallWindow: "Kleines Fenster über anderen Programmen",
  smallWindowFailed: "Das kleine Fenster konnte nicht geöffnet werden.",

  // reconnecting
  troubleSignaling: "Die Verbindung zum Server ist abgerissen. Sie wird wieder aufgebaut …",
  troubleRejoin:
    (attempt, of) => `Die Besprechung ist weg. Sie treten wieder bei, Versuch ${attempt} von ${of} …`,
  troubleMedia: "Ton und Bild sind unterbrochen. Ein anderer Weg wird gesucht …",
  forSeconds: n => `seit ${n} s`,
  hintMayHear: "Vielleicht sehen und hören die anderen Sie noch.",
  hintOffline:
    "Ihr Gerät ist offline: Prüfen Sie WLAN oder Kabel. Es geht von selbst weiter, wenn das Netz wieder da ist.",
  hintWait:
    "Sie müssen nichts tun. Wenn es dauert, versuchen Sie ein anderes Netz, oder gehen Sie und kommen Sie wieder.",
  hintFirewall:
    "Vielleicht sperrt eine Firewall UDP und TCP zum Server: Versuchen Sie ein anderes Netz, oder fragen Sie dessen Betreuer.",

  // who wants to come in, who wants to speak, who interprets
  wantsIn: name => `${name} möchte hereinkommen.`,
  wantIn: "Möchten hereinkommen",
  letIn: "Einlassen",
  letInNamed: name => `${name} einlassen`,
  refuse: "Abweisen",
  refuseNamed: name => `${name} abweisen`,
  notAnswered: "Die Anfrage konnte nicht beantwortet werden.",
  withRequests:
    (label, n) => count(n, `${label}, 1 möchte hereinkommen`, `${label}, ${n} möchten hereinkommen`),
  handAt: place => `Hand gehoben, Nummer ${place}`,
  interprets: language => `Dolmetscht: ${language}`,
  interpreter: "Dolmetscht ins",
  noInterpreter: "Keine Sprache: spricht für alle",
  listenTo: "Sprache, die Sie hören",
  original: "Original",
  channelGone: "Niemand dolmetscht mehr in Ihre Sprache. Sie hören das Original.",
};
