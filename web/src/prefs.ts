// What the browser remembers between meetings: name, devices, small choices. Storage may be
// missing, full or forbidden (private windows); then nothing is remembered and nothing breaks.
const PREFIX = "meet.";

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // forgetting is all right
  }
}

export function recall(key: string): string {
  try {
    return localStorage.getItem(PREFIX + key) ?? "";
  } catch {
    return "";
  }
}
