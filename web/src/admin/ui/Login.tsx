// The screen before the login.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Console } from "../console.ts";
import { Mark, sentence } from "./bits.tsx";

export function Login({ shown }: { shown: Console }) {
  const input = useRef<HTMLInputElement>(null);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => input.current?.focus(), []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const field = input.current;
    if (!field || busy) return;
    setBusy(true);
    setWrong("");
    try {
      await shown.logIn(field.value.trim());
    } catch (error) {
      setWrong(sentence((error as Error).message));
      setBusy(false);
      field.select();
    }
  }

  return (
    <main class="login">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <h1>
          <Mark /> meet-trio admin
        </h1>
        {shown.notice.value ? (
          <p class="quiet" role="status">
            {shown.notice.value}
          </p>
        ) : null}
        <input type="text" name="username" value="admin" autocomplete="username" hidden />
        <label for="token">Token</label>
        <input
          id="token"
          ref={input}
          type="password"
          name="token"
          autocomplete="current-password"
          required
          aria-invalid={wrong ? true : undefined}
          aria-describedby="login-problem"
          data-testid="token"
        />
        <p id="login-problem" class="problem" role="alert" data-testid="login-problem">
          {wrong}
        </p>
        <button type="submit" class="primary" disabled={busy} data-testid="log-in">
          Log in
        </button>
        <p class="quiet small">The token is the setting admin.token of the server.</p>
      </form>
    </main>
  );
}
