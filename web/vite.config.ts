// Vite builds the page into the Python package, which serves it at "/" and its files under
// "/assets/". Nothing is inlined, so the page can run under a strict Content-Security-Policy.
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
    // one file, so one request, with mediasoup-client and socket.io-client: about 100 kB compressed
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
