import { useState } from 'preact/hooks';

import type { Schedule } from '../api.ts';
import { formatFire } from '../time.ts';

interface ScheduleItemProps {
  schedule: Schedule;
  onToggle: () => Promise<void>;
  onRun: () => Promise<void>;
  onDelete: () => void;
}

export function ScheduleItem({ schedule, onToggle, onRun, onDelete }: ScheduleItemProps) {
  const [busy, setBusy] = useState(false);
  const { title, body, cron, tz, enabled, next_fires } = schedule;

  async function once(work: () => Promise<void>) {
    if (busy) return;
    setBusy(true);
    await work();
    setBusy(false);
  }

  return (
    <li class={enabled ? 'card' : 'card paused'} aria-busy={busy}>
      <div class="grow">
        <h2>
          {title}
          {!enabled && <span class="tag">Paused</span>}
        </h2>
        {body && <p class="body">{body}</p>}
        <p class="meta">
          <code>{cron}</code> <span>{tz}</span>
        </p>
        <p class="meta">{enabled ? <Next fires={next_fires} tz={tz} /> : 'Does not fire.'}</p>
      </div>
      <div class="actions">
        <button
          type="button"
          aria-label={`${enabled ? 'Pause' : 'Resume'} ${title}`}
          onClick={() => void once(onToggle)}
        >
          {enabled ? 'Pause' : 'Resume'}
        </button>
        <button
          type="button"
          aria-label={`Run ${title} now`}
          disabled={!enabled}
          onClick={() => void once(onRun)}
        >
          Run now
        </button>
        <button type="button" class="danger" aria-label={`Delete ${title}`} onClick={onDelete}>
          Delete
        </button>
      </div>
    </li>
  );
}

function Next({ fires, tz }: { fires: string[]; tz: string }) {
  const [first] = fires;
  if (!first) return <>Never fires again.</>;
  return (
    <>
      Next: <time dateTime={first}>{formatFire(first, tz)}</time>
    </>
  );
}
