// The dialog for devices and name during the meeting. It is a native modal dialog, which keeps the
// focus inside by itself.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Meeting } from "../meeting.ts";
import { nameOf } from "../protocol.ts";
import { remember } from "../prefs.ts";
import { words } from "../words/words.ts";
import { InputPicks, LanguagePick, SpeakerPick } from "./bits.tsx";
import { Icon } from "./icons.tsx";
import type { View } from "./view.ts";

export function Settings({ meeting, view }: { meeting: Meeting; view: View }) {
  const ref = useRef<HTMLDialogElement>(null);
  const w = words.value;
  const [name, setName] = useState(nameOf(meeting.me.value, w.guest));
  const { local } = meeting;

  useEffect(() => ref.current?.showModal(), []);

  const rename = (event: Event): void => {
    event.preventDefault();
    const wanted = name.trim();
    if (!wanted || wanted === meeting.me.value?.nickname) return;
    remember("name", wanted);
    void meeting.rename(wanted);
  };

  return (
    <dialog
      ref={ref}
      class="settings"
      aria-labelledby="settings-title"
      onClose={() => {
        view.settings.value = false;
      }}
    >
      <div class="panel-head">
        <h2 id="settings-title">{w.settings}</h2>
        <button
          type="button"
          class="plain small"
          aria-label={w.closeNamed(w.settings)}
          data-testid="settings-close"
          onClick={() => ref.current?.close()}
        >
          <Icon name="close" />
        </button>
      </div>
      <form class="field" onSubmit={rename}>
        <label for="rename">{w.yourName}</label>
        <div class="joined">
          <input
            id="rename"
            data-testid="rename-input"
            type="text"
            maxLength={60}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <button type="submit" data-testid="rename-save">
            {w.save}
          </button>
        </div>
      </form>
      <InputPicks local={local} chooser={meeting.sending} />
      <SpeakerPick local={local} />
      <LanguagePick />
      <label class="check">
        <input
          type="checkbox"
          checked={view.shortcuts.value}
          onChange={(event) => view.setShortcuts(event.currentTarget.checked)}
        />
        <span>{w.singleKeys}</span>
      </label>
      <button
        type="button"
        class="shortcut-list"
        onClick={() => {
          ref.current?.close();
          view.help.value = true;
        }}
      >
        {w.shortcuts} (<kbd>?</kbd>)
      </button>
    </dialog>
  );
}
