import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

import { type Api, ApiError, type Notification, type Schedule } from '../api.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Empty, Failure, Loading } from '../parts/states.tsx';
import { ScheduleForm } from './schedule-form.tsx';
import { ScheduleItem } from './schedule-item.tsx';

interface SchedulesProps {
  api: Api;
  /** The last notification that arrived: its schedule's next fires have moved on. */
  latest: Notification | undefined;
}

export function SchedulesPage({ api, latest }: SchedulesProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [items, setItems] = useState<Schedule[]>();
  const [next, setNext] = useState<string | null>(null);
  const [error, setError] = useState<ApiError>();
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Schedule>();
  const [notice, setNotice] = useState<string>();
  const [failure, setFailure] = useState<string>();

  const load = useCallback(
    async (cursor?: string) => {
      try {
        const page = await api.schedules(cursor);
        setItems((items) => (cursor && items ? [...items, ...page.items] : page.items));
        setNext(page.next);
        setError(undefined);
      } catch (failure) {
        setError(ApiError.from(failure));
      }
    },
    [api],
  );
  useEffect(() => void load(), [load]);

  const put = useCallback((schedule: Schedule) => {
    setItems((items) => items?.map((item) => (item.id === schedule.id ? schedule : item)));
  }, []);

  useEffect(() => {
    // One that is gone meanwhile is left to the next action to report.
    if (latest?.schedule_id) void api.schedule(latest.schedule_id).then(put, () => {});
  }, [api, latest, put]);

  async function act(work: () => Promise<string>) {
    setNotice(undefined);
    setFailure(undefined);
    try {
      setNotice(await work());
    } catch (failure) {
      const error = ApiError.from(failure);
      setFailure(error.message);
      if (error.status === 404 || error.status === 412) await load();
    }
  }

  const toggle = (schedule: Schedule) =>
    act(async () => {
      const { id, title, enabled } = schedule;
      put(await (enabled ? api.pauseSchedule(id) : api.resumeSchedule(id)));
      return `${enabled ? 'Paused' : 'Resumed'} “${title}”.`;
    });
  const run = ({ id, title }: Schedule) =>
    act(async () => {
      await api.runSchedule(id);
      return `Ran “${title}”: the notification follows.`;
    });
  const remove = (schedule: Schedule) =>
    act(async () => {
      await api.deleteSchedule(schedule);
      setItems((items) => items?.filter((item) => item.id !== schedule.id));
      heading.current?.focus();
      return `Deleted “${schedule.title}”.`;
    });

  function created(schedule: Schedule) {
    setItems((items) => [...(items ?? []), schedule]);
    setCreating(false);
    setNotice(`Created “${schedule.title}”.`);
    heading.current?.focus();
  }

  return (
    <>
      <div class="title">
        <h1 ref={heading} tabIndex={-1}>
          Schedules
        </h1>
        {!creating && (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            New schedule
          </button>
        )}
      </div>
      <p class="notice" role="status">
        {notice}
      </p>
      {failure && (
        <p class="error" role="alert">
          {failure}
        </p>
      )}
      {creating && (
        <ScheduleForm api={api} onCreated={created} onCancel={() => setCreating(false)} />
      )}
      {error && <Failure error={error} onRetry={() => void load()} />}
      {!items && !error && <Loading />}
      {items?.length === 0 && !creating && (
        <Empty>
          <p>No schedules yet. One sends you a notification whenever its time comes.</p>
        </Empty>
      )}
      {items && items.length > 0 && (
        <ul class="cards" aria-label="Schedules">
          {items.map((schedule) => (
            <ScheduleItem
              key={schedule.id}
              schedule={schedule}
              onToggle={() => toggle(schedule)}
              onRun={() => run(schedule)}
              onDelete={() => setDeleting(schedule)}
            />
          ))}
        </ul>
      )}
      {next && (
        <button type="button" class="more" onClick={() => void load(next)}>
          Show more
        </button>
      )}
      {deleting && (
        <Confirm
          title="Delete this schedule?"
          action="Delete"
          onConfirm={() => void remove(deleting)}
          onClose={() => setDeleting(undefined)}
        >
          “{deleting.title}” will not fire again. What it has sent stays.
        </Confirm>
      )}
    </>
  );
}
