// Plural forms by the rules of each language: English has one for 1, French for 0 and 1.

/** `plural("en")(2, "1 day", "2 days")` is the last. */
export function plural(language: string): (count: number, one: string, other: string) => string {
  const rules = new Intl.PluralRules(language);
  return (count, one, other) => (rules.select(count) === "one" ? one : other);
}
