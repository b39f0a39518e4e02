// The user's notifications: what the server has, kept current by what arrives.

import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';

import { type Api, ApiError, type Notification } from './api.ts';
import { type Live, type LiveEvent, type LiveState, openLive } from './live.ts';

export interface Notifications {
  /** Newest first; `undefined` until the first answer. */
  items: Notification[] | undefined;
  unread: number;
  /** Whether there are more unread ones than those counted. */
  moreUnread: boolean;
  hasOlder: boolean;
  error: ApiError | undefined;
  live: LiveState;
  /** The last that arrived while the page was open. */
  latest: Notification | undefined;
  reload(): void;
  reconnect(): void;
  loadOlder(): Promise<void>;
  markRead(id: string): Promise<void>;
  markAllRead(): Promise<void>;
}

type ById = ReadonlyMap<string, Notification>;

export function useNotifications(api: Api, userId: string): Notifications {
  const [byId, setById] = useState<ById>();
  const [older, setOlder] = useState<string | null>(null);
  const [moreUnread, setMoreUnread] = useState(false);
  const [error, setError] = useState<ApiError>();
  const [state, setState] = useState<LiveState>('connecting');
  const [latest, setLatest] = useState<Notification>();
  const live = useRef<Live>(undefined);
  // What arrives while the lists are read is newer than they are, and applied on top.
  const meanwhile = useRef<LiveEvent[]>(undefined);
  const loads = useRef(0);

  const load = useCallback(async () => {
    const number = ++loads.current;
    meanwhile.current = [];
    try {
      const [unread, all] = await Promise.all([
        api.notifications({ unread: true }),
        api.notifications({}),
      ]);
      if (number !== loads.current) return;
      const loaded = new Map([...unread.items, ...all.items].map((item) => [item.id, item]));
      setById((meanwhile.current ?? []).reduce(apply, loaded as ById));
      setOlder(all.next);
      setMoreUnread(unread.next !== null);
      setError(undefined);
    } catch (failure) {
      if (number === loads.current) setError(ApiError.from(failure));
    } finally {
      if (number === loads.current) meanwhile.current = undefined;
    }
  }, [api]);

  const receive = useCallback((event: LiveEvent) => {
    meanwhile.current?.push(event);
    setById((byId) => byId && apply(byId, event));
  }, []);

  /** Other failures than an ended session show in the connection's state. */
  const verify = useCallback(async () => {
    const session = await api.session().catch(() => 'unknown' as const);
    if (session !== 'unknown' && session?.user.id !== userId) api.onSessionEnd();
  }, [api, userId]);

  useEffect(() => {
    void load();
    live.current = openLive(userId, {
      onState: setState,
      onEvent: (event) => {
        receive(event);
        if (event.type === 'notification') setLatest(event.notification);
      },
      onGap: () => void load(),
      onFailure: () => void verify(),
    });
    return () => {
      loads.current++;
      live.current?.close();
    };
  }, [userId, load, receive, verify]);

  const loadOlder = useCallback(async () => {
    if (older === null) return;
    const page = await api.notifications({ cursor: older });
    const arrived = (byId: ById): ById =>
      new Map([...page.items.map((item) => [item.id, item] as const), ...byId]);
    setById((byId) => byId && arrived(byId));
    setOlder(page.next);
  }, [api, older]);

  const markRead = useCallback(
    async (id: string) => {
      await api.readNotification(id);
      receive({ type: 'read', ids: [id] });
    },
    [api, receive],
  );

  const markAllRead = useCallback(async () => {
    await api.readAllNotifications();
    await load();
  }, [api, load]);

  const items = useMemo(() => byId && [...byId.values()].sort((a, b) => b.seq - a.seq), [byId]);
  return {
    items,
    unread: items?.filter((item) => item.read_at === null).length ?? 0,
    moreUnread,
    hasOlder: older !== null,
    error,
    live: state,
    latest,
    reload: () => void load(),
    reconnect: () => live.current?.connect(),
    loadOlder,
    markRead,
    markAllRead,
  };
}

/** An event that comes again changes nothing. */
function apply(byId: ById, event: LiveEvent): ById {
  const next = new Map(byId);
  switch (event.type) {
    case 'notification': {
      const { notification } = event;
      const known = next.get(notification.id);
      next.set(notification.id, known?.read_at ? known : notification);
      break;
    }
    case 'read':
      for (const id of event.ids) {
        const item = next.get(id);
        if (item) next.set(id, { ...item, read_at: item.read_at ?? new Date().toISOString() });
      }
      break;
    case 'deleted':
      for (const id of event.ids) next.delete(id);
  }
  return next;
}
