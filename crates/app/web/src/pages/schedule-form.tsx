import { useEffect, useMemo, useState } from 'preact/hooks';

import {
  type Api,
  ApiError,
  type Dialect,
  type Misfire,
  type NewSchedule,
  type Preview,
  type Schedule,
} from '../api.ts';
import { Field } from '../parts/field.tsx';
import { focusOnMount } from '../parts/focus.ts';
import { useSubmit } from '../parts/form.ts';
import { BROWSER_ZONE, formatFire, zonesByRegion } from '../time.ts';

interface ScheduleFormProps {
  api: Api;
  onCreated: (schedule: Schedule) => void;
  onCancel: () => void;
}

const BLANK: NewSchedule = {
  title: '',
  body: '',
  cron: '0 9 * * 1-5',
  dialect: 'posix5',
  tz: BROWSER_ZONE,
  channels: ['ws'],
  misfire: 'once',
};

const CRON_HINTS: Record<Dialect, string> = {
  posix5: 'minute hour day month weekday, or @daily, @every 90s',
  quartz6: 'second minute hour day month weekday, or @daily, @every 90s',
};

export function ScheduleForm({ api, onCreated, onCancel }: ScheduleFormProps) {
  const [draft, setDraft] = useState(BLANK);
  const set = (change: Partial<NewSchedule>) => setDraft((draft) => ({ ...draft, ...change }));
  const preview = usePreview(api, draft);
  const { form, busy, submit, fieldErrors, message } = useSubmit(
    ['title', 'body', 'cron', 'dialect', 'tz', 'misfire'],
    async () => onCreated(await api.createSchedule(draft)),
  );
  // The preview is checked by the same rules, and is younger than what was submitted.
  const planErrors = preview.error?.fields ?? {};
  const regions = useMemo(zonesByRegion, []);

  return (
    <form ref={form} class="panel" aria-label="New schedule" onSubmit={submit} noValidate>
      <div class="columns">
        <div>
          <Field label="Title" name="title" error={fieldErrors['title']}>
            {(input) => (
              <input
                {...input}
                ref={focusOnMount}
                value={draft.title}
                onInput={(event) => set({ title: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field label="Message" name="body" error={fieldErrors['body']}>
            {(input) => (
              <textarea
                {...input}
                rows={3}
                value={draft.body}
                onInput={(event) => set({ body: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field
            label="Cron expression"
            name="cron"
            hint={CRON_HINTS[draft.dialect]}
            error={planErrors['cron']}
          >
            {(input) => (
              <input
                {...input}
                class="code"
                autocomplete="off"
                autocapitalize="none"
                spellcheck={false}
                value={draft.cron}
                onInput={(event) => set({ cron: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field label="Dialect" name="dialect" error={planErrors['dialect']}>
            {(input) => (
              <select
                {...input}
                value={draft.dialect}
                onChange={(event) => set({ dialect: event.currentTarget.value as Dialect })}
              >
                <option value="posix5">Unix cron, five fields</option>
                <option value="quartz6">Quartz, six fields with seconds</option>
              </select>
            )}
          </Field>
        </div>
        <div>
          <Field label="Time zone" name="tz" error={planErrors['tz']}>
            {(input) => (
              <select
                {...input}
                value={draft.tz}
                onChange={(event) => set({ tz: event.currentTarget.value })}
              >
                {[...regions].map(([region, zones]) => (
                  <optgroup key={region} label={region}>
                    {zones.map((zone) => (
                      <option key={zone}>{zone}</option>
                    ))}
                  </optgroup>
                ))}
              </select>
            )}
          </Field>
          <PreviewBox preview={preview} tz={draft.tz} />
          <Field
            label="When a fire was missed"
            name="misfire"
            hint="The server was off, or too busy for too long."
            error={fieldErrors['misfire']}
          >
            {(input) => (
              <select
                {...input}
                value={draft.misfire}
                onChange={(event) => set({ misfire: event.currentTarget.value as Misfire })}
              >
                <option value="once">Catch up once</option>
                <option value="all">Catch up on each</option>
                <option value="skip">Leave it out</option>
              </select>
            )}
          </Field>
        </div>
      </div>
      {message && (
        <p class="error" role="alert">
          {message}
        </p>
      )}
      <div class="actions">
        <button class="primary" disabled={busy || !draft.title}>
          {busy ? 'Creating…' : 'Create schedule'}
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}

type PreviewState =
  | { state: 'loading'; error?: never }
  | { state: 'ready'; value: Preview; error?: never }
  | { state: 'failed'; error: ApiError };

const DEBOUNCE_MS = 300;

/** Asks the server what the plan means, when it has stood still for a moment. */
function usePreview(api: Api, { cron, dialect, tz }: NewSchedule): PreviewState {
  const [preview, setPreview] = useState<PreviewState>({ state: 'loading' });
  useEffect(() => {
    const abort = new AbortController();
    setPreview({ state: 'loading' });
    const timer = setTimeout(async () => {
      try {
        const value = await api.previewSchedule({ cron, dialect, tz }, abort.signal);
        setPreview({ state: 'ready', value });
      } catch (failure) {
        if (!abort.signal.aborted) setPreview({ state: 'failed', error: ApiError.from(failure) });
      }
    }, DEBOUNCE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [api, cron, dialect, tz]);
  return preview;
}

function PreviewBox({ preview, tz }: { preview: PreviewState; tz: string }) {
  return (
    <div class="preview" aria-live="polite">
      {preview.state === 'loading' && <p class="meta">Working out the next fires…</p>}
      {preview.state === 'failed' && (
        <p class="meta">
          {Object.keys(preview.error.fields).length > 0
            ? 'No preview: a field needs a change.'
            : preview.error.message}
        </p>
      )}
      {preview.state === 'ready' && (
        <>
          <p>{preview.value.description}</p>
          {preview.value.next_fires.length > 0 ? (
            <ol aria-label="Next fires">
              {preview.value.next_fires.map((fire) => (
                <li key={fire}>
                  <time dateTime={fire}>{formatFire(fire, tz)}</time>
                </li>
              ))}
            </ol>
          ) : (
            <p class="meta">Never fires.</p>
          )}
        </>
      )}
    </div>
  );
}
