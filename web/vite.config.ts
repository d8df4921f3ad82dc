// Vite builds two pages into the Python package: the meeting page, which is served at "/", and the
// admin page. Their files are under "/assets/"; the server puts the admin page's path before that.
// Nothing is inlined, so the pages can run under a strict Content-Security-Policy.
import { defineConfig } from "vite";
import { licenses } from "./licenses.ts";

const daemon = "http://127.0.0.1:12443";

export default defineConfig({
  base: "/",
  plugins: [licenses()],
  build: {
    outDir: "../src/meet_trio/web",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: { index: "index.html", admin: "admin.html" } },
    // the meeting page is one file and what it shares with the other page, with mediasoup-client and socket.io-client: about 100 kB compressed
    chunkSizeWarningLimit: 800,
  },
  // `npm run dev` serves the page and passes all other requests to a running meet-trio
  server: {
    proxy: {
      "/demo": daemon,
      "/meetmedia": { target: daemon, ws: true },
    },
  },
});
