// The places of the page, which are in the fragment of its URL.
export type Place =
  | { kind: "rooms" }
  | { kind: "room"; room: string }
  | { kind: "peer"; room: string; peer: string };

/** "" for what no link of this page has. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

export function placeOf(hash: string): Place {
  const [kind, room, inner, peer] = hash.replace(/^#\/?/, "").split("/").map(decoded);
  if (kind !== "rooms" || !room) return { kind: "rooms" };
  return inner === "peers" && peer ? { kind: "peer", room, peer } : { kind: "room", room };
}

export function hashOf(place: Place): string {
  if (place.kind === "rooms") return "#/";
  const room = `#/rooms/${encodeURIComponent(place.room)}`;
  return place.kind === "room" ? room : `${room}/peers/${encodeURIComponent(place.peer)}`;
}
