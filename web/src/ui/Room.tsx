// The meeting screen: top bar, stage, side panel, toolbar, banner and toasts.
import { useEffect, useMemo, useState } from "preact/hooks";
import { languageName } from "../channels.ts";
import { type Layout, LAYOUTS } from "../layout.ts";
import { type Meeting, REJOIN_ATTEMPTS, type Trouble } from "../meeting.ts";
import { type Action, actionOf, KEYS, PushToTalk, TALK, takesKeys, takesSpace } from "../shortcuts.ts";
import { language, type Say, type Words, words } from "../words/words.ts";
import { Heading, RoundButton, Signal } from "./bits.tsx";
import { Chat } from "./Chat.tsx";
import { Connection } from "./Connection.tsx";
import { Help } from "./Help.tsx";
import { Icon, Mark } from "./icons.tsx";
import { Menu, type MenuGroup } from "./Menu.tsx";
import { Outlets } from "./Outlets.tsx";
import { People } from "./People.tsx";
import { Settings } from "./Settings.tsx";
import { canShrink, closeSmallWindow, toggleSmallWindow } from "./small-window.tsx";
import { Stage } from "./Stage.tsx";
import { View } from "./view.ts";

interface RoomProps {
  meeting: Meeting;
  /** the link to invite others; null outside demo mode, where this page has none */
  link: string | null;
}

export function Room({ meeting, link }: RoomProps) {
  const view = useMemo(() => new View(meeting), [meeting]);
  useEffect(() => () => view.dispose(), [view]);
  useShortcuts(meeting, view);
  useEffect(keepAwake, []);
  const unread = view.unread.value;
  const w = words.value;
  useEffect(() => {
    document.title = unread > 0 ? w.unreadTitle(unread) : w.meeting;
    return () => {
      document.title = w.untitled;
    };
  }, [unread, w]);

  const people = meeting.peers.value.size + 1;
  return (
    <div class={`room ${view.panel.value === "none" ? "" : "with-panel"}`} data-testid="room">
      <header class="top">
        <Mark />
        <Heading class="top-title">{w.meeting}</Heading>
        <span class="count">{w.people(people)}</span>
        <span class="spring" />
        {link ? <CopyLink link={link} /> : null}
        <button
          type="button"
          class="plain small"
          data-testid="connection-toggle"
          aria-label={w.connection}
          aria-keyshortcuts={KEYS.connection.key}
          aria-expanded={view.panel.value === "connection"}
          title={w.connection}
          onClick={() => view.toggle("connection")}
        >
          <Signal grade={meeting.watch.own.value} />
        </button>
        <ChannelMenu meeting={meeting} />
        <LayoutMenu view={view} />
        {canShrink() ? (
          <button
            type="button"
            class="plain small"
            data-testid="pip-toggle"
            aria-label={w.smallWindow}
            aria-keyshortcuts={KEYS.pip.key}
            title={w.smallWindow}
            onClick={() => void toggleSmallWindow(meeting, view)}
          >
            <Icon name="pip" />
          </button>
        ) : null}
        <button
          type="button"
          class="plain small"
          data-testid="settings-toggle"
          aria-label={w.settings}
          aria-haspopup="dialog"
          onClick={() => {
            view.settings.value = true;
          }}
        >
          <Icon name="settings" />
        </button>
      </header>
      <Banner meeting={meeting} view={view} />
      <Stage meeting={meeting} view={view} />
      <SidePanel meeting={meeting} view={view} />
      <Toolbar meeting={meeting} view={view} />
      <Toasts meeting={meeting} />
      <Outlets meeting={meeting} view={view} />
      {view.settings.value ? <Settings meeting={meeting} view={view} /> : null}
      {view.help.value ? <Help view={view} /> : null}
    </div>
  );
}

/** The choice of what to listen to, while somebody interprets. */
function ChannelMenu({ meeting }: { meeting: Meeting }) {
  const w = words.value;
  const channels = meeting.channels.value;
  if (channels.length === 0) return null;
  const items = [null, ...channels].map((channel) => ({
    id: channel ?? "original",
    label: channel === null ? w.original : languageName(channel, language.value),
    chosen: channel === meeting.channel.value,
    choose: () => {
      meeting.channel.value = channel;
    },
  }));
  return (
    <Menu label={w.listenTo} testId="channel-menu" class="channel" groups={[{ label: w.listenTo, items }]}>
      <Icon name="globe" />
      <span>{items.find((item) => item.chosen)?.label ?? w.original}</span>
    </Menu>
  );
}

