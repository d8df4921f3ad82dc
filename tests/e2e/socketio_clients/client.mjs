/* A stock socket.io-client, driven through its standard input.
 *
 *     node client.mjs 2|4 URL OPTIONS
 *
 * URL and OPTIONS (JSON) are those of `io()`. Lines of standard input are commands, lines of
 * standard output are its reports, all of them JSON. client.py speaks the same:
 *
 *     {"emit": [name, …]}  {"call": [name, …]}  {"answer": […]}  {"disconnect": true}
 *     {"on": "transport", "name": …}  {"on": "connect"}  {"on": "disconnect", "reason": …}
 *     {"on": "refused", "message": …}  {"on": "heartbeat"}
 *     {"on": "event", "name": …, "args": […]}  {"on": "ack", "args": […]}
 *
 * `answer` sets the arguments of the acknowledgements of the server's requests. Bytes are
 * {"base64": …} inside JSON. The end of standard input ends the program, without a goodbye.
 */

import { createRequire } from "node:module"
import { createInterface } from "node:readline"

const PACKAGES = { 2: "socket.io-client-2", 4: "socket.io-client" }
// socket.io-client 2 has no handler for all events
const EVENTS = ["auth", "message-back", "notification"]

function fromJson(value) {
  if (value === null || typeof value !== "object") return value
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value.base64 === "string") return Buffer.from(value.base64, "base64")
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, fromJson(field)]))
}

function toJson(value) {
  if (value === null || typeof value !== "object") return value
  if (Array.isArray(value)) return value.map(toJson)
  if (Buffer.isBuffer(value)) return { base64: value.toString("base64") }
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, toJson(field)]))
}

function say(line) {
  process.stdout.write(`${JSON.stringify(toJson(line))}\n`)
}

const [version, url, options] = process.argv.slice(2)
const io = createRequire(import.meta.url)(PACKAGES[version])
const socket = io(url, JSON.parse(options))
let answer = [null]

socket.io.on("open", () => {
  const { engine } = socket.io
  say({ on: "transport", name: engine.transport.name })
  engine.on("upgrade", transport => say({ on: "transport", name: transport.name }))
})
// in version 2 the client sends the pings
socket.io.on(version === "2" ? "pong" : "ping", () => say({ on: "heartbeat" }))
socket.on("connect", () => say({ on: "connect" }))
socket.on("disconnect", reason => say({ on: "disconnect", reason }))
socket.on(version === "2" ? "error" : "connect_error", error =>
  say({ on: "refused", message: error.message ?? error }),
)
for (const name of EVENTS) socket.on(name, (...args) => say({ on: "event", name, args }))
socket.on("request", (...args) => {
  const acknowledge = args.pop()
  say({ on: "event", name: "request", args })
  acknowledge(...answer)
})

createInterface(process.stdin)
  .on("line", line => {
    const command = fromJson(JSON.parse(line))
    if (command.emit) socket.emit(...command.emit)
    else if (command.call) socket.emit(...command.call, (...args) => say({ on: "ack", args }))
    else if (command.answer) answer = command.answer
    else if (command.disconnect) socket.disconnect()
    else throw new Error(`no such command: ${line}`)
  })
  .on("close", () => process.exit())
