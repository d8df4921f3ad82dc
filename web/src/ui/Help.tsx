// The list of shortcuts, in a native modal dialog.
import { useEffect, useRef } from "preact/hooks";
import { KEYS } from "../shortcuts.ts";
import { words } from "../words/words.ts";
import { Icon } from "./icons.tsx";
import type { View } from "./view.ts";

export function Help({ view }: { view: View }) {
  const ref = useRef<HTMLDialogElement>(null);
  const w = words.value;
  useEffect(() => ref.current?.showModal(), []);
  const rows: [string, string][] = [
    [w.keySpace, w.holdToTalk],
    ...Object.values(KEYS).map(({ key, say }): [string, string] => [key, say(w)]),
    [w.keyEscape, w.closePanel],
  ];
  return (
    <dialog
      ref={ref}
      class="settings"
      aria-labelledby="help-title"
      data-testid="help"
      onClose={() => {
        view.help.value = false;
      }}
    >
      <div class="panel-head">
        <h2 id="help-title">{w.shortcuts}</h2>
        <button
          type="button"
          class="plain small"
          aria-label={w.closeNamed(w.shortcuts)}
          onClick={() => ref.current?.close()}
        >
          <Icon name="close" />
        </button>
      </div>
      <dl class="keys">
        {rows.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="quiet">{w.notWhileTyping}</p>
    </dialog>
  );
}
