// What has changed between two lists of devices. Pure.

export interface DeviceInfo {
  deviceId: string;
  label: string;
}

/** The devices of `after` that are not in `before`; none if nothing was known before. */
export function newDevices(before: readonly DeviceInfo[], after: readonly DeviceInfo[]): DeviceInfo[] {
  if (before.length === 0) return []; // the permission has just been given
  const known = new Set(before.map((device) => device.deviceId));
  return after.filter((device) => !isAlias(device) && !known.has(device.deviceId));
}

/** The chosen device, if it was in `before` and is not in `after`. */
export function lostDevice(
  chosen: string,
  before: readonly DeviceInfo[],
  after: readonly DeviceInfo[],
): DeviceInfo | null {
  if (after.length === 0) return null; // without permission no device has a name
  if (after.some((device) => device.deviceId === chosen)) return null;
  return before.find((device) => device.deviceId === chosen) ?? null;
}

/** Chromium lists the system's choice a second time, under a name like this. */
const isAlias = ({ deviceId }: DeviceInfo): boolean =>
  deviceId === "default" || deviceId === "communications";
