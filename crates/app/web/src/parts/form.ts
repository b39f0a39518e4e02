import { useRef, useState } from 'preact/hooks';

import { ApiError } from '../api.ts';

/**
 * The submission of a form: one at a time; a failure's field errors go to the fields, and the
 * first of them gets the focus.
 */
export function useSubmit(fields: readonly string[], send: () => Promise<void>) {
  const form = useRef<HTMLFormElement>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();

  async function submit(event: Event) {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await send();
    } catch (failure) {
      const error = ApiError.from(failure);
      setError(error);
      const first = fields.find((field) => error.fields[field]);
      const input = first && form.current?.elements.namedItem(first);
      if (input instanceof HTMLElement) input.focus();
    } finally {
      setBusy(false);
    }
  }

  const atFields = fields.some((field) => error?.fields[field]);
  const elsewhere = Object.entries(error?.fields ?? {}).filter(([field]) => !fields.includes(field));
  return {
    form,
    busy,
    submit,
    fieldErrors: error?.fields ?? {},
    /** What no field shows. */
    message:
      error && (elsewhere.map(([field, detail]) => `${field}: ${detail}`).join(' ') ||
        (atFields ? undefined : error.message)),
  };
}
