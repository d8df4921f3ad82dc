import assert from "node:assert/strict";
import test from "node:test";
import { lostDevice, newDevices } from "../src/devices.ts";

const device = (deviceId: string) => ({ deviceId, label: deviceId.toUpperCase() });
const before = [device("default"), device("desk")];

test("a device that was plugged in", () => {
  assert.deepEqual(newDevices(before, [...before, device("head")]), [device("head")]);
  assert.deepEqual(newDevices([device("desk")], before), [], "the system's choice is no new device");
  assert.deepEqual(newDevices([], before), [], "the first list after the permission");
});

test("the chosen device was pulled out", () => {
  assert.deepEqual(lostDevice("desk", before, [device("default")]), device("desk"));
  assert.equal(lostDevice("desk", before, before), null);
  assert.equal(lostDevice("head", before, [device("x")]), null, "it was not there before");
  assert.equal(lostDevice("desk", before, []), null, "the permission was withdrawn");
});
