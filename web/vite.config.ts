// The meeting page is built into the Python package, which serves it at "/" with its files under
// "/assets/". Nothing is inlined, so that the page runs under a strict Content-Security-Policy.
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
    // mediasoup-client and socket.io-client in one file: one request, about 80 kB compressed
    chunkSizeWarningLimit: 800,
  },
  // `npm run dev` shows the page with a daemon running beside it
  server: {
    proxy: {
      "/demo": daemon,
      "/meetmedia": { target: daemon, ws: true },
    },
  },
});
