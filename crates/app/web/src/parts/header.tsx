import { useState } from 'preact/hooks';

import { type Api, ApiError, type User } from '../api.ts';
import type { Notifications } from '../notifications.ts';
import { type Route, href } from '../router.ts';

interface HeaderProps {
  api: Api;
  user: User;
  route: Route;
  notifications: Notifications;
  onLogOut: () => void;
}

export function Header({ api, user, route, notifications, onLogOut }: HeaderProps) {
  const [error, setError] = useState<string>();
  const { unread, moreUnread } = notifications;

  async function logOut() {
    try {
      await api.logOut();
      onLogOut();
    } catch (failure) {
      setError(ApiError.from(failure).message);
    }
  }

  const link = (to: Route) => ({ href: href(to), 'aria-current': to === route && ('page' as const) });
  return (
    <header>
      <div class="bar">
        <strong class="brand">
          <img src="/favicon.svg" alt="" width="24" height="24" />
          Steadfast
        </strong>
        <nav aria-label="Pages">
          <a {...link('notifications')}>
            Notifications
            {unread > 0 && (
              <span class="badge">
                {unread}
                {moreUnread && '+'}
                <span class="unseen"> unread</span>
              </span>
            )}
          </a>
          <a {...link('schedules')}>Schedules</a>
        </nav>
        <div class="who">
          <Connection notifications={notifications} />
          <span class="user">
            <span class="unseen">Logged in as </span>
            {user.username}
          </span>
          <button type="button" onClick={() => void logOut()}>
            Log out
          </button>
        </div>
      </div>
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
    </header>
  );
}

const STATES = { connected: 'Live', connecting: 'Connecting…', disconnected: 'Not connected' };

function Connection({ notifications: { live, reconnect } }: { notifications: Notifications }) {
  return (
    <span class={`connection ${live}`}>
      <span role="status">
        <span class="unseen">Connection: </span>
        {STATES[live]}
      </span>
      {live === 'disconnected' && (
        <button type="button" onClick={reconnect}>
          Reconnect
        </button>
      )}
    </span>
  );
}