const LAYOUT_WORDS: Record<Layout, Say> = {
  grid: (w) => w.layoutGrid,
  speaker: (w) => w.layoutSpeaker,
  sidebar: (w) => w.layoutSidebar,
};

function LayoutMenu({ view }: { view: View }) {
  const w = words.value;
  const items = LAYOUTS.map((layout) => ({
    id: layout,
    label: LAYOUT_WORDS[layout](w),
    chosen: layout === view.layout.value,
    choose: () => view.chooseLayout(layout),
  }));
  return (
    <Menu label={w.layout} testId="layout-menu" class="plain small" groups={[{ label: w.layout, items }]}>
      <Icon name="grid" />
    </Menu>
  );
}

function CopyLink({ link }: { link: string }) {
  const [copied, setCopied] = useState(false);
  const [shown, setShown] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(link);
      setCopied(true);
      setTimeout(() => setCopied(false), 2500);
    } catch {
      setShown(true); // outside secure contexts there is no clipboard: the user copies the text
    }
  };
  if (shown) {
    return (
      <input
        class="link-shown"
        readOnly
        aria-label={words.value.linkToMeeting}
        value={link}
        ref={(input) => input?.select()}
        onBlur={() => setShown(false)}
      />
    );
  }
  return (
    <button type="button" class="invite" data-testid="copy-link" onClick={() => void copy()}>
      <Icon name={copied ? "check" : "link"} />
      <span aria-live="polite">{copied ? words.value.linkCopied : words.value.copyLink}</span>
    </button>
  );
}

const HINT_AFTER_S = 5;
const FIREWALL_AFTER_S = 20; // by then each kind of path was tried

/** What the user can do, after some seconds of trouble. */
function hintOf(kind: Trouble["kind"], seconds: number, w: Words): string {
  if (!navigator.onLine) return w.hintOffline;
  if (seconds < HINT_AFTER_S) return kind === "signaling" ? w.hintMayHear : "";
  return kind === "media" && seconds >= FIREWALL_AFTER_S ? w.hintFirewall : w.hintWait;
}

function Banner({ meeting, view }: { meeting: Meeting; view: View }) {
  const w = words.value;
  const trouble = meeting.trouble.value;
  const seconds = useSeconds(trouble?.since ?? null);
  const said = trouble && {
    signaling: w.troubleSignaling,
    media: w.troubleMedia,
    rejoin: w.troubleRejoin(trouble.attempt, REJOIN_ATTEMPTS),
  }[trouble.kind];
  const hint = trouble ? hintOf(trouble.kind, seconds, w) : "";
  return (
    <div class="banners">
      <div role="status" data-testid="banner" class={trouble ? "banner" : ""}>
        {trouble ? (
          <>
            <span class="spinner" aria-hidden="true" />
            <span>
              {said}{" "}
              <span class="banner-time" aria-hidden="true">
                {w.forSeconds(seconds)}
              </span>
              {hint ? <small>{hint}</small> : null}
            </span>
          </>
        ) : null}
      </div>
      {view.talking.value ? (
        <p class="banner talking" role="status" data-testid="talking">
          <Icon name="mic" /> {w.talking}
        </p>
      ) : null}
      {view.soundBlocked.value ? (
        <button
          type="button"
          class="banner sound"
          data-testid="sound-button"
          onClick={() => {
            view.soundBlocked.value = false;
          }}
        >
          <Icon name="sound" /> {w.turnOnSound}
        </button>
      ) : null}
    </div>
  );
}

/** Whole seconds since a moment of the page's clock, counted on; 0 for null. */
function useSeconds(since: number | null): number {
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (since === null) return undefined;
    const tick = (): void => setNow(performance.now());
    tick();
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, [since]);
  return since === null ? 0 : Math.max(0, Math.floor((now - since) / 1000));
}

