// A button that opens a menu of choices. Arrow keys move in it; Escape, Tab and a click elsewhere
// close it.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icons.tsx";

export interface MenuGroup {
  label: string;
  items: { id: string; label: string; chosen: boolean; choose: () => void }[];
}

interface MenuProps {
  label: string;
  testId: string;
  class: string;
  groups: MenuGroup[];
  /** of the button */
  children: ComponentChildren;
}

export function Menu({ label, testId, class: name, groups, children }: MenuProps) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };

  // before the next event: a key that is pressed at once is for the menu
  useLayoutEffect(() => {
    if (!open) return undefined;
    const choices = box.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]") ?? [];
    ([...choices].find((choice) => choice.getAttribute("aria-checked") === "true") ?? choices[0])?.focus();
    const elsewhere = (event: PointerEvent): void => {
      if (!box.current?.parentElement?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", elsewhere);
    return () => removeEventListener("pointerdown", elsewhere);
  }, [open]);

  const pressed = (event: KeyboardEvent): void => {
    const choices = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]") ?? [])];
    const at = choices.indexOf(document.activeElement as HTMLElement);
    const move: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: choices.length - 1,
    };
    const to = move[event.key];
    if (to !== undefined) choices[(to + choices.length) % choices.length]?.focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") setOpen(false);
    // letters and space in a menu are no shortcuts of the meeting
    event.stopPropagation();
    if (to !== undefined || event.key === "Escape") event.preventDefault();
  };

  return (
    <div class="menu-place">
      <button
        ref={button}
        type="button"
        class={name}
        data-testid={testId}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        data-tip={label}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open ? (
        <div class="menu" role="menu" aria-label={label} ref={box} onKeyDown={pressed}>
          {groups.map((group) => (
            <div role="group" aria-label={group.label} key={group.label}>
              <p class="menu-head" aria-hidden="true">
                {group.label}
              </p>
              {group.items.map((item) => (
                <button
                  key={item.id}
                  type="button"
                  role="menuitemradio"
                  aria-checked={item.chosen}
                  tabIndex={-1}
                  class="menu-item"
                  data-choice={item.id}
                  onClick={() => {
                    item.choose();
                    close();
                  }}
                >
                  <Icon name="check" />
                  <span>{item.label}</span>
                </button>
              ))}
            </div>
          ))}
        </div>
      ) : null}
    </div>
  );
}
