import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';

import { Api, ApiError, type Session } from './api.ts';
import { useNotifications } from './notifications.ts';
import { LoginPage } from './pages/login.tsx';
import { NotificationsPage } from './pages/notifications.tsx';
import { SchedulesPage } from './pages/schedules.tsx';
import { SetupPage } from './pages/setup.tsx';
import { Header } from './parts/header.tsx';
import { Failure, Loading } from './parts/states.tsx';
import { useRoute } from './router.ts';

type Stage =
  | { name: 'loading' }
  | { name: 'failed'; error: ApiError }
  | { name: 'setup' }
  | { name: 'login'; notice?: string }
  | { name: 'in'; session: Session };

/** Who is there decides what is shown: nobody yet, somebody who has to log in, or a user. */
export function App() {
  const api = useMemo(() => new Api(), []);
  const [stage, setStage] = useState<Stage>({ name: 'loading' });

  const start = useCallback(async () => {
    setStage({ name: 'loading' });
    try {
      const session = await api.session();
      if (session) setStage({ name: 'in', session });
      else if (await api.setupNeeded()) setStage({ name: 'setup' });
      else setStage({ name: 'login' });
    } catch (failure) {
      setStage({ name: 'failed', error: ApiError.from(failure) });
    }
  }, [api]);

  useEffect(() => {
    api.onSessionEnd = () =>
      setStage((stage) =>
        stage.name === 'in' ? { name: 'login', notice: 'Your session has ended.' } : stage,
      );
    void start();
  }, [api, start]);

  const enter = (session: Session) => setStage({ name: 'in', session });
  switch (stage.name) {
    case 'loading':
      return (
        <main class="door">
          <Loading />
        </main>
      );
    case 'failed':
      return (
        <main class="door">
          <Failure error={stage.error} onRetry={() => void start()} />
        </main>
      );
    case 'setup':
      return <SetupPage api={api} onDone={enter} onTooLate={() => setStage({ name: 'login' })} />;
    case 'login':
      return <LoginPage api={api} notice={stage.notice} onDone={enter} />;
    case 'in':
      return (
        <Home api={api} session={stage.session} onLogOut={() => setStage({ name: 'login' })} />
      );
  }
}

interface HomeProps {
  api: Api;
  session: Session;
  onLogOut: () => void;
}

function Home({ api, session, onLogOut }: HomeProps) {
  const route = useRoute();
  const notifications = useNotifications(api, session.user.id);
  const { latest, unread } = notifications;

  useEffect(() => {
    const page = route === 'schedules' ? 'Schedules' : 'Notifications';
    document.title = `${unread > 0 ? `(${unread}) ` : ''}${page} · Steadfast`;
    return () => {
      document.title = 'Steadfast';
    };
  }, [route, unread]);

  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Header
        api={api}
        user={session.user}
        route={route}
        notifications={notifications}
        onLogOut={onLogOut}
      />
      <main id="main" tabIndex={-1}>
        {route === 'schedules' ? (
          <SchedulesPage api={api} latest={latest} />
        ) : (
          <NotificationsPage notifications={notifications} />
        )}
      </main>
      <p class="unseen" role="status">
        {latest && `New notification: ${latest.title}`}
      </p>
    </>
  );
}
