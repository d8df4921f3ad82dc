// The meeting screen: top bar, stage, side panel, toolbar, banner and toasts.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Layout, LAYOUTS } from "../layout.ts";
import type { Meeting } from "../meeting.ts";
import { type Say, words } from "../words/words.ts";
import { Heading, RoundButton, Signal } from "./bits.tsx";
import { Chat } from "./Chat.tsx";
import { Connection } from "./Connection.tsx";
import { Icon, Mark } from "./icons.tsx";
import { Menu, type MenuGroup } from "./Menu.tsx";
import { Outlets } from "./Outlets.tsx";
import { People } from "./People.tsx";
import { Settings } from "./Settings.tsx";
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
          aria-keyshortcuts="n"
          aria-expanded={view.panel.value === "connection"}
          data-tip={w.connection}
          onClick={() => view.toggle("connection")}
        >
          <Signal grade={meeting.watch.own.value} />
        </button>
        <LayoutMenu view={view} />
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
    </div>
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

function Banner({ meeting, view }: { meeting: Meeting; view: View }) {
  const w = words.value;
  let text = "";
  if (meeting.phase.value === "reconnecting") text = w.reconnecting;
  else if (meeting.mediaTrouble.value) text = w.mediaTrouble;
  return (
    <div class="banners">
      <div role="status" data-testid="banner" class={text ? "banner" : ""}>
        {text ? <span class="spinner" aria-hidden="true" /> : null}
        {text}
      </div>
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
  // while reconnecting there is no `me`: the buttons stay enabled
  const mayPublish = me === null || meeting.canPublish;
  const canShare = "getDisplayMedia" in (navigator.mediaDevices ?? {});
  return (
    <footer class="toolbar" aria-label={w.meetingControls}>
      <RoundButton
        icon={micOn ? "mic" : "mic-off"}
        label={micOn ? w.mute : w.unmute}
        keys="m"
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
        keys="v"
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
          keys="s"
          look={sharing ? "lit" : undefined}
          testId="screen-toggle"
          disabled={!mayPublish}
          onClick={() => void (sharing ? sending.stopScreen() : sending.shareScreen())}
        />
      ) : null}
      <RoundButton
        icon="hand"
        label={hand ? w.lowerHand : w.raiseHand}
        keys="h"
        look={hand ? "lit" : undefined}
        testId="hand-toggle"
        onClick={() => void meeting.raiseHand(!hand)}
      />
      <span class="divider" />
      <RoundButton
        icon="chat"
        label={w.chat}
        keys="c"
        testId="chat-toggle"
        look={view.panel.value === "chat" ? "open" : undefined}
        expanded={view.panel.value === "chat"}
        controls="panel"
        badge={view.unread.value}
        onClick={() => view.toggle("chat")}
      />
      <RoundButton
        icon="people"
        label={w.whoIsHere}
        keys="p"
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

function useShortcuts(meeting: Meeting, view: View): void {
  // the listener reads signals when a key is pressed, so it need not be renewed
  const pressed = useRef((event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = event.target as HTMLElement | null;
    if (event.key === "Escape" && !target?.closest("dialog") && view.panel.value !== "none") {
      closePanel(view);
      return;
    }
    if (target?.closest("input, textarea, select, dialog, [contenteditable]")) return;
    if (!view.shortcuts.value) return;
    const { local, sending } = meeting;
    const mayPublish = meeting.canPublish;
    const act: Record<string, () => void> = {
      h: () => void meeting.raiseHand(!meeting.me.value?.raisedHand),
      c: () => view.toggle("chat"),
      p: () => view.toggle("people"),
      n: () => view.toggle("connection"),
      ...(mayPublish && {
        m: () => void sending.setMic(!local.micOn.value),
        v: () => void sending.setCam(!local.camOn.value),
        s: () => void (sending.screen.value ? sending.stopScreen() : sending.shareScreen()),
      }),
    };
    const action = act[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
  useEffect(() => {
    const listener = pressed.current;
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
}
