// The panel with all peers, and a moderator's actions on them.
import { useEffect, useRef, useState } from "preact/hooks";
import { INTERPRETED, languageName } from "../channels.ts";
import type { Meeting } from "../meeting.ts";
import { has, nameOf, type PeerInfo, Role } from "../protocol.ts";
import { language, type Words, words } from "../words/words.ts";
import { Avatar } from "./bits.tsx";
import { Icon } from "./icons.tsx";

function title(role: number, w: Words): string {
  if (has(role, Role.owner)) return w.host;
  if (has(role, Role.moderator)) return w.moderator;
  return has(role, Role.publisher) ? "" : w.listener;
}

export function People({ meeting }: { meeting: Meeting }) {
  const w = words.value;
  const [open, setOpen] = useState<string | null>(null);
  const [ending, setEnding] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const me = meeting.me.value;
  const moderator = has(me?.role ?? 0, Role.moderator);
  const others = [...meeting.peers.value.values()];
  // raised hands first, in their order, then in the order of arrival
  const hands = meeting.hands.value;
  const rank = ({ id }: PeerInfo): number => (hands.includes(id) ? hands.indexOf(id) : hands.length);
  others.sort((a, b) => rank(a) - rank(b));

  useEffect(() => list.current?.focus(), []);

  return (
    <>
      {moderator ? <Requests meeting={meeting} /> : null}
      <ul class="people" ref={list} tabIndex={-1} aria-label={w.participants} data-testid="people-list">
        {me ? <Person key={me.id} peer={me} self meeting={meeting} muted={!meeting.local.micOn.value} /> : null}
        {others.map((peer) => (
          <Person
            key={peer.id}
            peer={peer}
            meeting={meeting}
            muted={isMuted(meeting, peer.id)}
            {...(moderator
              ? { open: open === peer.id, onOpen: () => setOpen(open === peer.id ? null : peer.id) }
              : {})}
          />
        ))}
      </ul>
      {has(me?.role ?? 0, Role.owner) ? (
        <div class="panel-foot">
          {ending ? (
            <>
              <p id="end-question">{w.endQuestion}</p>
              <div class="row">
                <button
                  type="button"
                  class="danger"
                  data-testid="end-confirm"
                  aria-describedby="end-question"
                  onClick={() => void meeting.endForAll()}
                >
                  {w.endIt}
                </button>
                <button type="button" onClick={() => setEnding(false)}>
                  {w.cancel}
                </button>
              </div>
            </>
          ) : (
            <button type="button" data-testid="end-for-all" onClick={() => setEnding(true)}>
              {w.endForAll}
            </button>
          )}
        </div>
      ) : null}
    </>
  );
}

/** Who waits outside. */
function Requests({ meeting }: { meeting: Meeting }) {
  const w = words.value;
  const requests = meeting.requests.value;
  if (requests.length === 0) return null;
  return (
    <section class="requests" aria-label={w.wantIn} data-testid="requests">
      <h3>{w.wantIn}</h3>
      <ul>
        {requests.map(({ requestId, nickname }) => {
          const name = nameOf({ nickname: nickname ?? false }, w.guest);
          return (
            <li key={requestId} class="person-row">
              <Avatar id={requestId} name={name} />
              <span class="person-name">{name}</span>
              <button
                type="button"
                class="primary"
                aria-label={w.letInNamed(name)}
                data-testid={`accept-${requestId}`}
                onClick={() => void meeting.answer(requestId, true)}
              >
                {w.letIn}
              </button>
              <button
                type="button"
                aria-label={w.refuseNamed(name)}
                data-testid={`deny-${requestId}`}
                onClick={() => void meeting.answer(requestId, false)}
              >
                {w.refuse}
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function isMuted(meeting: Meeting, peerId: string): boolean {
  for (const stream of meeting.streams.value.values()) {
    if (stream.peerId !== peerId || stream.kind !== "audio" || stream.source === "screen") continue;
    if (!stream.paused) return false;
  }
  return true;
}

interface PersonProps {
  peer: PeerInfo;
  meeting: Meeting;
  muted: boolean;
  self?: boolean;
  open?: boolean;
  /** whether there are actions on this peer */
  onOpen?: () => void;
}

function Person({ peer, meeting, muted, self, open, onOpen }: PersonProps) {
  const w = words.value;
  const name = nameOf(peer, w.guest);
  const role = title(peer.role, w);
  const place = meeting.hands.value.indexOf(peer.id) + 1;
  const isModerator = has(peer.role, Role.moderator);
  const isPublisher = has(peer.role, Role.publisher);
  return (
    <li class="person" data-testid={`person-${peer.id}`}>
      <div class="person-row">
        <Avatar id={peer.id} name={name} />
        <span class="person-name">
          {self ? w.nameAndYou(name) : name}
          {role ? <small>{role}</small> : null}
          {peer.language ? (
            <small>{w.interprets(languageName(peer.language, language.value))}</small>
          ) : null}
        </span>
        {peer.raisedHand ? (
          <span class="chip hand" role="img" aria-label={w.handAt(place)}>
            <Icon name="hand" />
            <b>{place}</b>
          </span>
        ) : null}
        {isPublisher ? (
          <span class={muted ? "muted" : "heard"} role="img" aria-label={muted ? w.stateMuted : w.stateMicOn}>
            <Icon name={muted ? "mic-off" : "mic"} />
          </span>
        ) : null}
        {onOpen ? (
          <button
            type="button"
            class="plain small"
            data-testid={`more-${peer.id}`}
            aria-expanded={open}
            aria-label={w.actionsFor(name)}
            onClick={onOpen}
          >
            <Icon name="more" />
          </button>
        ) : null}
      </div>
      {open ? (
        <div class="person-actions">
          {has(peer.role, Role.owner) ? null : (
            <button
              type="button"
              data-testid={`moderator-${peer.id}`}
              onClick={() => void meeting.setRole(peer.id, Role.moderator, !isModerator)}
            >
              {isModerator ? w.takeModerator : w.makeModerator}
            </button>
          )}
          <button
            type="button"
            data-testid={`publisher-${peer.id}`}
            onClick={() => void meeting.setRole(peer.id, Role.publisher, !isPublisher)}
          >
            {isPublisher ? w.makeListener : w.letSpeak}
          </button>
          {isPublisher ? (
            <label class="field">
              <span>{w.interpreter}</span>
              <select
                data-testid={`interpreter-${peer.id}`}
                value={peer.language ?? ""}
                onChange={(event) => void meeting.setLanguage(peer.id, event.currentTarget.value || null)}
              >
                <option value="">{w.noInterpreter}</option>
                {INTERPRETED.map((code) => (
                  <option key={code} value={code}>
                    {languageName(code, language.value)}
                  </option>
                ))}
              </select>
            </label>
          ) : null}
          {has(peer.role, Role.owner) ? null : (
            <button
              type="button"
              class="danger"
              data-testid={`kick-${peer.id}`}
              onClick={() => void meeting.kick(peer.id)}
            >
              {w.remove}
            </button>
          )}
        </div>
      ) : null}
    </li>
  );
}
