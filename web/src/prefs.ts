// The settings that the browser remembers between meetings: name, devices, small choices. If
// storage is missing, full or forbidden (private windows), nothing is remembered. That is no error.
const PREFIX = "meet.";

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // no storage: the value is not remembered
  }
}

export function recall(key: string): string {
  try {
    return localStorage.getItem(PREFIX + key) ?? "";
  } catch {
    return "";
  }
}
