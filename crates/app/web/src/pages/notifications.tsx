import { useRef, useState } from 'preact/hooks';

import { ApiError, type Notification } from '../api.ts';
import type { Notifications } from '../notifications.ts';
import { Empty, Failure, Loading } from '../parts/states.tsx';
import { href } from '../router.ts';
import { formatMoment } from '../time.ts';

export function NotificationsPage({ notifications }: { notifications: Notifications }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [failure, setFailure] = useState<string>();
  const { items, error, hasOlder, loadOlder, markRead, markAllRead, reload } = notifications;

  /** The button goes away with its work done: the focus moves on, to `next` or the heading. */
  async function act(work: () => Promise<void>, next?: HTMLElement | null) {
    setFailure(undefined);
    try {
      await work();
      (next?.isConnected ? next : heading.current)?.focus();
    } catch (failure) {
      setFailure(ApiError.from(failure).message);
    }
  }

  const unread = items?.filter((item) => item.read_at === null) ?? [];
  const read = items?.filter((item) => item.read_at !== null) ?? [];
  return (
    <>
      <div class="title">
        <h1 ref={heading} tabIndex={-1}>
          Notifications
        </h1>
        {unread.length > 1 && (
          <button type="button" onClick={() => void act(markAllRead)}>
            Mark all read
          </button>
        )}
      </div>
      {failure && (
        <p class="error" role="alert">
          {failure}
        </p>
      )}
      {error && <Failure error={error} onRetry={reload} />}
      {!items && !error && <Loading />}
      {items?.length === 0 && (
        <Empty>
          <p>Nothing yet. What your schedules send appears here as it happens.</p>
          <a class="button primary" href={href('schedules')}>
            Create a schedule
          </a>
        </Empty>
      )}
      {unread.length > 0 && (
        <section aria-labelledby="unread">
          <h2 id="unread">Unread</h2>
          <ul class="cards">
            {unread.map((item) => (
              <Item key={item.id} item={item}>
                <button
                  type="button"
                  aria-label={`Mark read: ${item.title}`}
                  onClick={(event) =>
                    void act(() => markRead(item.id), neighbour(event.currentTarget))
                  }
                >
                  Mark read
                </button>
              </Item>
            ))}
          </ul>
        </section>
      )}
      {read.length > 0 && (
        <section aria-labelledby="read">
          <h2 id="read">Read</h2>
          <ul class="cards">
            {read.map((item) => (
              <Item key={item.id} item={item} />
            ))}
          </ul>
        </section>
      )}
      {hasOlder && (
        <button type="button" class="more" onClick={() => void act(loadOlder)}>
          Show older
        </button>
      )}
    </>
  );
}

function Item({ item, children }: { item: Notification; children?: preact.ComponentChildren }) {
  return (
    <li class={item.read_at === null ? 'card new' : 'card'}>
      <div class="grow">
        <h3>
          {item.title}
          {item.urgent && <span class="tag urgent">Urgent</span>}
        </h3>
        {item.body && <p class="body">{item.body}</p>}
        <p class="meta">
          <time dateTime={item.created_at}>{formatMoment(item.created_at)}</time>
          {item.topic && <span class="tag">{item.topic}</span>}
        </p>
      </div>
      {children}
    </li>
  );
}

/** The button of the next item, or of the one before. */
function neighbour(button: HTMLElement): HTMLElement | null {
  const item = button.closest('li');
  const other = item?.nextElementSibling ?? item?.previousElementSibling;
  return other?.querySelector('button') ?? null;
}
