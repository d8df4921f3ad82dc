// The icons of the page, drawn on a 24 × 24 grid in strokes of the text's colour. They are
// decorative: the button or label beside an icon has its meaning as text.
import type { ComponentChildren } from "preact";

const drawings = {
  mic: (
    <>
      <rect x="9" y="3" width="6" height="11" rx="3" />
      <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
    </>
  ),
  "mic-off": (
    <>
      <path d="M9 9v2a3 3 0 0 0 4.6 2.5M15 10V6a3 3 0 0 0-5.7-1.3M5.5 11.5a6.5 6.5 0 0 0 10 5.5M18.5 11.5a6.5 6.5 0 0 1-.5 2.5M12 18v3M4 3l16 18" />
    </>
  ),
  cam: (
    <>
      <rect x="2.5" y="6" width="13" height="12" rx="3" />
      <path d="m15.5 10.5 6-3.5v10l-6-3.5" />
    </>
  ),
  "cam-off": (
    <>
      <path d="M9.5 6h3a3 3 0 0 1 3 3v3M15 17a3 3 0 0 1-2.5 1h-7a3 3 0 0 1-3-3V9a3 3 0 0 1 2.2-2.900M15.5 10.500l6-3.500v10l-3-1.750M3.5 3l16.5 18" />
    </>
  ),
  screen: (
    <>
      <rect x="2.5" y="4" width="19" height="13" rx="2.5" />
      <path d="M8.5 21h7M12 14V7.500M9 10l3-3 3 3" />
    </>
  ),
  "screen-off": (
    <>
      <rect x="2.5" y="4" width="19" height="13" rx="2.5" />
      <path d="M8.5 21h7M9.5 8l5 5M14.5 8l-5 5" />
    </>
  ),
  hand: (
    <path d="M7 12V6.500a1.5 1.5 0 0 1 3 0V11 4.500a1.5 1.5 0 0 1 3 0V11 6a1.5 1.5 0 0 1 3 0v6-2.500a1.5 1.5 0 0 1 3 0V15a6.5 6.5 0 0 1-6.5 6.500c-3 0-4.7-1.3-6-3.500l-2.7-4.600a1.5 1.5 0 0 1 2.6-1.500L8 14" />
  ),
  chat: <path d="M4 5.500h16a1.5 1.5 0 0 1 1.5 1.500v9a1.5 1.5 0 0 1-1.5 1.500h-8L7 21.500v-4H4A1.5 1.5 0 0 1 2.5 16V7A1.5 1.5 0 0 1 4 5.500ZM7.5 10h9M7.5 13.500h5.5" />,
  people: (
    <>
      <circle cx="9" cy="8.5" r="3.5" />
      <path d="M2.5 19.500a6.5 6.5 0 0 1 13 0M15.5 5.300a3.5 3.5 0 0 1 0 6.400M18 14.200a6.5 6.5 0 0 1 3.5 5.3" />
    </>
  ),
  leave: (
    <path d="M3 14.500v-1.300C3 10.5 7 9 12 9s9 1.5 9 4.200v1.300a1.5 1.5 0 0 1-1.9 1.450l-2.5-.7a1.5 1.5 0 0 1-1.1-1.450v-1.300a13 13 0 0 0-7 0v1.300a1.5 1.5 0 0 1-1.1 1.450l-2.5.7A1.5 1.5 0 0 1 3 14.500Z" />
  ),
  settings: (
    <>
      <path d="M4 7h9M19 7h1M4 17h1M11 17h9" />
      <circle cx="16" cy="7" r="2.5" />
      <circle cx="8" cy="17" r="2.5" />
    </>
  ),
  link: (
    <path d="M10 14a4.5 4.5 0 0 0 6.4 0l3.2-3.200a4.5 4.5 0 0 0-6.4-6.400L12 5.600M14 10a4.5 4.5 0 0 0-6.4 0l-3.2 3.200a4.5 4.5 0 0 0 6.4 6.400L12 18.4" />
  ),
  check: <path d="m4.5 12.5 5 5 10-11" />,
  up: <path d="m6 15 6-6 6 6" />,
  grid: (
    <>
      <rect x="3.5" y="4" width="7" height="7" rx="1.5" />
      <rect x="13.5" y="4" width="7" height="7" rx="1.5" />
      <rect x="3.5" y="14" width="7" height="6.5" rx="1.5" />
      <rect x="13.5" y="14" width="7" height="6.5" rx="1.5" />
    </>
  ),
  pip: (
    <>
      <path d="M21 11V6.500A1.500 1.500 0 0 0 19.500 5h-15A1.500 1.500 0 0 0 3 6.500v10A1.500 1.500 0 0 0 4.500 18H9" />
      <rect x="12.500" y="13" width="9" height="6.500" rx="1.500" />
    </>
  ),
  globe: (
    <>
      <circle cx="12" cy="12" r="8.5" />
      <path d="M3.500 12h17M12 3.500c5 5 5 12 0 17c-5-5-5-12 0-17Z" />
    </>
  ),
  close: <path d="m6 6 12 12M18 6 6 18" />,
  send: <path d="M4 12 20 4.5 15.5 20 11.5 13.5 4 12ZM11.5 13.5 20 4.5" />,
  pin: <path d="M12 15v6M8 3.500h8l-1 6.5 3 4.500H6L9 10 8 3.500Z" />,
  more: (
    <>
      <circle cx="5" cy="12" r="1.2" />
      <circle cx="12" cy="12" r="1.2" />
      <circle cx="19" cy="12" r="1.2" />
    </>
  ),
  weak: <path d="M4 20v-3M9.5 20v-6M15 20V10.500M20.5 20V6M4 4l4 4M8 4 4 8" />,
  sound: <path d="M4 9.500v5h3.500L13 19V5L7.5 9.500H4ZM16.5 9a4.2 4.2 0 0 1 0 6M19 6.500a8 8 0 0 1 0 11" />,
} satisfies Record<string, ComponentChildren>;

export type IconName = keyof typeof drawings;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {drawings[name]}
    </svg>
  );
}

export function Mark() {
  return <img class="mark" src="/assets/mark.svg" alt="" width="32" height="32" />;
}