function SidePanel({ meeting, view }: { meeting: Meeting; view: View }) {
  const panel = view.panel.value;
  if (panel === "none") return null;
  const w = words.value;
  const title = { chat: w.chat, people: w.whoIsHere, connection: w.connection }[panel];
  return (
    <aside id="panel" class="panel" aria-label={title} key={panel}>
      <div class="panel-head">
        <h2>{title}</h2>
        <button type="button" class="plain small" aria-label={w.closeNamed(title)} onClick={() => closePanel(view)}>
          <Icon name="close" />
        </button>
      </div>
      {panel === "chat" ? <Chat meeting={meeting} view={view} /> : null}
      {panel === "people" ? <People meeting={meeting} /> : null}
      {panel === "connection" ? <Connection watch={meeting.watch} /> : null}
    </aside>
  );
}

/** Closes the side panel, and moves the focus back to the button that opened it. */
function closePanel(view: View): void {
  const toggle = `${view.panel.value}-toggle`;
  view.panel.value = "none";
  document.querySelector<HTMLElement>(`[data-testid=${toggle}]`)?.focus();
}

function Toolbar({ meeting, view }: { meeting: Meeting; view: View }) {
  const w = words.value;
  const { local, sending } = meeting;
  const micOn = local.micOn.value;
  const camOn = local.camOn.value;
  const sharing = sending.screen.value !== null;
  const me = meeting.me.value;
  const hand = me?.raisedHand ?? false;
  const waiting = meeting.requests.value.length;
  // while reconnecting there is no `me`: the buttons stay enabled
  const mayPublish = me === null || meeting.canPublish;
  const canShare = "getDisplayMedia" in (navigator.mediaDevices ?? {});
  return (
    <footer class="toolbar" aria-label={w.meetingControls}>
      <RoundButton
        icon={micOn ? "mic" : "mic-off"}
        label={micOn ? w.mute : w.unmute}
        keys={KEYS.mic.key}
        look={micOn ? undefined : "off"}
        testId="mic-toggle"
        disabled={!mayPublish}
        onClick={() => void sending.setMic(!micOn)}
      />
      <Menu
        label={w.chooseMic}
        testId="mic-menu"
        class="caret"
        groups={[
          choices(w.microphone, local.devices.value.mics, local.micId.value, (id) => sending.chooseMic(id)),
          ...("setSinkId" in HTMLMediaElement.prototype
            ? [
                choices(w.speaker, local.devices.value.speakers, local.speakerId.value, (id) =>
                  local.chooseSpeaker(id),
                ),
              ]
            : []),
        ]}
      >
        <Icon name="up" />
      </Menu>
      <RoundButton
        icon={camOn ? "cam" : "cam-off"}
        label={camOn ? w.cameraOff : w.cameraOn}
        keys={KEYS.cam.key}
        look={camOn ? undefined : "off"}
        testId="cam-toggle"
        disabled={!mayPublish}
        onClick={() => void sending.setCam(!camOn)}
      />
      <Menu
        label={w.chooseCam}
        testId="cam-menu"
        class="caret"
        groups={[
          choices(w.camera, local.devices.value.cams, local.camId.value, (id) => sending.chooseCam(id)),
        ]}
      >
        <Icon name="up" />
      </Menu>
      {canShare ? (
        <RoundButton
          icon={sharing ? "screen-off" : "screen"}
          label={sharing ? w.stopScreen : w.shareScreen}
          keys={KEYS.screen.key}
          look={sharing ? "lit" : undefined}
          testId="screen-toggle"
          disabled={!mayPublish}
          onClick={() => void (sharing ? sending.stopScreen() : sending.shareScreen())}
        />
      ) : null}
      <RoundButton
        icon="hand"
        label={hand ? w.lowerHand : w.raiseHand}
        keys={KEYS.hand.key}
        look={hand ? "lit" : undefined}
        testId="hand-toggle"
        onClick={() => void meeting.raiseHand(!hand)}
      />
      <span class="divider" />
      <RoundButton
        icon="chat"
        label={w.chat}
        keys={KEYS.chat.key}
        testId="chat-toggle"
        look={view.panel.value === "chat" ? "open" : undefined}
        expanded={view.panel.value === "chat"}
        controls="panel"
        badge={view.unread.value}
        onClick={() => view.toggle("chat")}
      />
      <RoundButton
        icon="people"
        label={waiting > 0 ? w.withRequests(w.whoIsHere, waiting) : w.whoIsHere}
        mark={waiting}
        keys={KEYS.people.key}
        testId="people-toggle"
        look={view.panel.value === "people" ? "open" : undefined}
        expanded={view.panel.value === "people"}
        controls="panel"
        onClick={() => view.toggle("people")}
      />
      <span class="divider" />
      <RoundButton
        icon="leave"
        label={w.leave}
        look="danger"
        testId="leave-button"
        onClick={() => meeting.leave()}
      />
    </footer>
  );
}

