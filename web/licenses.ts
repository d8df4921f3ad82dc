// A Vite plugin: it writes the licences of all packages in the page to `assets/licenses.txt`. The
// page is shipped in the Python package, and these licences require that their notices are kept.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

export function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_options, bundle) {
      const found = new Map<string, string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const id of chunk.moduleIds) {
          const folder = packageOf(id);
          if (folder && !found.has(folder)) found.set(folder, notice(folder));
        }
      }
      const source = [...found.values()].sort().join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "assets/licenses.txt", source });
    },
  };
}

/** The folder of the npm package that a module comes from; null for a module of this page. */
function packageOf(id: string): string | null {
  return /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1] ?? null;
}

function notice(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
  return `${name} ${version} (${license ?? "see below"})\n\n${text}\n`;
}
