// Small components of several views.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { HERE } from "../calls.ts";
import { type Order, ROWS } from "../console.ts";
import { hashOf, type Place } from "../places.ts";
import type { Table } from "../types.ts";
import { shortId } from "../words.ts";

export const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

export function Mark() {
  return <img class="mark" src={`${HERE}/assets/mark.svg`} alt="" width="28" height="28" />;
}

/** The first characters of an id; the whole one is in its tip. */
export function Id({ id }: { id: string }) {
  return (
    <code class="id" title={id}>
      {shortId(id)}
    </code>
  );
}

/** A link to another place of the page, in the first cell of a row. */
export function RowLink({ to, children, label }: { to: Place; children: ComponentChildren; label?: string }) {
  return (
    <a class="row-link" href={hashOf(to)} aria-label={label}>
      {children}
    </a>
  );
}

export interface Column<Row> {
  /** the column that the server sorts by; "": it cannot */
  key: string;
  title: string;
  cell: (row: Row) => ComponentChildren;
  numeric?: boolean;
  class?: (row: Row) => string;
}

interface SortedTableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  table: Table<Row>;
  order: Order;
  onOrder: (change: Partial<Order>) => void;
  empty: string;
  testId: string;
  current?: string | undefined;
}

/** A table that the server sorts. The arrow keys go from row to row. */
export function SortedTable<Row extends { id: string }>(props: SortedTableProps<Row>) {
  const { label, columns, table, order, onOrder, empty, testId, current } = props;
  const sortBy = (column: Column<Row>): void => {
    const again = order.sort === column.key;
    onOrder({ sort: column.key, descending: again ? !order.descending : column.numeric === true });
  };
  return (
    <>
      <label class="narrow-sort">
        Sort by{" "}
        <select
          value={order.sort}
          onChange={(event) => {
            const column = columns.find(({ key }) => key === event.currentTarget.value);
            if (column) onOrder({ sort: column.key, descending: column.numeric === true });
          }}
        >
          {columns
            .filter(({ key }) => key)
            .map(({ key, title }) => (
              <option key={key} value={key}>
                {title}
              </option>
            ))}
        </select>
      </label>
      <div class="table-frame">
        <table aria-label={label} data-testid={testId} onKeyDown={walk}>
          <thead>
            <tr>
              {columns.map((column) => (
                <th
                  key={column.title}
                  scope="col"
                  class={column.numeric ? "numeric" : ""}
                  aria-sort={
                    column.key && column.key === order.sort
                      ? order.descending
                        ? "descending"
                        : "ascending"
                      : undefined
                  }
                >
                  {column.key ? (
                    <button type="button" class="sort" onClick={() => sortBy(column)}>
                      {column.title}
                      <span class="arrow" aria-hidden="true" />
                    </button>
                  ) : (
                    <span class={column.title === "Actions" ? "unseen" : ""}>{column.title}</span>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.map((row) => (
              <tr key={row.id} data-id={row.id} class={row.id === current ? "current" : ""}>
                {columns.map((column) => (
                  <td
                    key={column.title}
                    data-label={column.title}
                    class={`${column.numeric ? "numeric" : ""} ${column.class?.(row) ?? ""}`}
                  >
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
        {table.rows.length === 0 ? <p class="empty">{order.find ? "Nothing is found." : empty}</p> : null}
      </div>
      {table.found > table.rows.length ? <Pages table={table} onOrder={onOrder} /> : null}
    </>
  );
}

function Pages<Row>({ table, onOrder }: { table: Table<Row>; onOrder: (change: Partial<Order>) => void }) {
  const first = table.offset + 1;
  const last = table.offset + table.rows.length;
  return (
    <nav class="pages" aria-label="Pages">
      <button
        type="button"
        disabled={table.offset === 0}
        onClick={() => onOrder({ offset: Math.max(0, table.offset - ROWS) })}
      >
        Previous
      </button>
      <span>
        {first} to {last} of {table.found}
      </span>
      <button
        type="button"
        disabled={last >= table.found}
        onClick={() => onOrder({ offset: table.offset + ROWS })}
      >
        Next
      </button>
    </nav>
  );
}

/** The arrow keys move from the link of a row to that of the next one. */
function walk(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const link = (event.target as Element).closest?.(".row-link");
  if (!step || !link) return;
  const links = [...(event.currentTarget as Element).querySelectorAll<HTMLElement>(".row-link")];
  links[links.indexOf(link as HTMLElement) + step]?.focus();
  event.preventDefault();
}

/** The text that rows must contain. It is asked for when the typing pauses. */
export function Filter({ value, onFind, what }: { value: string; onFind: (find: string) => void; what: string }) {
  const timer = useRef(0);
  const [text, setText] = useState(value); // what is typed is not what was asked for yet
  return (
    <input
      type="search"
      class="filter"
      aria-label={`Filter ${what}`}
      aria-keyshortcuts="/"
      placeholder={`Filter ${what}  ( / )`}
      maxLength={100}
      value={text}
      data-testid="filter"
      onInput={(event) => {
        const { value: find } = event.currentTarget;
        setText(find);
        clearTimeout(timer.current);
        timer.current = window.setTimeout(() => onFind(find), 250);
      }}
    />
  );
}

export interface Question {
  title: string;
  text: ComponentChildren;
  /** the words of the button that does it */
  yes: string;
  danger?: boolean;
  /** a text or a number that is asked for */
  field?: { label: string; type: "text" | "number"; value?: string; min?: number; max?: number; maxLength?: number };
  /** does it, and returns what was done; throws an Error that says why it could not be done */
  act: (value: string) => Promise<string>;
}

/** A dialog that asks before something is done. Enter does it, Escape does not. */
export function Confirm({ question, onEnd }: { question: Question; onEnd: (done: string) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const first = useRef<HTMLInputElement & HTMLButtonElement>(null);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const { title, text, yes, danger, field } = question;
  useEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    first.current?.focus();
    return () => {
      element?.close(); // while it is open nothing else takes the focus
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setWrong("");
    try {
      onEnd(await question.act(first.current?.value ?? ""));
    } catch (error) {
      setWrong(sentence((error as Error).message));
      setBusy(false);
    }
  }

  return (
    <dialog
      ref={dialog}
      aria-labelledby="question"
      data-testid="confirm"
      onCancel={(event) => {
        event.preventDefault();
        onEnd("");
      }}
    >
      <form onSubmit={(event) => void submit(event)}>
        <h2 id="question">{title}</h2>
        <div class="question-text">{text}</div>
        {field ? (
          <label class="field">
            <span>{field.label}</span>
            <input
              ref={first}
              type={field.type}
              defaultValue={field.value ?? ""}
              min={field.min}
              max={field.max}
              maxLength={field.maxLength}
              required={field.type === "number"}
              data-testid="confirm-field"
            />
          </label>
        ) : null}
        <p class="problem" role="alert">
          {wrong}
        </p>
        <div class="buttons">
          <button type="button" onClick={() => onEnd("")}>
            Cancel
          </button>
          <button
            type="submit"
            ref={field ? null : first}
            class={danger ? "danger" : "primary"}
            disabled={busy}
            data-testid="confirm-yes"
          >
            {busy ? "…" : yes}
          </button>
        </div>
      </form>
    </dialog>
  );
}
