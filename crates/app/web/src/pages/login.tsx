import { useState } from 'preact/hooks';

import type { Api, Session } from '../api.ts';
import { Field } from '../parts/field.tsx';
import { focusOnMount } from '../parts/focus.ts';
import { useSubmit } from '../parts/form.ts';

interface LoginProps {
  api: Api;
  notice: string | undefined;
  onDone: (session: Session) => void;
}

export function LoginPage({ api, notice, onDone }: LoginProps) {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const { form, busy, submit, fieldErrors, message } = useSubmit(
    ['username', 'password'],
    async () => onDone(await api.logIn(username, password)),
  );
  return (
    <main class="door">
      <h1>Log in to Steadfast</h1>
      {notice && <p role="status">{notice} Log in again to go on.</p>}
      <form ref={form} onSubmit={submit} noValidate>
        <Field label="User name" name="username" error={fieldErrors['username']}>
          {(input) => (
            <input
              {...input}
              ref={focusOnMount}
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
              autocomplete="current-password"
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
        <button class="primary" disabled={busy || !username || !password}>
          {busy ? 'Logging in…' : 'Log in'}
        </button>
      </form>
    </main>
  );
}