function choices(
  label: string,
  devices: readonly MediaDeviceInfo[],
  chosen: string,
  choose: (id: string) => unknown,
): MenuGroup {
  const known = devices.some(({ deviceId }) => deviceId === chosen);
  return {
    label,
    items: devices.map(({ deviceId, label: name }, index) => ({
      id: deviceId,
      label: name,
      chosen: known ? deviceId === chosen : index === 0,
      choose: () => void choose(deviceId),
    })),
  };
}

function Toasts({ meeting }: { meeting: Meeting }) {
  const all = meeting.toasts.value;
  const draw = (urgent: boolean) =>
    all
      .filter((toast) => toast.urgent === urgent)
      .map((toast) => (
        <p key={toast.id} class={`toast ${urgent ? "urgent" : ""}`}>
          {toast.text}
        </p>
      ));
  return (
    <div class="toasts" data-testid="toasts">
      <div role="status">{draw(false)}</div>
      <div role="alert">{draw(true)}</div>
    </div>
  );
}

/** Keeps the screen of a phone on. The browser drops the wake lock when the page is hidden. */
function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let over = false;
  const ask = async (): Promise<void> => {
    if (document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
    try {
      lock = await navigator.wakeLock.request("screen");
      if (over) await lock.release();
    } catch {
      // refused, for example at low battery: the screen may turn off
    }
  };
  const changed = (): void => void ask();
  document.addEventListener("visibilitychange", changed);
  void ask();
  return () => {
    over = true;
    document.removeEventListener("visibilitychange", changed);
    void lock?.release().catch(() => undefined);
  };
}

/** Does what the keys of shortcuts.ts say. */
function useShortcuts(meeting: Meeting, view: View): void {
  useEffect(() => {
    // the listeners read signals when a key is pressed, so they need not be renewed
    const { local, sending } = meeting;
    const talk = new PushToTalk({
      get muted() {
        return meeting.canPublish && !local.micOn.value;
      },
      set: (on) => {
        view.talking.value = on;
        void sending.setMic(on);
      },
    });
    const release = (): void => talk.release();
    const act: Record<Action, () => void> = {
      hand: () => void meeting.raiseHand(!meeting.me.value?.raisedHand),
      chat: () => view.toggle("chat"),
      people: () => view.toggle("people"),
      connection: () => view.toggle("connection"),
      layout: () => view.nextLayout(),
      pip: () => void toggleSmallWindow(meeting, view),
      help: () => {
        view.help.value = true;
      },
      mic: () => void (meeting.canPublish && sending.setMic(!local.micOn.value)),
      cam: () => void (meeting.canPublish && sending.setCam(!local.camOn.value)),
      screen: () => {
        if (sending.screen.value) void sending.stopScreen();
        else if (meeting.canPublish) void sending.shareScreen();
      },
    };
    const pressed = (event: KeyboardEvent): void => {
      const target = event.target instanceof Element ? event.target : null;
      if (event.key === "Escape" && !target?.closest("dialog") && view.panel.value !== "none") {
        closePanel(view);
        return;
      }
      if (!view.shortcuts.value) return;
      if (event.key === TALK && !takesSpace(target) && talk.press()) {
        event.preventDefault(); // it would scroll
        return;
      }
      const action = takesKeys(target) ? null : actionOf(event);
      if (action === null) return;
      event.preventDefault();
      act[action]();
    };
    const released = (event: KeyboardEvent): void => {
      if (event.key === TALK) release();
    };
    addEventListener("keydown", pressed);
    addEventListener("keyup", released);
    addEventListener("blur", release);
    return () => {
      removeEventListener("keydown", pressed);
      removeEventListener("keyup", released);
      removeEventListener("blur", release);
      closeSmallWindow();
    };
  }, [meeting, view]);
}
