import { useState } from 'preact/hooks';

import { type Api, ApiError, type Session } from '../api.ts';
import { Field } from '../parts/field.tsx';
import { focusOnMount } from '../parts/focus.ts';
import { useSubmit } from '../parts/form.ts';

interface SetupProps {
  api: Api;
  onDone: (session: Session) => void;
  /** Somebody else was first. */
  onTooLate: () => void;
}

export function SetupPage({ api, onDone, onTooLate }: SetupProps) {
  const [token, setToken] = useState('');
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const { form, busy, submit, fieldErrors, message } = useSubmit(
    ['token', 'username', 'password'],
    async () => {
      try {
        onDone(await api.setUp(token.trim(), username, password));
      } catch (failure) {
        if (failure instanceof ApiError && failure.status === 409) onTooLate();
        else throw failure;
      }
    },
  );
  return (
    <main class="door">
      <h1>Welcome to Steadfast</h1>
      <p>Nobody has set this server up yet. Create its first administrator.</p>
      <form ref={form} onSubmit={submit} noValidate>
        <Field
          label="Set-up token"
          name="token"
          hint="In the file setup-token of the data folder; the server printed its path when it started."
          error={fieldErrors['token']}
        >
          {(input) => (
            <input
              {...input}
              ref={focusOnMount}
              autocomplete="off"
              spellcheck={false}
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label="User name" name="username" error={fieldErrors['username']}>
          {(input) => (
            <input
              {...input}
              autocomplete="username"
              autocapitalize="none"
              spellcheck={false}
              value={username}
              onInput={(event) => setUsername(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label="Password" name="password" error={fieldErrors['password']}>
          {(input) => (
            <input
              {...input}
              type="password"
              autocomplete="new-password"
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
          )}
        </Field>
        {message && (
          <p class="error" role="alert">
            {message}
          </p>
        )}
        <button class="primary" disabled={busy || !token || !username || !password}>
          {busy ? 'Creating…' : 'Create administrator'}
        </button>
      </form>
    </main>
  );
}
