import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

/** What an input needs to be tied to its label, hint and error. */
export interface InputAttributes {
  id: string;
  name: string;
  'aria-describedby': string | undefined;
  'aria-invalid': boolean;
}

interface FieldProps {
  label: string;
  name: string;
  hint?: string;
  error?: string | undefined;
  children: (attributes: InputAttributes) => ComponentChildren;
}

/** A labelled input with its hint and what is wrong with its value. */
export function Field({ label, name, hint, error, children }: FieldProps) {
  const id = useId();
  const describedBy = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({
        id,
        name,
        'aria-describedby': describedBy || undefined,
        'aria-invalid': error !== undefined,
      })}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <p class="field-error" id={`${id}-error`} aria-live="polite">
        {error}
      </p>
    </div>
  );
}
