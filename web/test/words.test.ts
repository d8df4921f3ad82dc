import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import ts from "typescript";
import { de } from "../src/words/de.ts";
import { en } from "../src/words/en.ts";
import { fr } from "../src/words/fr.ts";
import { deviceWords, languageOf, Plain, reasonOf } from "../src/words/words.ts";

/** Attributes and properties whose text people never see or hear. */
const TECHNICAL =
  /^(on[A-Z].*|data-.*|class|key|id|for|ref|type|role|href|src|rel|target|lang|style|testId|icon|look|keys|controls|autocomplete|inputMode|preload|list|name|value|width|height|d|points|viewBox|cx|cy|r|rx|x|y|x1|x2|y1|y2|aria-(hidden|live|controls|describedby|labelledby|haspopup|keyshortcuts|expanded|pressed|invalid|checked)|focusable|focusScreen|from|track|kind|what|direction|tile|unit|points|preserveAspectRatio|xmlns)$/;
const COMPARISONS = new Set([
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
  ts.SyntaxKind.InKeyword,
]);

/** The texts in a component's file that people would see and that are in no table. */
function literals(file: string, source: string): string[] {
  const found: string[] = [];
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.ES2022, true, ts.ScriptKind.TSX);
  const report = (node: ts.Node, text: string): void => {
    if (!/\p{L}/u.test(text)) return;
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${file}:${line + 1}: ${text.trim()}`);
  };
  const visit = (node: ts.Node, shown: boolean): void => {
    if (ts.isJsxAttribute(node)) {
      const technical = TECHNICAL.test(node.name.getText());
      if (node.initializer) visit(node.initializer, !technical);
      return;
    }
    if (ts.isJsxText(node)) report(node, node.text);
    if (shown && ts.isStringLiteralLike(node)) report(node, node.text);
    if (shown && ts.isTemplateExpression(node)) {
      report(node, [node.head, ...node.templateSpans.map((span) => span.literal)].map((part) => part.text).join(""));
    }
    let inside = shown;
    if (ts.isJsxExpression(node) && !ts.isJsxAttribute(node.parent)) inside = true;
    if (ts.isCallExpression(node) || ts.isElementAccessExpression(node)) inside = false;
    if (ts.isBinaryExpression(node) && COMPARISONS.has(node.operatorToken.kind)) inside = false;
    node.forEachChild((child) => visit(child, inside));
  };
  visit(tree, false);
  return found;
}

test("no component has a text of its own", () => {
  const folder = new URL("../src/ui/", import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith(".tsx"));
  assert.ok(files.length >= 10);
  const found = files.flatMap((file) => literals(file, readFileSync(new URL(file, folder), "utf8")));
  assert.deepEqual(found, []);
});

test("a text of its own is found wherever people would see it", () => {
  const count = (jsx: string): number => literals("x.tsx", `const x = ${jsx};`).length;
  assert.equal(count("<p>Hello</p>"), 1);
  assert.equal(count("<p>{on ? 'Mute' : w.unmute}</p>"), 1);
  assert.equal(count("<p aria-label='Chat' />"), 1);
  assert.equal(count("<Pick none={`No ${x}`} />"), 1);
  assert.equal(count("<p class='round' onClick={() => open('chat')}>{panel === 'chat' ? 1 : w.chat} · 5</p>"), 0);
});

test("each language has its own words", () => {
  const same = ["untitled", "chat", "messages", "host", "participants", "moderator", "microphone", "keyEscape", "original"];
  for (const [name, table] of Object.entries({ de, fr })) {
    assert.deepEqual(Object.keys(table), Object.keys(en), `${name}: the order of English`);
    for (const [key, text] of Object.entries(table)) {
      if (typeof text === "string") assert.ok(text.trim() !== "", key);
      const plain = en[key as keyof typeof en];
      if (typeof text === "string" && !same.includes(key)) assert.notEqual(text, plain, `${name}: ${key}`);
    }
  }
});

test("plural forms follow the language", () => {
  assert.deepEqual([0, 1, 2].map(en.people), ["0 people", "1 person", "2 people"]);
  assert.deepEqual([0, 1, 2].map(de.people), ["0 Personen", "1 Person", "2 Personen"]);
  assert.deepEqual([0, 1, 2].map(fr.people), ["0 personne", "1 personne", "2 personnes"]);
});

test("the chosen language, then the browser's, then English", () => {
  assert.equal(languageOf("", ["nl-NL", "fr-CA", "de"]), "fr");
  assert.equal(languageOf("de", ["fr"]), "de");
  assert.equal(languageOf("tlh", ["constructor", "x"]), "en");
});

test("errors become sentences of each language", () => {
  const busy = new DOMException("x", "NotReadableError");
  assert.match(deviceWords("cam", busy)(de), /Kamera ist belegt/);
  assert.match(deviceWords("mic", new Error("x"))(fr), /micro n’a pas pu/);
  const refused = new Plain((w) => w.full);
  assert.equal(reasonOf(refused, (w) => w.noAnswer)(de), de.full);
  assert.equal(reasonOf(busy, (w) => w.noAnswer)(fr), fr.noAnswer);
});
