// The chat panel.
import { useEffect, useRef } from "preact/hooks";
import type { Meeting } from "../meeting.ts";
import { clock, pieces } from "../text.ts";
import { language, words } from "../words/words.ts";
import { Icon } from "./icons.tsx";
import type { View } from "./view.ts";

export function Chat({ meeting, view }: { meeting: Meeting; view: View }) {
  const w = words.value;
  const draft = view.draft.value;
  const log = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const messages = meeting.chat.value;

  useEffect(() => input.current?.focus(), []);
  useEffect(() => {
    const list = log.current;
    if (list) list.scrollTop = list.scrollHeight;
  }, [messages.length]);

  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const text = draft.trim();
    if (!text) return;
    view.draft.value = "";
    input.current?.focus(); // the button is disabled now and cannot keep the focus
    if (!(await meeting.say(text))) view.draft.value ||= text;
  };

  return (
    <>
      <div class="log" role="log" aria-label={w.messages} tabIndex={0} ref={log} data-testid="chat-log">
        {messages.length === 0 ? (
          <p class="empty">{w.chatEmpty}</p>
        ) : null}
        {messages.map((message, index) => {
          const before = messages[index - 1];
          const follows = before?.peerId === message.peerId && message.time - before.time < 60_000;
          return (
            <article key={message.id} class={`message ${message.own ? "own" : ""}`}>
              {follows ? null : (
                <p class="message-head">
                  <b>{message.own ? w.you : message.name}</b>{" "}
                  <time dateTime={new Date(message.time).toISOString()}>{clock(message.time, language.value)}</time>
                </p>
              )}
              <p class="message-text">
                {pieces(message.text).map((piece, at) =>
                  piece.href ? (
                    <a key={at} href={piece.href} target="_blank" rel="noopener noreferrer">
                      {piece.text}
                    </a>
                  ) : (
                    piece.text
                  ),
                )}
              </p>
            </article>
          );
        })}
      </div>
      <form class="joined chat-form" onSubmit={(event) => void send(event)}>
        <input
          ref={input}
          data-testid="chat-input"
          type="text"
          autocomplete="off"
          maxLength={4000}
          aria-label={w.writeMessage}
          placeholder={w.writeMessage}
          value={draft}
          onInput={(event) => {
            view.draft.value = event.currentTarget.value;
          }}
        />
        <button
          type="submit"
          data-testid="chat-send"
          aria-label={w.send}
          disabled={draft.trim() === ""}
        >
          <Icon name="send" />
        </button>
      </form>
    </>
  );
}
